"""The mail log: what of an address it shows, wherever the address comes from."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest

from email_core import maillog


@pytest.fixture(autouse=True)
def masking(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.INFO, "postrider")
    maillog.configure(full_addresses=False)
    yield
    maillog.configure(full_addresses=False)


def outcome_line(caplog: pytest.LogCaptureFixture, reply: str, recipient: str = "ann.smith@fabrikam.test") -> str:
    caplog.clear()
    maillog.outcome(
        "message", recipient, disposition="Failed", attempt=1, reply=reply, host="mx.fabrikam.test", bounce_class=""
    )
    return caplog.messages[0]


@pytest.mark.parametrize(
    ("reply", "shown"),
    [
        (
            "550 5.1.1 <ann.smith@fabrikam.test>: Recipient address rejected: User unknown",
            "550 5.1.1 <a***@fabrikam.test>: Recipient address rejected: User unknown",
        ),
        ("550 5.1.1 ann.smith@fabrikam.test... User unknown", "550 5.1.1 a***@fabrikam.test... User unknown"),
        ("550 No mailbox 'Ann.Smith@Fabrikam.Test'", "550 No mailbox 'A***@Fabrikam.Test'"),
        ("550 No mailbox 'o'brien@fabrikam.test' here", "550 No mailbox 'o***@fabrikam.test' here"),
        ("551 try <bob@contoso.test>,<eve@contoso.test>", "551 try <b***@contoso.test>,<e***@contoso.test>"),
        ("550 rcpt to:ann@fabrikam.test(ann)", "550 rcpt to:a***@fabrikam.test(ann)"),
        ("550 <@relay.test:ann@fabrikam.test> no route", "550 <@relay.test:a***@fabrikam.test> no route"),
        ('550 <"ann smith"@fabrikam.test> unknown', '550 <"***@fabrikam.test> unknown'),
        ("550 ann@[192.0.2.1] unknown", "550 a***@[192.0.2.1] unknown"),
        ("550 zoë.smith@fabrikam.test unknown", "550 z***@fabrikam.test unknown"),
        ("550 see a/b?c#d@fabrikam.test", "550 see a***@fabrikam.test"),
        ("250 2.0.0 Ok: queued as 4XYZ", "250 2.0.0 Ok: queued as 4XYZ"),
        ("250 2.0.0 Ok @ noon", "250 2.0.0 Ok @ noon"),
    ],
)
def test_outcome_shows_addresses_in_the_reply_as_it_shows_the_recipient(
    caplog: pytest.LogCaptureFixture, reply: str, shown: str
) -> None:
    line = outcome_line(caplog, reply)
    assert f'reply="{shown}"' in line
    assert "recipient=a***@fabrikam.test" in line


def test_outcome_with_full_addresses_shows_the_reply_as_it_came(caplog: pytest.LogCaptureFixture) -> None:
    maillog.configure(full_addresses=True)
    reply = "550 5.1.1 <ann.smith@fabrikam.test>: User unknown"
    assert f'recipient=ann.smith@fabrikam.test disposition=Failed attempt=1 reply="{reply}"' in outcome_line(caplog, reply)


def test_reason_that_quotes_an_address_shows_it_masked(caplog: pytest.LogCaptureFixture) -> None:
    maillog.activity_lost("message", reason="the row of ann@fabrikam.test was not taken")
    assert caplog.messages == ['activity-lost message=message reason="the row of a***@fabrikam.test was not taken"']


def test_text_with_addresses_is_masked_as_the_log_masks_it() -> None:
    assert maillog.masked_within("RCPT TO:<ann@fabrikam.test> -> 250 ok") == "RCPT TO:<a***@fabrikam.test> -> 250 ok"
    for orcpt in ("rfc822;ann+2Bx@fabrikam.test", "utf-8;a\\x{FC}n@fabrikam.test"):
        assert maillog.masked_within(f"<> ORCPT={orcpt}") == f"<> ORCPT={orcpt.partition(';')[0]};a***@fabrikam.test"
    maillog.configure(full_addresses=True)
    assert maillog.masked_within("RCPT TO:<ann@fabrikam.test>") == "RCPT TO:<ann@fabrikam.test>"


def test_reply_with_line_breaks_stays_one_line_and_masked(caplog: pytest.LogCaptureFixture) -> None:
    line = outcome_line(caplog, "550 no\r\naccepted message=<ann@fabrikam.test>")
    assert 'reply="550 no??accepted message=<a***@fabrikam.test>"' in line


def test_reply_that_is_long_and_hostile_costs_time_in_proportion(caplog: pytest.LogCaptureFixture) -> None:
    reply = "a" * 100_000 + "@" * 100_000  # a pattern that looks from every letter to the end takes minutes
    began = time.process_time()
    outcome_line(caplog, reply)
    assert time.process_time() - began < 5


def test_sweep_and_replay_tell_what_they_put_back(caplog: pytest.LogCaptureFixture) -> None:
    maillog.put_back_message("svc:op", row="envelope:002", queue="deliveries", attempt=3, overdue=4000.4)
    maillog.swept(digit="a", found=2, put_back=1)
    maillog.replayed("svc:op", queue="deliveries", item="7", recipients=2)
    assert caplog.messages == [
        "put-back-message message=svc:op row=envelope:002 queue=deliveries attempt=3 overdue=4000",
        "swept digit=a found=2 put_back=1",
        "replayed message=svc:op queue=deliveries item=7 recipients=2",
    ]


def test_notifications_name_the_message_that_they_are_about(caplog: pytest.LogCaptureFixture) -> None:
    maillog.notified("svc:op", notification="7c9e", action="failed", recipients=2)
    maillog.notice_given_up('{"m": "svc:op"}' + "x" * 1000, tries=5)
    assert caplog.messages[0] == "notified message=svc:op notification=7c9e action=failed recipients=2"
    assert caplog.messages[1].startswith("notice-given-up item=")
    assert len(caplog.messages[1]) < 600


def test_audited_names_the_head_of_the_chain_so_that_it_can_be_compared(caplog: pytest.LogCaptureFixture) -> None:
    maillog.audited("chain", sequence=7, operation="Domains_Delete", hash="ab" * 32)
    assert caplog.messages == [f"audited chain=chain sequence=7 operation=Domains_Delete hash={'ab' * 32}"]


def test_watch_over_a_domain_tells_what_is_lost_and_when_sending_stops(caplog: pytest.LogCaptureFixture) -> None:
    maillog.record_lost("contoso.com", record="SPF", code="RecordMissing", reason="It is gone.", pauses_at=1_790_000_000.0)
    maillog.record_lost("contoso.com", record="DMARC", code="RecordMissing", reason="It is gone.", pauses_at=0.0)
    maillog.sending_paused("contoso.com", records="SPF")
    maillog.record_back("contoso.com", record="SPF")
    maillog.sending_resumed("contoso.com")
    maillog.daily(domains=2, rotations=0, removals=0, windows=5, operations=1, leases=3)
    assert caplog.messages == [
        'record-lost domain=contoso.com record=SPF code=RecordMissing reason="It is gone." pauses_at=2026-09-21T14:13:20+00:00',
        'record-lost domain=contoso.com record=DMARC code=RecordMissing reason="It is gone."',
        "sending-paused domain=contoso.com records=SPF",
        "record-back domain=contoso.com record=SPF",
        "sending-resumed domain=contoso.com",
        "daily domains=2 rotations=0 removals=0 windows=5 operations=1 leases=3",
    ]
    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING", "WARNING", "ERROR", "INFO", "INFO", "INFO"]


def test_zones_and_keys_that_rotate_are_told_with_what_is_in_the_way(caplog: pytest.LogCaptureFixture) -> None:
    maillog.zone_write("contoso.com", entry=1, state="written", records=7, reason="")
    maillog.zone_write("contoso.com", entry=2, state="failed", records=7, reason="no answer")
    maillog.publishing("contoso.com", state="waiting", reason="no answer")
    maillog.key_rotation("contoso.com", run="1f", stage="retiring", to_slot=2, reason="")
    assert caplog.messages == [
        "zone-write zone=contoso.com entry=1 state=written records=7",
        'zone-write zone=contoso.com entry=2 state=failed records=7 reason="no answer"',
        'publishing domain=contoso.com state=waiting reason="no answer"',
        "key-rotation domain=contoso.com run=1f stage=retiring to_slot=2",
    ]
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "WARNING", "INFO"]


def test_verification_is_told_with_its_state_and_the_code_of_what_is_wrong(caplog: pytest.LogCaptureFixture) -> None:
    maillog.verification("contoso.com", record="SPF", status="VerificationInProgress", code="SpfSoftFail", attempt=2)
    maillog.verification("contoso.com", record="SPF", status="Verified", attempt=3)
    assert caplog.messages == [
        "verification domain=contoso.com record=SPF status=VerificationInProgress code=SpfSoftFail attempt=2",
        "verification domain=contoso.com record=SPF status=Verified attempt=3",
    ]


def test_managed_list_tells_why_how_often_and_until_when_with_the_address_masked(caplog: pytest.LogCaptureFixture) -> None:
    facts = {"bounce_class": "invalid_recipient", "bounces": 1}
    maillog.managed_list("svc:op", "ann@fabrikam.test", **facts, withheld=2, until=1_790_000_000.0)  # type: ignore[arg-type]
    maillog.managed_list("svc:op", "ann@fabrikam.test", **facts, withheld=0, until=0.0)  # type: ignore[arg-type]
    begin = "managed-list message=svc:op recipient=a***@fabrikam.test bounce_class=invalid_recipient bounces=1"
    assert caplog.messages == [f"{begin} withheld=2 until=2026-09-21T14:13:20+00:00", f"{begin} withheld=0"]


def test_mail_that_came_back_names_its_message_and_no_address(caplog: pytest.LogCaptureFixture) -> None:
    maillog.inbound("svc:op", kind="feedback abuse", became="changed", request="4ced", reporter="mx.fabrikam.test")
    line = 'inbound message=svc:op kind="feedback abuse" became=changed reporter=mx.fabrikam.test request=4ced'
    assert caplog.messages == [line]


def test_smtp_server_tells_who_logged_in_what_was_refused_and_how_its_certificate_is(caplog: pytest.LogCaptureFixture) -> None:
    maillog.relay_started("0.0.0.0", ports="submission:587 tls:465", expires=1_790_000_000.0)
    maillog.logged_in("4ced", client="192.0.2.1", user="ann@contoso.com", mechanism="PLAIN")
    maillog.login_refused("4ced", client="192.0.2.1", user="ann", mechanism="LOGIN", reason="wrong password")
    maillog.certificate("/tls/tls.crt", expires=1_790_000_000.0, problem="it has expired")
    maillog.certificate("/tls/tls.crt", expires=1_790_000_000.0, problem="")
    maillog.relay_stopped(connections=3, cut=1)
    until = "expires=2026-09-21T14:13:20+00:00"
    assert caplog.messages == [
        f'relay-started host=0.0.0.0 ports="submission:587 tls:465" {until}',
        "logged-in connection=4ced client=192.0.2.1 user=a***@contoso.com mechanism=PLAIN",
        'login-refused connection=4ced client=192.0.2.1 user=ann mechanism=LOGIN reason="wrong password"',
        f'certificate file=/tls/tls.crt {until} problem="it has expired"',
        f"certificate file=/tls/tls.crt {until}",
        "relay-stopped connections=3 cut=1",
    ]
    assert [record.levelname for record in caplog.records] == ["INFO", "INFO", "WARNING", "ERROR", "INFO", "INFO"]
