"""The advice: every class and every state has one, every text can be filled in, and each case says what it is for."""

from __future__ import annotations

import string
from typing import Any

import pytest

from email_core.data_plane.operation import OperationStatus
from email_core.delivery.bounce_classes import bounce_rules
from email_core.delivery.ledger import POISONED
from email_core.delivery.outcome import CUSTOMER_LIST, MANAGED_LIST
from email_core.delivery.smtp_connection import NO_ENTRY, NO_LOG_IN
from email_core.explain.advice import (
    RUNNING,
    TEXTS,
    TEXTS_FILE,
    Names,
    Situation,
    _fits,
    advise,
    class_meanings,
    filled,
    load_texts,
    operation_meaning,
)
from email_core.message.status import RecipientStatus

TABLES = load_texts(TEXTS_FILE.read_text(encoding="utf-8"))
NAMES = Names(
    address="ann@fabrikam.test", domain="fabrikam.test", host="mx.fabrikam.test", sender="news@contoso.test",
    sender_domain="contoso.test", bounce_domain="bounce.postrider.test", size="12 MB as it goes out", again="at 03:24 UTC",
    zone="fabrikam.test", sender_zone="contoso.test", bounce_zone="bounce.postrider.test",
    selectors="s1._domainkey.contoso.test",
)  # fmt: skip
CASES: dict[str, dict[str, Any]] = {case["name"]: case for case in TABLES["case"]}


def every_text() -> dict[str, str]:
    """All texts by where they stand."""
    entries = {f"{section} {name}": entry for section in ("status", "class") for name, entry in TABLES[section].items()}
    entries |= {f"case {name}": case for name, case in CASES.items()}
    return {f"{where} {name}": entry[name] for where, entry in entries.items() for name in TEXTS if name in entry}


def test_advice_exists_for_every_bounce_class_and_no_other() -> None:
    assert set(TABLES["class"]) == set(class_meanings())
    assert len(TABLES["class"]) == 19
    assert {rule.bounce_class for rule in bounce_rules()} <= set(TABLES["class"])


def test_advice_exists_for_every_state_of_a_recipient_and_no_other() -> None:
    assert set(TABLES["status"]) == {*map(str, RecipientStatus), RUNNING}


def test_meaning_exists_for_every_status_of_an_operation() -> None:
    never = {OperationStatus.CANCELED}  # defined by ACS, and nothing can be cancelled here
    assert all(operation_meaning(status) for status in set(OperationStatus) - never)
    assert operation_meaning("Something") == ""


@pytest.mark.parametrize("where", every_text())
def test_advice_text_names_only_what_is_known_and_reads_as_sentences(where: str) -> None:
    text = every_text()[where]
    names = {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    assert names <= set(Names.__dataclass_fields__)
    shown = filled(text, NAMES)
    assert shown == " ".join(shown.split())
    assert "{" not in shown and shown
    ends = shown.rstrip(")").endswith(".") or shown.split()[-1] in ("doctor.", "--reply.", "fabrikam.test")
    assert ends, f"{where} does not end as a sentence: {shown!r}"


@pytest.mark.parametrize("name", CASES)
def test_case_of_the_advice_names_what_exists(name: str) -> None:
    case = CASES[name]
    rules = {rule.name for rule in bounce_rules()} | {"no-reply", POISONED, CUSTOMER_LIST, MANAGED_LIST}
    assert set(case.get("class", ())) <= set(TABLES["class"])
    assert set(case.get("rule", ())) <= rules
    assert set(case.get("status", ())) <= set(map(str, RecipientStatus))
    assert set(case.get("route", ())) <= {"mx", "smarthost", "capture", "simulator"}
    assert all(phrase == " ".join(phrase.lower().split()) for phrase in case.get("text", ()))


@pytest.mark.parametrize("name", CASES)
def test_case_of_the_advice_can_be_reached(name: str) -> None:
    case = CASES[name]
    situation = Situation(
        status=case.get("status", ["Failed"])[0],
        final=True,
        bounce_class=case.get("class", [""])[0],
        rule=case.get("rule", [""])[0],
        enhanced=case.get("enhanced", [""])[0].replace("x", "5"),
        reply=case.get("text", [""])[0],
        route=case.get("route", [""])[0],
    )
    assert next(each["name"] for each in TABLES["case"] if _fits(each, situation)) == name


@pytest.mark.parametrize(
    ("status", "bounce_class", "rule", "reply", "route", "words"),
    [
        ("Failed", "auth_failure", "google-unauthenticated", "550 5.7.27 SPF", "mx", "dig +short TXT bounce.postrider.test"),
        ("Failed", "auth_failure", "google-unauthenticated", "550 5.7.30 x", "mx", "s1._domainkey.contoso.test"),
        ("Failed", "auth_failure", "google-unauthenticated", "550 5.7.32 x", "mx", "TXT _dmarc.contoso.test"),
        ("Failed", "auth_failure", "google-unauthenticated", "550 5.7.26 x", "mx", "SPF: TXT bounce.postrider.test"),
        ("Failed", "auth_failure", "not-authenticated-mail", "550 5.7.1 DMARC policy", "mx", "TXT _dmarc.contoso.test"),
        ("Failed", "auth_failure", "not-authenticated-mail", "550 <dmarc@x.test> no", "mx", "DKIM: TXT s1._domainkey"),
        ("Failed", "block_ip", "exchange-banned-address", "550 5.7.606 x", "mx", "https://sender.office.com"),
        ("Failed", "block_ip", "listed-address", "554 listed by zen.spamhaus.org", "mx", "https://check.spamhaus.org"),
        ("Failed", "block_ip", "no-reverse-name", "550 no PTR record", "mx", "Set the PTR record"),
        ("Failed", "block_ip", "listed-address", "550 blacklisted", "mx", "the list that the answer names"),
        ("Bounced", "bad_domain", "status-no-domain", "550 5.1.2 x", "mx", "dig +short MX fabrikam.test"),
        ("Failed", "relay_denied", "relay-denied", "554 5.7.1 x", "smarthost", "user and password of the relay"),
        ("Failed", "relay_denied", "relay-denied", "554 5.7.1 x", "mx", "Compare the MX records"),
        ("Deferred", "relay_denied", "stage-log-in", NO_LOG_IN, "smarthost", "`relay-refused`"),
        ("Deferred", "network", "stage-no-host", NO_ENTRY, "smarthost", "`relay-refused`"),
        ("Deferred", "", "", "the message can't be signed yet", "", "POSTRIDER_SEALING_KEY"),
        ("Failed", "greylisted", POISONED, "gave up", "mx", "./postrider poison replay"),
        ("Deferred", "network", "stage-no-host", "Connection refused", "mx", "port 25"),
        ("Deferred", "network", "stage-no-host", "Connection refused", "smarthost", "whether the relay runs"),
    ],
)
def test_advice_for_the_operator_says_where_to_look(
    status: str, bounce_class: str, rule: str, reply: str, route: str, words: str
) -> None:
    enhanced = next((word for word in reply.split() if word[1:2] == "." and word[0] in "45"), "")
    final = status != "Deferred"
    situation = Situation(status, final, bounce_class, rule, enhanced, reply, route)
    assert words in advise(situation, NAMES).operator


@pytest.mark.parametrize(
    ("situation", "meaning", "what_to_do"),
    [
        (Situation("Deferred", False, "greylisted", "greylisted"), "come back later", "it is tried again at 03:24 UTC"),
        (Situation("Failed", True, "greylisted", "greylisted"), "come back later", "a quarter of an hour"),
        (Situation("Deferred", False, "mailbox_full", "x"), "is full", "Nothing for now: it is tried again at 03:24 UTC"),
        (Situation("Bounced", True, "mailbox_full", "x"), "is full", "Once there is room"),
        (Situation("Bounced", True, "invalid_recipient", "x"), "no mailbox for ann@fabrikam.test", "Check the spelling"),
        (Situation("Bounced", True, "bad_domain", "x", "5.1.2"), "does not exist", "after the @"),
        (Situation("Bounced", True, "bad_domain", "x", "5.1.10"), "takes no mail at all", "another domain"),
        (Situation("Failed", True, "too_big", "x"), "The message, 12 MB as it goes out, is larger", "send a link"),
        (Situation("Failed", True, "block_ip", "x"), "internet address", "Nothing in your message is wrong"),
        (Situation("Failed", True, "protocol", "x", "5.6.7"), "letters outside of English", "English letters only"),
        (Situation("Expired", True, "network", "x"), "until its time was over", "new message later"),
        (Situation("Expired", True), "until its time was over", "this one is not tried any more"),
        (Situation("Pending", False), "not tried yet", "begins by itself"),
        (Situation(RUNNING, False), "tried at this moment", "ask again"),
        (Situation("Suppressed", True), "suppression list", "taken off the list"),
        (Situation("Suppressed", True, rule=CUSTOMER_LIST), "the owner of contoso.test", "delete the address from the list"),
        (Situation("Suppressed", True, "invalid_recipient", MANAGED_LIST), "held back for a while", "it ends by itself"),
        (Situation("Quarantined", True), "put it aside", "release it from quarantine"),
        (Situation("Failed", True, rule=POISONED), "gave up", "the id of this message"),
        (Situation("Delivered", True, route="mx"), "no proof that it was read", "spam folder"),
        (Situation("Delivered", True, route="smarthost"), "the relay of this service, took", "the operator of the relay"),
        (Situation("Delivered", True, route="capture"), "Nothing was sent to the recipient", "outbox"),
        (Situation("Failed", True, "class_of_tomorrow", "x"), "no words for the class class_of_tomorrow", "server's answer"),
        (Situation("Paused", True), "given up", "new message"),
    ],
)
def test_advice_for_the_sender_says_what_it_means_and_what_to_do(situation: Situation, meaning: str, what_to_do: str) -> None:
    advice = advise(situation, NAMES)
    assert meaning in advice.meaning
    assert what_to_do in advice.sender


def test_advice_with_braces_in_an_address_shows_them_as_they_are() -> None:
    names = Names(address="{sender}@fabrikam.test")
    assert "{sender}@fabrikam.test" in advise(Situation("Bounced", True, "invalid_recipient"), names).meaning


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[status.A]\nmeaning = 'a'\n[class]\n", "status A: must have"),
        ("case = [{name = 'x', meaning = 'a'}]\n[status]\n[class]", "case x: needs"),
        ("case = [{name = 'x', class = ['a']}]\n[status]\n[class]", "case x: needs"),
        ("case = [{name = 'x', class = ['a'], meaning = 'a', codes = 1}]\n[status]\n[class]", r"unknown: \['codes'\]"),
    ],
)
def test_advice_file_that_is_wrong_names_the_entry(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        load_texts(text)
