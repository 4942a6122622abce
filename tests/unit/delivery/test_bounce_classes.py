# ruff: noqa: E501 - a row of the table is a reply with what it means
"""The bounce rules on replies as receivers give them: what each one means, and what follows."""

from __future__ import annotations

import pytest

from email_core.delivery.bounce_classes import bounce_rules, classify, load_rules
from email_core.delivery.outcome import Disposition, Stage
from email_core.delivery.reply import parse_reply

GOOGLE = "aspmx.l.google.com"
OUTLOOK = "outlook-com.olc.protection.outlook.com"
EXCHANGE = "contoso-com.mail.protection.outlook.com"
YAHOO = "mta5.am0.yahoodns.net"
ICLOUD = "mx01.mail.icloud.com"
COMCAST = "mx1.mxge.comcast.net"
ANY = "mx.example.invalid"

BOUNCED, FILTERED, FAILED, DEFERRED = Disposition.BOUNCED, Disposition.FILTERED, Disposition.FAILED, Disposition.DEFERRED
MAIL, RCPT, DATA, DOT = Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.FINAL_DOT

# MX host, stage, reply, and then: class, disposition, rule, whether to suppress, pause in seconds.
ROWS: list[tuple[str, Stage, str, str, Disposition, str, bool, float]] = [
    (GOOGLE, RCPT, "550 5.1.1 The email account that you tried to reach does not exist. NoSuchUser", "invalid_recipient", BOUNCED, "google-no-such-user", True, 0),
    (GOOGLE, RCPT, "550 5.2.1 The email account that you tried to reach is inactive", "inactive_mailbox", BOUNCED, "google-account-closed", True, 0),
    (GOOGLE, RCPT, "450 4.2.1 The user is receiving mail too quickly", "rate_limited", DEFERRED, "google-recipient-too-popular", False, 600),
    (GOOGLE, RCPT, "452 4.2.2 The recipient's inbox is out of storage space. OverQuotaTemp", "mailbox_full", DEFERRED, "google-full", False, 3600),
    (GOOGLE, RCPT, "552 5.2.2 The inbox is out of storage space and inactive. OverQuotaPerm", "inactive_mailbox", BOUNCED, "google-full-and-unused", True, 0),
    (GOOGLE, DOT, "421 4.7.28 Gmail has detected an unusual rate of mail", "rate_limited", DEFERRED, "google-unusual-rate", False, 1200),
    (GOOGLE, DOT, "421 4.7.0 very low reputation of the sending IP", "block_ip", DEFERRED, "google-reputation-of-address", False, 900),
    (GOOGLE, DOT, "421 4.7.0 very low reputation of the sending domain", "block_domain", DEFERRED, "google-reputation-of-domain", False, 900),
    (GOOGLE, DOT, "550 5.7.1 likely suspicious due to the very low reputation of the sending IP", "block_ip", FAILED, "google-reputation-of-address", False, 0),
    (GOOGLE, DOT, "550 5.7.1 likely suspicious due to the very low reputation of the sending domain", "block_domain", FAILED, "google-reputation-of-domain", False, 0),
    (GOOGLE, DOT, "550 5.7.1 likely unsolicited mail", "policy_content", FILTERED, "content-refused", False, 0),
    (GOOGLE, DOT, "550 5.7.26 unauthenticated", "auth_failure", FAILED, "google-unauthenticated", False, 0),
    (GOOGLE, DOT, "421 4.7.26 unauthenticated", "auth_failure", DEFERRED, "google-unauthenticated", False, 1800),
    (GOOGLE, DOT, "421 4.7.27 SPF did not pass", "auth_failure", DEFERRED, "google-unauthenticated", False, 1800),
    (GOOGLE, DOT, "421 4.7.30 DKIM did not pass", "auth_failure", DEFERRED, "google-unauthenticated", False, 1800),
    (GOOGLE, DOT, "421 4.7.32 From not aligned", "auth_failure", DEFERRED, "google-unauthenticated", False, 1800),
    (GOOGLE, DOT, "550 5.7.24 SPF record suspicious", "auth_failure", FAILED, "google-unauthenticated", False, 0),
    (GOOGLE, DOT, "421 4.7.23 no PTR", "block_ip", DEFERRED, "google-no-ptr", False, 1800),
    (GOOGLE, DOT, "550 5.7.25 no PTR", "block_ip", FAILED, "google-no-ptr", False, 0),
    (GOOGLE, DOT, "421 4.7.29 not encrypted", "tls_required", DEFERRED, "google-no-tls", False, 0),
    (GOOGLE, DOT, "552 5.7.0 content presents a potential security issue", "policy_content", FILTERED, "google-dangerous-content", False, 0),
    (GOOGLE, DOT, "552 5.3.4 message exceeded size", "too_big", FAILED, "status-too-big", False, 0),
    (GOOGLE, Stage.EHLO, "421 4.7.0 Try again later, closing connection. (EHLO)", "rate_limited", DEFERRED, "google-busy-connection", False, 600),
    (OUTLOOK, MAIL, "550 5.7.1 part of their network is on our block list (S3150)", "block_ip", FAILED, "outlook-com-network-blocked", False, 0),
    (OUTLOOK, MAIL, "550 5.7.1 see (S3140)", "block_ip", FAILED, "outlook-com-network-blocked", False, 0),
    (OUTLOOK, MAIL, "451 4.7.650 temporarily rate limited due to IP reputation (S775)", "rate_limited", DEFERRED, "outlook-com-rate", False, 5400),
    (OUTLOOK, MAIL, "451 4.7.500 Server busy (AS761)", "rate_limited", DEFERRED, "outlook-com-rate", False, 5400),
    (OUTLOOK, MAIL, "451 4.7.851 later", "rate_limited", DEFERRED, "outlook-com-rate", False, 5400),
    (OUTLOOK, RCPT, "550 5.5.0 Requested action not taken: mailbox unavailable", "invalid_recipient", BOUNCED, "outlook-com-no-mailbox", True, 0),
    (OUTLOOK, DOT, "550 5.7.515 Access denied, does not meet the required authentication level", "auth_failure", FAILED, "outlook-com-bulk-sender-authentication", False, 0),
    (OUTLOOK, DOT, "550 5.7.512 must be RFC 5322 compliant", "protocol", FAILED, "outlook-com-format", False, 0),
    (EXCHANGE, DOT, "550 5.1.10 RESOLVER.ADR.RecipientNotFound", "invalid_recipient", BOUNCED, "exchange-recipient-not-found", True, 0),
    (EXCHANGE, RCPT, "550 5.4.1 Recipient address rejected: Access denied. AS(201806281)", "invalid_recipient", BOUNCED, "exchange-blocked-at-the-edge", True, 0),
    (EXCHANGE, DOT, "550 5.2.2 mailbox full", "mailbox_full", BOUNCED, "mailbox-full", False, 0),
    (EXCHANGE, DOT, "550 5.7.133 not allowed", "sender_rejected", FAILED, "exchange-restricted-recipient", False, 0),
    (EXCHANGE, DOT, "550 5.7.124 not allowed", "sender_rejected", FAILED, "exchange-restricted-recipient", False, 0),
    (EXCHANGE, DOT, "550 5.7.134 not allowed", "sender_rejected", FAILED, "exchange-restricted-recipient", False, 0),
    (EXCHANGE, DOT, "550 5.7.136 not allowed", "sender_rejected", FAILED, "exchange-restricted-recipient", False, 0),
    (EXCHANGE, RCPT, "550 5.7.606 Access denied, banned", "block_ip", FAILED, "exchange-banned-address", False, 0),
    (EXCHANGE, RCPT, "550 5.7.649 Access denied, banned", "block_ip", FAILED, "exchange-banned-address", False, 0),
    (EXCHANGE, RCPT, "550 5.7.511 Access denied", "block_ip", FAILED, "exchange-banned-address", False, 0),
    (EXCHANGE, MAIL, "451 4.7.500 Server busy", "rate_limited", DEFERRED, "exchange-rate", False, 5400),
    (EXCHANGE, DOT, "550 5.7.509 Access denied, DMARC", "auth_failure", FAILED, "exchange-unauthenticated", False, 0),
    (EXCHANGE, DOT, "550 5.7.515 Access denied", "auth_failure", FAILED, "exchange-unauthenticated", False, 0),
    (EXCHANGE, RCPT, "550 5.7.510 does not accept email over IPv6", "network", DEFERRED, "exchange-no-ipv6", False, 0),
    (EXCHANGE, DOT, "550 5.4.7 expired", "expired", FAILED, "exchange-expired", False, 0),
    (EXCHANGE, DOT, "450 4.4.7 expired", "expired", DEFERRED, "exchange-expired", False, 0),
    (EXCHANGE, MAIL, "550 5.7.321 starttls-not-supported", "tls_required", FAILED, "exchange-tls", False, 0),
    (EXCHANGE, MAIL, "450 4.7.323 tlsa-invalid", "tls_required", DEFERRED, "exchange-tls", False, 0),
    ("c.p-v1.mx.microsoft", RCPT, "550 5.7.620 banned", "block_ip", FAILED, "exchange-banned-address", False, 0),
    (YAHOO, MAIL, "421 4.7.0 [TSS04] Messages temporarily deferred due to unexpected volume or user complaints", "rate_limited", DEFERRED, "yahoo-volume-or-complaints", False, 7200),
    (YAHOO, MAIL, "553 5.7.2 [TSS09] All messages will be permanently deferred; Retrying will NOT succeed", "block_ip", FAILED, "yahoo-deferred-for-good", False, 0),
    (YAHOO, RCPT, "552 1 Requested mail action aborted, mailbox not found", "invalid_recipient", BOUNCED, "yahoo-no-such-user", True, 0),
    (YAHOO, RCPT, "554 delivery error: dd This user doesn't have a yahoo.com account", "invalid_recipient", BOUNCED, "yahoo-no-such-user", True, 0),
    (YAHOO, RCPT, "554 30 Sorry, your message cannot be delivered. This mailbox is disabled (554.30)", "inactive_mailbox", BOUNCED, "yahoo-account-closed", True, 0),
    (YAHOO, MAIL, "553 5.7.1 [BL21] Connections not accepted: Spamhaus", "block_ip", FAILED, "yahoo-listed", False, 0),
    (YAHOO, MAIL, "553 5.7.1 [BL23] Connections not accepted", "block_ip", FAILED, "yahoo-listed", False, 0),
    (YAHOO, DOT, "554 Message not allowed - [PH01] Email not accepted for policy reasons", "policy_content", FILTERED, "yahoo-policy", False, 0),
    (YAHOO, DOT, "550 5.7.9 unauthenticated", "auth_failure", FAILED, "yahoo-unauthenticated", False, 0),
    (ICLOUD, MAIL, "421 4.7.1 messages deferred due to excessive volume", "rate_limited", DEFERRED, "icloud-volume", False, 1800),
    (ICLOUD, DOT, "550 5.7.1 [CS01] Message rejected due to local policy", "policy_content", FILTERED, "icloud-local-policy", False, 0),
    (ICLOUD, DOT, "554 5.7.1 [HME1] This message was blocked", "auth_failure", FAILED, "icloud-private-relay", False, 0),
    (ICLOUD, RCPT, "550 5.1.1 inactive email address", "invalid_recipient", BOUNCED, "icloud-no-mailbox", True, 0),
    (ICLOUD, RCPT, "550 5.1.6 recipient no longer on server", "invalid_recipient", BOUNCED, "icloud-no-mailbox", True, 0),
    (COMCAST, MAIL, "421 4.1.0 RL000010 throttled", "rate_limited", DEFERRED, "comcast-rate", False, 3600),
    (COMCAST, MAIL, "554 BL000001 listed", "block_ip", FAILED, "comcast-listed", False, 0),
    (ANY, RCPT, "450 4.7.1 Greylisted, try again in 300 seconds", "greylisted", DEFERRED, "greylisted", False, 310),
    (ANY, RCPT, "451 4.7.1 Greylisting in action, please come back in 00:10:00", "greylisted", DEFERRED, "greylisted", False, 610),
    (ANY, RCPT, "450 4.2.0 Recipient address rejected: Greylisted", "greylisted", DEFERRED, "greylisted", False, 300),
    (ANY, RCPT, "450 greylisted, try again in 5 minutes", "greylisted", DEFERRED, "greylisted", False, 310),
    (ANY, RCPT, "450 greylisted for 1 min", "greylisted", DEFERRED, "greylisted", False, 70),
    (ANY, RCPT, "450 greylisted: wait 3s", "greylisted", DEFERRED, "greylisted", False, 60),
    (ANY, RCPT, "450 greylisted, come back in 900 hours", "greylisted", DEFERRED, "greylisted", False, 14400),
    (ANY, RCPT, "450 greylisted at 13:05:22", "greylisted", DEFERRED, "greylisted", False, 300),
    (ANY, RCPT, "552 too many recipients", "rate_limited", DEFERRED, "too-many-recipients", False, 0),
    (ANY, RCPT, "552 5.5.3 no more than ten", "rate_limited", DEFERRED, "status-too-many-recipients", False, 0),
    (ANY, RCPT, "452 4.5.3 no more than ten", "rate_limited", DEFERRED, "status-too-many-recipients", False, 0),
    (ANY, RCPT, "552 no room", "mailbox_full", BOUNCED, "code-no-room", False, 0),
    (ANY, DOT, "552 no", "too_big", FAILED, "code-too-big", False, 0),
    (ANY, MAIL, "552 message size exceeds fixed maximum message size", "too_big", FAILED, "too-big", False, 0),
    (ANY, MAIL, "451 rate limit exceeded, wait 20 minutes", "rate_limited", DEFERRED, "rate-limited", False, 1210),
    (ANY, MAIL, "451 rate limit exceeded, wait 1 minute", "rate_limited", DEFERRED, "rate-limited", False, 600),
    (ANY, MAIL, "530 5.7.0 Must issue a STARTTLS command first", "tls_required", DEFERRED, "tls-wanted", False, 0),
    (ANY, MAIL, "530 5.7.0 Authentication required", "relay_denied", FAILED, "relay-denied", False, 0),
    (ANY, RCPT, "554 5.7.1 <ann@example.test>: Relay access denied", "relay_denied", FAILED, "relay-denied", False, 0),
    (ANY, DOT, "550 5.7.1 rejected by DMARC policy", "auth_failure", FAILED, "not-authenticated-mail", False, 0),
    (ANY, RCPT, "450 4.7.25 Client host rejected: cannot find your reverse hostname", "block_ip", DEFERRED, "no-reverse-name", False, 0),
    (ANY, RCPT, "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", "block_ip", FAILED, "listed-address", False, 0),
    (ANY, RCPT, "550 5.1.8 Sender address rejected: Domain not found", "sender_rejected", FAILED, "sender-rejected", False, 0),
    (ANY, RCPT, "550 sender domain does not exist", "sender_rejected", FAILED, "sender-rejected", False, 0),
    (ANY, RCPT, "550 5.1.1 <ann@example.test>: Recipient address rejected: User unknown in virtual mailbox table", "invalid_recipient", BOUNCED, "no-such-user", True, 0),
    (ANY, RCPT, "450 4.1.1 User unknown for now", "invalid_recipient", DEFERRED, "no-such-user", False, 0),
    (ANY, RCPT, "550 Unrouteable address", "invalid_recipient", BOUNCED, "no-such-user", True, 0),
    (ANY, RCPT, "550 Sorry, there is a problem. (#5.1.1)", "invalid_recipient", BOUNCED, "status-no-mailbox", True, 0),
    (ANY, RCPT, "550 account ann@example.test does not exist", "invalid_recipient", BOUNCED, "no-such-user", True, 0),
    (ANY, RCPT, "550 5.2.1 This account has been suspended", "inactive_mailbox", BOUNCED, "mailbox-closed", True, 0),
    (ANY, RCPT, "552 5.2.2 Over quota", "mailbox_full", BOUNCED, "mailbox-full", False, 0),
    (ANY, RCPT, "452 4.2.2 Over quota", "mailbox_full", DEFERRED, "mailbox-full", False, 3600),
    (ANY, RCPT, "550 5.1.1 not here, see our anti-spam pages", "invalid_recipient", BOUNCED, "status-no-mailbox", True, 0),
    (ANY, RCPT, "552 5.2.2 no", "mailbox_full", BOUNCED, "status-mailbox-full", False, 0),
    (ANY, RCPT, "550 5.1.2 no such domain here", "bad_domain", BOUNCED, "no-such-domain", False, 0),
    (ANY, DOT, "550 5.7.1 this message looks like spam", "policy_content", FILTERED, "content-refused", False, 0),
    (ANY, DOT, "554 5.6.0 virus found", "policy_content", FILTERED, "content-refused", False, 0),
    (ANY, RCPT, "521 no mail here", "bad_domain", BOUNCED, "code-does-not-accept-mail", False, 0),
    (ANY, RCPT, "556 no mail here", "bad_domain", BOUNCED, "code-does-not-accept-mail", False, 0),
    (ANY, RCPT, "550 5.1.3 bad syntax", "invalid_recipient", BOUNCED, "status-no-mailbox", True, 0),
    (ANY, RCPT, "550 5.1.6 moved away", "invalid_recipient", BOUNCED, "status-no-mailbox", True, 0),
    (ANY, RCPT, "550 5.1.10 null MX", "bad_domain", BOUNCED, "status-no-domain", False, 0),
    (ANY, RCPT, "550 5.7.13 closed", "inactive_mailbox", BOUNCED, "status-mailbox-closed", True, 0),
    (ANY, MAIL, "550 5.1.7 what a sender", "sender_rejected", FAILED, "status-sender", False, 0),
    (ANY, DOT, "451 4.3.0 trouble", "network", DEFERRED, "status-server-trouble", False, 0),
    (ANY, DOT, "451 4.4.5 congested", "rate_limited", DEFERRED, "status-congestion", False, 600),
    (ANY, DOT, "550 5.4.7 waited too long", "expired", FAILED, "status-expired", False, 0),
    (ANY, DOT, "550 5.7.20 none passed", "auth_failure", FAILED, "status-unauthenticated", False, 0),
    (ANY, DOT, "550 5.7.25 none", "block_ip", FAILED, "status-no-reverse-name", False, 0),
    (ANY, MAIL, "538 5.7.11 not this way", "tls_required", FAILED, "status-wants-tls", False, 0),
    (ANY, MAIL, "550 5.7.8 who are you", "relay_denied", FAILED, "status-wants-log-in", False, 0),
    (ANY, RCPT, "550 5.7.1 no", "policy_content", FILTERED, "status-policy", False, 0),
    (ANY, DOT, "554 5.6.7 no", "protocol", FAILED, "status-protocol", False, 0),
    (ANY, RCPT, "550 no", "invalid_recipient", BOUNCED, "code-recipient-refused", False, 0),
    (ANY, RCPT, "550 5.0.0 no", "invalid_recipient", BOUNCED, "code-recipient-refused", False, 0),
    (ANY, MAIL, "550 no", "sender_rejected", FAILED, "code-sender-refused", False, 0),
    (ANY, DOT, "554 no", "policy_content", FILTERED, "code-message-refused", False, 0),
    (ANY, RCPT, "554 no", "unknown", FAILED, "default", False, 0),
    (ANY, MAIL, "535 no", "relay_denied", FAILED, "code-wants-log-in", False, 0),
    (ANY, MAIL, "503 no", "protocol", FAILED, "code-not-understood", False, 0),
    (ANY, RCPT, "451 no", "network", DEFERRED, "code-server-trouble", False, 0),
    (ANY, RCPT, "354 what", "protocol", DEFERRED, "code-out-of-place", False, 0),
    (ANY, RCPT, "450 no", "unknown", DEFERRED, "default", False, 0),
    (ANY, Stage.BANNER, "554 no", "network", DEFERRED, "stage-no-host", False, 0),
    (ANY, Stage.STARTTLS, "550 no", "tls_required", DEFERRED, "stage-tls", False, 0),
    (ANY, Stage.AUTH, "550 no", "relay_denied", DEFERRED, "stage-log-in", False, 0),
    (ANY, Stage.AUTH, "535 5.7.8 no", "relay_denied", DEFERRED, "status-wants-log-in", False, 0),
    ("", Stage.DNS, "550 5.1.2 the domain example.invalid does not exist", "bad_domain", BOUNCED, "status-no-domain", False, 0),
    ("", Stage.DNS, "556 5.1.10 null MX", "bad_domain", BOUNCED, "status-no-domain", False, 0),
    ("", Stage.DNS, "451 4.4.3 SERVFAIL", "network", DEFERRED, "status-server-trouble", False, 0),
    ("", Stage.DNS, "550 5.4.4 private address", "bad_domain", BOUNCED, "status-no-domain", False, 0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("mx_host", "stage", "said", "bounce_class", "disposition", "rule", "suppress", "pause"),
    ROWS,
    ids=[f"{row[5]}: {row[2][:40]}" for row in ROWS],
)
def test_reply_of_a_receiver_means(
    mx_host: str, stage: Stage, said: str, bounce_class: str, disposition: Disposition, rule: str, suppress: bool, pause: float
) -> None:
    code, _, text = said.partition(" ")
    verdict = classify(parse_reply(int(code), [text]), stage=stage, mx_host=mx_host)
    assert (verdict.bounce_class, verdict.disposition, verdict.rule) == (bounce_class, disposition, rule)
    assert verdict.suppress is suppress
    assert verdict.retry_after == pause


def test_every_rule_is_tried_by_the_table() -> None:
    assert {rule.name for rule in bounce_rules()} - {row[5] for row in ROWS} == set()


def test_every_class_of_the_file_is_used_by_a_rule() -> None:
    text = "[class]\nunknown = { disposition = 'failed', meaning = '' }\nspare = { disposition = 'failed', meaning = '' }\n"
    assert [rule.bounce_class for rule in load_rules(text)] == ["unknown"]
    assert {rule.bounce_class for rule in bounce_rules()} == {row[3] for row in ROWS}


def test_what_a_receiver_says_over_several_lines_is_read_as_one() -> None:
    reply = parse_reply(550, ["5.0.0 This user", "5.0.0 doesn't   exist"])
    assert classify(reply, stage=RCPT).rule == "no-such-user"


@pytest.mark.parametrize(
    ("recipient", "said"),
    [
        (
            "dmarc@fabrikam.test",
            "550 5.1.1 <dmarc@fabrikam.test>: Recipient address rejected: User unknown in virtual mailbox table",
        ),
        ("joe@barracuda.test", "550 5.1.1 <joe@barracuda.test>: Recipient address rejected: User unknown"),
        ("tim@throttle-up.test", "550 5.1.1 <tim@throttle-up.test>... User unknown"),
        ("Spam.Fail@Throttle.test", "550 <SPAM.FAIL@THROTTLE.TEST> user unknown"),
        ("spam+virus@x.test", "550 5.0.0 spam+virus@x.test: user unknown"),
        ("o'greylist=1@x.test", "550 o'greylist=1@x.test: no such user"),
        ("graylist@x.test", "550 <graylist>: no such user"),
        ("ann@dmarc.test", "550 no such user at mail.dmarc.test (mx.DMARC.test)."),
        ("ann@dmarc.test", "550 user unknown, see http://x.test/?rcpt=ann%40dmarc.test"),
        ("ann@x.test", "550 user unknown (mx.throttle.test)"),
        ("ann@x.test", "550 user unknown (mail from:<virus@greylist.example>)"),
        ("ann@x.test", "550 user unknown; for more write to postmaster@spamhaus.example"),
    ],
)
def test_names_in_a_reply_say_nothing_of_its_reason(recipient: str, said: str) -> None:
    code, _, text = said.partition(" ")
    verdict = classify(parse_reply(int(code), [text]), stage=RCPT, mx_host="mx.throttle.test", recipients=[recipient])
    assert (verdict.bounce_class, verdict.disposition, verdict.suppress) == ("invalid_recipient", BOUNCED, True)


@pytest.mark.parametrize(
    ("recipient", "said", "rule"),
    [
        ("ann@x.test", "550 5.7.1 <ann@x.test>: Client host [192.0.2.1] blocked using zen.spamhaus.org", "listed-address"),
        ("ann@rbl.test", "550 5.7.1 ann@rbl.test is fine, 192.0.2.1 is listed by spamhaus", "listed-address"),
        ("ann@s.net", "550 5.7.1 see http://www.sorbs.net/lookup", "listed-address"),  # sorbs.net is not below s.net
        ("user@x.test", "550 user unknown", "no-such-user"),
        ("unknown@user.test", "550 unknown user", "no-such-user"),
        ("ann@x.test", "550 account ann@x.test does not exist", "no-such-user"),
        ("ann@yahoo.com", "554 dd This user doesn't have a yahoo.com account", "yahoo-no-such-user"),
    ],
)
def test_words_beside_the_names_count_as_before(recipient: str, said: str, rule: str) -> None:
    code, _, text = said.partition(" ")
    host = YAHOO if "yahoo" in rule else ANY
    assert classify(parse_reply(int(code), [text]), stage=RCPT, mx_host=host, recipients=[recipient]).rule == rule


def test_what_the_dns_said_is_read_by_its_code_whatever_the_names_in_it() -> None:
    for reply in (
        parse_reply(550, ["5.1.2 the domain spamhaus.dmarc.test does not exist"]),
        parse_reply(556, ["5.1.10 the domain throttle.test says that it takes no mail (null MX)"]),
        parse_reply(550, ["5.4.4 no mail host has an address: mx.greylist.test"]),
    ):
        assert classify(reply, stage=Stage.DNS, recipients=["ann@x.test"]).rule == "status-no-domain"


@pytest.mark.parametrize("code", ["5.1.1", "5.1.2", "5.1.3", "5.1.4", "5.1.6", "5.1.10"])
@pytest.mark.parametrize("hint", ["see our dmarc policy", "set a ptr record", "protected by barracuda", "anti-spam pages"])
def test_hint_at_policy_yields_to_a_code_that_names_the_recipient(code: str, hint: str) -> None:
    verdict = classify(parse_reply(550, [f"{code} no, {hint}"]), stage=RCPT)
    assert verdict.rule in ("status-no-mailbox", "status-no-domain")


def test_sender_that_is_named_outright_is_meant_whatever_the_code() -> None:
    verdict = classify(parse_reply(550, ["5.1.1 Sender address rejected: User unknown"]), stage=RCPT)
    assert (verdict.rule, verdict.suppress) == ("sender-rejected", False)


def test_provider_is_known_by_whole_labels_of_its_mx_host() -> None:
    reply = parse_reply(550, ["5.2.1 closed"])
    assert classify(reply, stage=RCPT, mx_host="ASPMX.L.GOOGLE.COM.").rule == "google-account-closed"
    assert classify(reply, stage=RCPT, mx_host="notgoogle.com").rule == "status-mailbox-closed"
    assert classify(reply, stage=RCPT, mx_host="google.com.example.invalid").rule == "status-mailbox-closed"


def test_failure_without_a_reply_is_the_networks_and_passes() -> None:
    for stage in (Stage.RCPT, Stage.DATA, Stage.FINAL_DOT, Stage.MAIL):
        verdict = classify(None, stage=stage)
        assert (verdict.bounce_class, verdict.disposition, verdict.rule) == ("network", DEFERRED, "no-reply")
    assert classify(None, stage=Stage.CONNECT).rule == "stage-no-host"


CLASSES = "[class]\nunknown = { disposition = 'failed', meaning = '' }\ngone = { disposition = 'bounced', meaning = '' }\n"


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("[[code]]\nname = 'x'\nclass = 'nope'\ncode = [550]", "its class is not in"),
        ("[[code]]\nname = 'x'\nclass = 'gone'", "must name code"),
        ("[[text]]\nname = 'x'\nclass = 'gone'\ncode = [550]", "must name text"),
        ("[[text]]\nname = 'x'\nclass = 'gone'\ntext = ['Upper']", "lower case"),
        ("[[text]]\nname = 'x'\nclass = 'gone'\ntext = ['two  blanks']", "single blanks"),
        ("[[text]]\nname = 'x'\nclass = 'gone'\ntext = [' ']", "lower case"),
        ("[[status]]\nname = 'x'\nclass = 'gone'\nstatus = ['5.1']", "no status pattern"),
        ("[[code]]\nname = 'x'\nclass = 'gone'\ncode = [550]\nsupress = true", "unknown keys supress"),
        ("[[code]]\nname = 'x'\nclass = 'unknown'\ncode = [550]\nsuppress = true", "only a class of bounces"),
        (
            "[[code]]\nname = 'x'\nclass = 'gone'\ncode = [550]\n[[code]]\nname = 'x'\nclass = 'gone'\ncode = [551]",
            "more than one rule",
        ),
        ("[[stage]]\nname = 'x'\nclass = 'gone'\nstage = ['nowhere']", "nowhere"),
        ("[[provider]]\nname = 'p'\nmx = ['x']\n[[provider.rule]]\nname = 'x'\nclass = 'gone'", "must name a condition"),
        ("[[texts]]\nname = 'x'", "unknown sections: texts"),
    ],
)
def test_rule_that_is_written_wrong_is_refused_with_its_name(rule: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        load_rules(CLASSES + rule)
