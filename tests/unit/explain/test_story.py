"""The story of a message: where each recipient stands, what follows and when, and how all of it reads in a terminal."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from email_core.delivery.rows import SpooledRow
from email_core.explain.explanation import Explanation, Recipient, clock_time, octets, span
from email_core.explain.story import explain_message
from email_core.explain.text import Look, message_text
from tests.unit.explain.rows import ACCEPTED, FACTS, HOUR, PREPARED, entry, event, row

NOW = ACCEPTED + 60
GREYLISTED = {"bounce_class": "greylisted", "rule": "greylisted", "host": "mx.fabrikam.test"}
UNKNOWN = {"bounce_class": "invalid_recipient", "rule": "no-such-user", "host": "mx.fabrikam.test", "hard_bounce": True}


DEFERRED = entry("Deferred", "450 4.2.0 later", **GREYLISTED)


def recipient(read: SpooledRow, now: float = NOW) -> Recipient:
    [found] = explain_message(read, [], now=now).recipients
    return found


@pytest.mark.parametrize(
    ("read", "now", "words"),
    [
        (row(entry(), next_attempt_at=ACCEPTED), NOW, "The first try begins by itself"),
        (row(entry(), claim_until=NOW + 300), NOW, "It is being tried now; this try ends at 03:25 UTC at the latest."),
        (row(entry(), claim_until=NOW - 1), NOW, "The run that tried it ended without a word; its time was over at 03:20 UTC."),
        (row(entry(), next_attempt_at=ACCEPTED), ACCEPTED + HOUR,
         "was due at 03:19 UTC and has not been worked for 1 hour"),
        (
            row(DEFERRED, attempt=1, next_attempt_at=NOW + 300),
            NOW,
            "It is tried again at 03:25 UTC, in about 5 minutes. If nobody takes it, it is given up at 03:19 UTC on 2026-11-25",
        ),
        (
            row(DEFERRED, attempt=1, next_attempt_at=NOW - 1),
            NOW,
            "It is tried again as soon as a run is free for it.",
        ),
        (
            row(DEFERRED, attempt=9, next_attempt_at=NOW + 6 * HOUR, reopened_at=NOW, expires_at=NOW + 1e6),
            NOW,
            "in about 6 hours. If nobody takes it, it is given up at 03:20 UTC on 2026-11-27",
        ),
        (row(entry("Delivered", "250 ok")), NOW, "Nothing: this is final."),
    ],
    ids=["pending", "running", "died", "overdue", "deferred", "due", "reopened", "final"],
)  # fmt: skip
def test_recipient_is_told_what_is_next_and_when(read: SpooledRow, now: float, words: str) -> None:
    assert words in recipient(read, now).next


def test_recipient_deferred_has_its_times_for_programs() -> None:
    found = recipient(row(DEFERRED, attempt=1, next_attempt_at=NOW + 300))
    assert (found.final, found.tries, found.last_try_at) == (False, 1, "2026-11-22T03:19:44.250Z")
    assert (found.next_attempt, found.expires_at) == ("2026-11-22T03:25:43.250Z", "2026-11-25T03:19:43.250Z")
    assert found.running_until is None
    assert found.what_to_do.startswith("Nothing: it is tried again at 03:25 UTC")


def test_recipient_that_is_being_tried_has_no_next_attempt() -> None:
    found = recipient(row(DEFERRED, attempt=1, claim_until=NOW + 60))
    assert (found.next_attempt, found.running_until) == (None, "2026-11-22T03:21:43.250Z")
    assert "it is tried again at this moment" in found.what_to_do


def test_recipient_that_is_final_has_no_times_to_come() -> None:
    found = recipient(row(entry("Bounced", "550 5.1.1 no", **UNKNOWN), attempt=1))
    assert (found.next_attempt, found.expires_at, found.running_until) == (None, None, None)
    assert (found.bounce_class, found.rule) == ("invalid_recipient", "no-such-user")


def test_recipient_that_may_have_it_twice_is_told_why() -> None:
    found = recipient(row(entry("Delivered", "250 ok", possible_duplicate=True)))
    assert "may have it twice" in found.duplicate_meaning
    assert "RFC 1047" in found.duplicate_meaning
    assert recipient(row(entry("Delivered", "250 ok"))).duplicate_meaning == ""


@pytest.mark.parametrize(
    ("route", "words"),
    [
        ("mx", "mx.fabrikam.test took the message"),
        ("smarthost://relay.test:587", "the relay of this service"),
        ("capture://127.0.0.1:2525", "Nothing was sent to the recipient"),
    ],
)
def test_recipient_delivered_means_what_the_route_makes_of_it(route: str, words: str) -> None:
    story = (*PREPARED, event(0.3, "route", route="smarthost://first.test:587"), event(0.4, "route", route=route))
    assert words in recipient(row(entry("Delivered", "250 ok", host="mx.fabrikam.test"), timeline=story)).meaning


def test_recipient_of_the_simulator_is_told_apart_from_one_beside_it() -> None:
    story = (*PREPARED, event(0.3, "route", route="simulator"), event(0.4, "route", route="mx"))
    host = "simulator.postrider.test"
    entries = (entry("Delivered", "250 ok", address=f"open@{host}", host=host), entry("Delivered", "250 ok", host="mx.a.test"))
    test, real = explain_message(row(*entries, timeline=story), [], now=NOW).recipients
    assert "nothing leaves" in test.meaning
    assert "mx.a.test took the message" in real.meaning


def test_advice_on_authentication_names_the_records_of_this_message() -> None:
    failed = {"bounce_class": "auth_failure", "rule": "google-unauthenticated", "host": "aspmx.l.google.com"}
    found = recipient(row(entry("Failed", "550 5.7.30 DKIM did not pass", **failed)))
    assert "s1._domainkey.contoso.test, s2._domainkey.contoso.test" in found.for_operator


def test_explanation_shows_neither_hashes_nor_resource_ids() -> None:
    encoded = msgspec.json.encode(explain_message(row(entry()), [], now=NOW)).decode()
    assert "subscriptions" not in encoded
    assert FACTS.request_hash not in encoded


def split_message() -> tuple[SpooledRow, list[SpooledRow]]:
    message = row(entry(address="x@a.test"), entry(address="y@b.test"), envelopes=2)
    slow = (event(2, "route", route="mx"), event(9, "next-attempt", at=NOW + 60))
    first = row(entry("Deferred", "450 4.3.0 x", address="x@a.test"), name="envelope:001", timeline=slow, attempt=1)
    quick = (event(3, "route", route="mx"),)
    second = row(entry("Delivered", "250 ok", address="y@b.test"), name="envelope:002", timeline=quick, attempt=1)
    return message, [first, second]


def test_explanation_of_a_split_message_tells_all_envelopes_by_time() -> None:
    message, envelopes = split_message()
    told = explain_message(message, envelopes, now=NOW)
    assert [(each.address, each.status) for each in told.recipients] == [("x@a.test", "Deferred"), ("y@b.test", "Delivered")]
    assert [(step.kind, step.envelope) for step in told.steps] == [
        ("accepted", 0), ("signed", 0), ("split", 0), ("route", 1), ("route", 2), ("next-attempt", 1),
    ]  # fmt: skip
    assert "one for each domain: a.test, b.test" in told.steps[2].text


def test_explanation_after_the_clock_was_set_back_keeps_the_order_in_which_it_happened() -> None:
    story = (*PREPARED, event(-3600, "route", route="mx"), event(-3599, "connect", host="a", address="b", port=25))
    steps = explain_message(row(entry(), timeline=story), [], now=NOW).steps
    assert [step.kind for step in steps] == ["accepted", "signed", "route", "connect"]


def test_explanation_as_json_is_read_again_also_with_fields_of_a_newer_version() -> None:
    told = explain_message(row(entry("Bounced", "550 5.1.1 no", **UNKNOWN)), [], now=NOW)
    body = msgspec.json.decode(msgspec.json.encode(told))
    assert body["recipients"][0]["whatToDo"].startswith("Check the spelling")
    assert body["acceptedAt"] == "2026-11-22T03:19:43.250Z"
    assert msgspec.convert({**body, "mood": "good"}, Explanation) == told


REFUSED = (
    *PREPARED,
    event(0.3, "route", route="mx", why="the first one of the settings"),
    event(0.5, "smtp", command="RCPT TO:<ann@fabrikam.test>", reply="550 5.1.1 <ann@fabrikam.test>: User unknown", seconds=0.1),
)
BOUNCED_TEXT = """\
Message 7f0b1d6e-4a53-4f0c-9d2b-1c3a5e7f9b11
  from          news@contoso.test
  accepted      2026-11-22 03:19:43 UTC, over HTTP, 1.2 KB
  status        Succeeded. Handed to delivery. That does not mean delivered:
                what became of each recipient stands below.
  Message-ID    <7f0b1d6e-4a53-4f0c-9d2b-1c3a5e7f9b11@contoso.test>

ann@fabrikam.test: Bounced
  it means      There is no mailbox for ann@fabrikam.test: mx.fabrikam.test does
                not know the name. Most often it is a typing error, or the
                person has left.
  the answer    550 5.1.1 <ann@fabrikam.test>: User unknown
  what is next  Nothing: this is final.
  what to do    Check the spelling of ann@fabrikam.test, and ask the person in
                another way for the right address. Send a new message to that
                one, and take the wrong one off your lists: mail to addresses
                that do not exist gives a sender a bad name.
  for operator  Nothing: the answer is about the address, not about this
                installation.
  tried         1 try, the last one at 2026-11-22 03:19:44 UTC, by
                mx.fabrikam.test
  rule          no-such-user, class invalid_recipient

What happened, times in UTC
  2026-11-22
    03:19:43.250  Accepted over HTTP for 1 recipient, 1.2 KB, and stored.
    03:19:43.450  Made ready, 2.3 KB, and signed (DKIM) with
                  s1._domainkey.contoso.test (rsa-sha256),
                  s2._domainkey.contoso.test (ed25519-sha256).
    03:19:43.550  The route is to the mail servers of the recipient's domain
                  (mx): the first one of the settings.
    03:19:43.750  We named the recipient: RCPT TO:<ann@fabrikam.test> -> 550
                  5.1.1 <ann@fabrikam.test>: User unknown
"""


def test_text_of_a_bounce_tells_the_answer_first_and_the_story_after() -> None:
    read = row(entry("Bounced", "550 5.1.1 <ann@fabrikam.test>: User unknown", **UNKNOWN), timeline=REFUSED, attempt=1)
    assert message_text(explain_message(read, [], now=NOW), Look(width=80)) == BOUNCED_TEXT


def test_text_of_a_split_message_numbers_the_envelopes() -> None:
    lines = message_text(explain_message(*split_message(), now=NOW), Look()).splitlines()
    assert "    03:19:45.250   1  The route is to the mail servers of the recipient's domain (mx)." in lines
    assert "    03:19:46.250   2  The route is to the mail servers of the recipient's domain (mx)." in lines


def test_text_tells_recipients_of_whom_the_same_is_to_be_said_together() -> None:
    entries = [entry("Delivered", "250 ok", address=f"{name}@a.test", kind=kind) for name, kind in (("x", "to"), ("y", "bcc"))]
    text = message_text(explain_message(row(*entries), [], now=NOW), Look())
    assert "x@a.test, y@a.test (bcc): Delivered" in text
    assert text.count("it means") == 1


def test_text_of_a_failed_operation_says_why() -> None:
    read = row(entry("Expired"), status="Failed", error_code="EmailDropped", error_reason="It could not be prepared.")
    assert "  error         EmailDropped. It could not be prepared." in message_text(explain_message(read, [], now=NOW), Look())


def test_text_shows_what_a_hostile_server_said_as_printable_characters_in_its_place() -> None:
    hostile = "550 5.1.1 \x1b[2J\nann@fabrikam.test: Delivered\n  it means  all is well \u202e"
    told = explain_message(
        row(entry("Bounced", hostile, **UNKNOWN), timeline=(event(0, "smtp", command=hostile),)), [], now=NOW
    )
    text = message_text(told, Look())
    assert "\x1b" not in text and "\u202e" not in text
    assert "  the answer    550 5.1.1 ?[2J ann@fabrikam.test: Delivered it means all is well ?" in text
    assert not any(line.startswith("ann@fabrikam.test: Delivered") for line in text.splitlines())


def test_text_is_bold_only_where_that_is_asked_for() -> None:
    told = explain_message(row(entry()), [], now=NOW)
    assert "\x1b[1mMessage" in message_text(told, Look(bold=True))
    assert "\x1b" not in message_text(told, Look())


@pytest.mark.parametrize("width", [1, 40, 60, 110])
def test_text_keeps_to_the_width_of_the_terminal(width: int) -> None:
    read = replace(row(entry("Bounced", "550 5.1.1 " + "no such user here " * 20, **UNKNOWN)), timeline=())
    lines = message_text(explain_message(read, [], now=NOW), Look(width=width)).splitlines()
    longest_word = len(f"  Message-ID    {FACTS.message_id}")
    assert max(map(len, lines)) <= max(width, 40, longest_word)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 second"), (59, "59 seconds"), (60, "1 minute"), (119, "119 seconds"), (300, "5 minutes"), (3599, "60 minutes"),
     (3600, "1 hour"), (5400, "90 minutes"), (21600, "6 hours"), (72 * HOUR, "3 days")],
)  # fmt: skip
def test_span_is_in_the_unit_that_a_person_would_use(seconds: float, words: str) -> None:
    assert span(seconds) == words


@pytest.mark.parametrize(("size", "words"), [(1, "1 bytes"), (1234, "1.2 KB"), (12_345, "12 KB"), (10_485_760, "10.5 MB")])
def test_size_is_in_the_unit_that_a_person_would_use(size: int, words: str) -> None:
    assert octets(size) == words


def test_clock_time_names_the_day_when_it_is_another_one() -> None:
    assert clock_time(ACCEPTED, NOW) == "03:19 UTC"
    assert clock_time(ACCEPTED + 86400, NOW) == "03:19 UTC on 2026-11-23"


def test_run_that_failed_is_told_to_everybody_and_where_to_the_operator_alone() -> None:
    failed = event(5, "fault", error="KeyError", where="email_core/x.py:3 in f")
    read = replace(row(entry()), timeline=(failed,))

    [to_sender], [to_operator] = (
        [step.text for step in explain_message(read, [], now=NOW, for_operator=operator).steps] for operator in (False, True)
    )

    assert to_sender == "A fault of our own ended this run."
    assert to_operator == "A fault of our own ended this run: KeyError at email_core/x.py:3 in f."
