# ruff: noqa: E501 - a row of the table is an event with its sentence
"""The events of a timeline, each as the sentence that a person reads."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import email_core
from email_core.explain.steps import _KINDS, step
from tests.unit.explain.rows import SELECTORS, event

ROWS: list[tuple[str, dict[str, object], str]] = [
    ("accepted", {"door": "http", "size": 1234, "recipients": 2}, "Accepted over HTTP for 2 recipients, 1.2 KB, and stored."),
    ("accepted", {"door": "smtp", "size": 1234, "recipients": 1, "user": "printer"}, "Accepted by SMTP from the user printer for 1 recipient, 1.2 KB, and stored."),
    ("signed", {"selectors": SELECTORS, "size": 2345}, f"Made ready, 2.3 KB, and signed (DKIM) with {SELECTORS}."),
    ("split", {"envelopes": 2, "domains": ["a.test", "b.test"]}, "Split into 2 deliveries, one for each domain: a.test, b.test."),
    ("suppressed", {"recipient": "a@a.test", "list": "customer-list", "senders": "news@contoso.test", "id": "7"}, "Not sent to a@a.test: it is on the suppression list for news@contoso.test, with the id 7. Whoever keeps the list can delete it there."),
    ("suppressed", {"recipient": "a@a.test", "list": "managed-list", "bounceClass": "invalid_recipient", "since": 1795317583.0, "until": 1795490383.0, "id": "9f"}, "Not sent to a@a.test: it is on the managed suppression list until 03:19 UTC on 2026-11-24. A server said at 03:19 UTC on 2026-11-22 that there is no such mailbox. An administrator can take it off before: its id is 9f."),
    ("route", {"route": "mx", "why": "the first one of the settings"}, "The route is to the mail servers of the recipient's domain (mx): the first one of the settings."),
    ("route", {"route": "smarthost://[::1]:587", "why": "x"}, "The route is by the relay [::1]:587: x."),
    ("route", {"route": "capture://127.0.0.1:25"}, "The route is to the capture sink 127.0.0.1:25."),
    ("route", {"route": "pigeon"}, "The route is by pigeon."),
    ("mx", {"domain": "a.test", "hosts": ["10 mx.a.test 192.0.2.1 192.0.2.2", "20 mx2.a.test 192.0.2.3"], "implicit": False}, "The DNS says who takes mail for a.test (MX): mx.a.test at 192.0.2.1, 192.0.2.2, preference 10; mx2.a.test at 192.0.2.3, preference 20."),
    ("mx", {"domain": "a.test", "hosts": ["0 a.test 192.0.2.1"], "implicit": True}, "The domain a.test has no MX record, so it takes its mail itself: a.test at 192.0.2.1, preference 0."),
    ("mx", {"domain": "a.test", "enhanced": "5.1.2", "failed": "the domain a.test does not exist"}, "The DNS knows no server for mail to a.test: the domain a.test does not exist (5.1.2)."),
    ("connect", {"host": "mx.a.test", "address": "192.0.2.1", "port": 25, "seconds": 0.02}, "Connected to mx.a.test (192.0.2.1, port 25)."),
    ("connect", {"host": "relay.test", "address": "relay.test", "port": 587, "seconds": 1.26}, "Connected to relay.test (port 587) (after 1.3 s)."),
    ("connect", {"host": "mx.a.test", "address": "192.0.2.1", "port": 25, "seconds": 30.0, "failed": "timed out"}, "No connection to mx.a.test (192.0.2.1, port 25): timed out (after 30.0 s)."),
    ("reuse", {"host": "mx.a.test", "address": "192.0.2.1", "port": 25, "messages": 1}, "Went on with the open connection to mx.a.test (192.0.2.1, port 25): 1 message before this one."),
    ("skipped", {"host": "mx.a.test", "address": "192.0.2.1", "port": 25, "failures": 3, "why": "timed out"}, "Left out mx.a.test (192.0.2.1, port 25) for now, for it gave no connection 3 times in a row: timed out."),
    ("tls", {"host": "mx.a.test", "version": "TLSv1.3", "cipher": "AES", "verified": False}, "Encrypted with TLSv1.3 (AES); its certificate was not looked at, as is usual between mail servers."),
    ("tls", {"host": "mx.a.test", "version": "TLSv1.3", "cipher": "AES", "verified": True}, "Encrypted with TLSv1.3 (AES); its certificate was verified."),
    ("plain", {"host": "mx.a.test", "why": "TLS with this host failed lately"}, "Not encrypted towards mx.a.test: TLS with this host failed lately."),
    ("smtp", {"command": "(greeting)", "reply": "220 mx.a.test ESMTP"}, "Greeting of the server -> 220 mx.a.test ESMTP"),
    ("smtp", {"command": "EHLO us.test", "reply": "250 mx.a.test\nSIZE 10\nSTARTTLS"}, "We gave our name: EHLO us.test -> 250 mx.a.test | SIZE 10 | STARTTLS"),
    ("smtp", {"command": "AUTH PLAIN ***", "reply": "235 ok"}, "We logged in: AUTH PLAIN *** -> 235 ok"),
    ("smtp", {"command": "RCPT TO:<a@a.test>", "reply": "550 5.1.1 no"}, "We named the recipient: RCPT TO:<a@a.test> -> 550 5.1.1 no"),
    ("smtp", {"command": "RCPT TO:<a@a.test>", "failed": "connection lost", "seconds": 2.0}, "We named the recipient: RCPT TO:<a@a.test> -> no answer: connection lost (after 2.0 s)"),
    ("smtp", {"command": "(message of 2345 octets)", "reply": "250 2.0.0 queued"}, "We sent the message of 2345 octets -> 250 2.0.0 queued"),
    ("smtp", {"command": "XCLIENT x", "reply": "250 ok"}, "XCLIENT x -> 250 ok"),
    ("rule", {"recipients": ["a@a.test"], "stage": "rcpt", "rule": "no-such-user", "bounce_class": "invalid_recipient", "disposition": "bounced"}, "The rule no-such-user fits: class invalid_recipient (there is no such mailbox). a@a.test: refused for good."),
    ("rule", {"recipients": [f"{n}@a.test" for n in range(7)], "rule": "r", "bounce_class": "c", "disposition": "deferred"}, "The rule r fits: class c. 0@a.test, 1@a.test, 2@a.test, 3@a.test, 4@a.test and 2 more: tried again later."),
    ("indeterminate", {"recipients": ["a@a.test"], "stage": "final-dot", "why": "connection lost; the receiver may have the message"}, "Nobody can know whether a@a.test got it: connection lost; the receiver may have the message. It is sent again, and may be there twice."),
    ("gave-up", {"stage": "banner", "why": "handed over to a patient attempt"}, "This try was ended while waiting for the greeting: handed over to a patient attempt."),
    ("waiting", {"why": "the message can't be signed yet"}, "Not tried: the message can't be signed yet."),
    ("expired", {"recipient": "a@a.test", "tries": 9}, "The time of a@a.test is over after 9 tries: no further one."),
    ("fault", {"error": "KeyError", "where": "email_core/x.py:3 in f", "try": 2}, "A fault of our own ended this run: KeyError at email_core/x.py:3 in f."),
    ("poisoned", {"why": "It gave up.", "item": "7"}, "Given up for a fault of our own: It gave up. (item 7)"),
    ("replayed", {"item": "7", "recipients": 1, "attempt": 3}, "The operator has it worked again for 1 recipient."),
    ("overdue", {"seconds": 1200, "attempt": 1, "queue": "deliveries"}, "Nobody had worked it when it was due, 20 minutes late: it is put back into the queue."),
    ("cut", {"events": 400}, "More happened at this try than is kept (400 lines)."),
    ("arc-sealed", {"dkim": ["pass a.test", "fail b.test"], "arc": "pass", "instance": 2}, "It came with signatures of others (DKIM: pass a.test, fail b.test; ARC: pass), and was sealed (ARC) as hop 2."),
    ("arc-unsealed", {"dkim": [], "arc": "fail", "instance": 1, "why": "the body was changed"}, "It came with signatures of others (DKIM: none; ARC: fail), and was not sealed (ARC): the body was changed."),
    ("notification", {"about": "op", "action": "failed", "size": 900}, "Made and signed by the platform: it tells that op has the state failed."),
    ("sealed", {"seal": "red", "hosts": ["a", "b"], "count": 3}, "sealed: seal=red, hosts=a, b, count=3"),
    ("sealed", {}, "sealed"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "facts", "text"), ROWS)
def test_step_says_in_words_what_the_event_is(kind: str, facts: dict[str, object], text: str) -> None:
    told = step(event(0.5, kind, **facts), envelope=2)
    assert told.text == text
    assert (told.at, told.kind, told.envelope) == ("2026-11-22T03:19:43.750Z", kind, 2)


@pytest.mark.parametrize(
    ("due", "text"),
    [
        (1.0, "It is tried again at once."),
        (300.0, "It is tried again at 03:24 UTC."),
        (86400.0, "It is tried again at 03:19 UTC on 2026-11-23."),
        (None, "It is tried again."),
    ],
)
def test_step_of_the_next_attempt_says_when(due: float | None, text: str) -> None:
    facts: dict[str, object] = {} if due is None else {"at": event(due, "x").at, "attempt": 2}
    assert step(event(0, "next-attempt", **facts)).text == text


@pytest.mark.parametrize("kind", [*_KINDS, "next-attempt"])
def test_step_without_the_facts_that_it_should_have_is_told_all_the_same(kind: str) -> None:
    assert step(event(0, kind)).text
    strange: dict[str, object] = dict.fromkeys(
        ("hosts", "recipients", "at", "seconds", "size", "tries", "port", "messages", "events", "stage", "domains"), "strange"
    )
    assert step(event(0, kind, **strange)).text


def test_step_has_words_for_every_kind_that_is_written() -> None:
    sources = [path.read_text(encoding="utf-8") for path in Path(inspect.getfile(email_core)).parent.rglob("*.py")]
    written = {
        kind for source in sources for kind in re.findall(r'(?:TimelineEvent\([^"]*?,|self\._add\()\s*"([a-z-]+)"', source)
    }
    assert len(written) > 12
    assert written - {*_KINDS, "next-attempt"} == set()
