"""What reports change in a ledger: who bounced late, what is only told, and what changes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from email_core.delivery.ledger import Entry, Ledger
from email_core.delivery.rows import MessageFacts, SpooledRow
from email_core.message.status import Action, RecipientStatus
from email_core.returns.arf_report import Feedback, FeedbackReport
from email_core.returns.bounce_report import BounceReport, Kind, read_bounce
from email_core.returns.consequences import MOST_REPORTS, Change, after_feedback, after_report, is_full
from email_core.returns.status_report import RecipientReport
from tests.unit.returns.bounce_texts import CASES, dsn

NOW = 1_800_000_000.0
FACTS = MessageFacts(NOW, NOW + 3600, "http", "news@contoso.test", "/subscriptions/s/x/domains/contoso.test", 1000, "hash")
ANN = Entry("ann@fabrikam.test", status=RecipientStatus.DELIVERED, tries=1, reply="250 2.0.0 Ok", code=250, host="mx")
BOB = Entry("bob@fabrikam.test", status=RecipientStatus.DELIVERED, tries=1)
GONE = RecipientReport(
    Action.FAILED, "5.1.1", 550, "550 5.1.1 User unknown", "mx.fabrikam.test", "ann@fabrikam.test"
)  # fmt: skip


def row(*entries: Entry) -> SpooledRow:
    return SpooledRow("service:operation", "message", "etag", FACTS, Ledger(entries, attempt=1))


def report(*recipients: RecipientReport) -> BounceReport:
    return BounceReport(Kind.REPORT, recipients, reporting_mta="relay.fabrikam.test")


def applied(before: SpooledRow, change: Change) -> SpooledRow:
    return replace(before, ledger=change.ledger, timeline=(*before.timeline, *change.events))


def test_failure_turns_delivered_into_bounced_with_its_reason() -> None:
    change = after_report(row(ANN), report(GONE), now=NOW + 60)
    [entry] = change.ledger.entries
    assert change.entries == (entry,)
    assert (entry.status, entry.reply, entry.code, entry.enhanced) == ("Bounced", "550 5.1.1 User unknown", 550, "5.1.1")
    assert (entry.bounce_class, entry.hard_bounce, entry.host, entry.at) == (
        "invalid_recipient", True, "mx.fabrikam.test", NOW + 60,
    )  # fmt: skip
    assert entry.tries == 1
    [event] = change.events
    assert (event.kind, event.facts["recipient"], event.facts["by"]) == ("returned", ANN.address, "relay.fabrikam.test")


def test_same_report_again_changes_nothing() -> None:
    once = applied(row(ANN), after_report(row(ANN), report(GONE), now=NOW))
    again = after_report(once, report(GONE), now=NOW + 60)
    assert (again.events, again.entries, again.ledger) == ((), (), once.ledger)


def test_second_failure_in_other_words_is_told_and_leaves_the_first_reason() -> None:
    once = applied(row(ANN), after_report(row(ANN), report(GONE), now=NOW))
    other = after_report(once, report(replace(GONE, enhanced="5.2.2", code=552)), now=NOW + 60)
    assert (other.entries, other.ledger) == ((), once.ledger)
    assert [event.kind for event in other.events] == ["reported"]


@pytest.mark.parametrize("action", [action for action in Action if action is not Action.FAILED])
def test_any_other_action_is_told_and_changes_nothing(action: Action) -> None:
    change = after_report(row(ANN), report(replace(GONE, action=action)), now=NOW)
    assert (change.ledger.entries, change.entries) == ((ANN,), ())
    assert [(event.kind, event.facts["action"]) for event in change.events] == [("reported", action)]


@pytest.mark.parametrize("status", [status for status in RecipientStatus if status not in ("Delivered", "Suppressed")])
def test_recipient_that_is_not_delivered_stays_what_it_is(status: RecipientStatus) -> None:
    entry = replace(ANN, status=status)
    change = after_report(row(entry), report(GONE), now=NOW)
    assert change.ledger.entries == (entry,)
    assert [event.kind for event in change.events] == ["reported"]


def test_recipient_is_found_without_case_by_the_original_or_the_final_address() -> None:
    for named in (replace(GONE, final="ANN@Fabrikam.TEST"), replace(GONE, final="x@y.test", original="Ann@fabrikam.test")):
        change = after_report(row(BOB, ANN), report(named), now=NOW)
        assert [entry.address for entry in change.entries] == [ANN.address]


def test_bounce_of_an_envelope_with_another_recipient_that_could_have_written_it_suppresses_nobody() -> None:
    alone, among = (after_report(row(*entries), report(GONE), now=NOW) for entries in ((ANN,), (BOB, ANN)))
    assert [(entry.address, entry.hard_bounce) for entry in alone.entries] == [(ANN.address, True)]
    assert [(entry.address, entry.hard_bounce) for entry in among.entries] == [(ANN.address, False)]
    assert [change.events[0].facts["shared"] for change in (alone, among)] == [False, True]


def test_report_about_one_of_two_mailboxes_that_folding_makes_one_is_about_that_one() -> None:
    sharp, plain = replace(ANN, address="straße@fabrikam.test"), replace(ANN, address="strasse@fabrikam.test")
    change = after_report(row(sharp, plain), report(replace(GONE, final="STRASSE@fabrikam.test")), now=NOW)
    assert [entry.address for entry in change.entries] == [plain.address]


@pytest.mark.parametrize(
    ("final", "bounced"), [(BOB.address, [BOB.address]), ("bob@inside.fabrikam.test", []), ("ann@private.test", []), ("", [])]
)
def test_orcpt_that_names_another_recipient_does_not_make_that_one_bounce(final: str, bounced: list[str]) -> None:
    bob = replace(BOB, orcpt=f"rfc822;{ANN.address}")  # by a client that wants Ann to get no mail any more
    said = replace(GONE, original=ANN.address, final=final)
    for entries in ((ANN, bob), (bob, ANN)):
        change = after_report(row(*entries), report(said), now=NOW)
        assert [entry.address for entry in change.entries] == bounced  # both went out with that ORCPT: nobody can tell
        assert [event.kind for event in change.events] == ["returned" if bounced else "reported"]


def test_report_with_an_orcpt_that_several_went_out_with_is_about_none_of_them() -> None:
    ann, bob = (replace(entry, orcpt="rfc822;staff@contoso.test") for entry in (ANN, BOB))
    said = replace(GONE, original="Staff@contoso.test", final="ann@private.test")
    assert after_report(row(ann, bob), report(said), now=NOW).entries == ()
    [entry] = after_report(row(ann, BOB), report(said), now=NOW).entries
    assert entry.address == ANN.address


def test_forwarded_mail_to_one_of_several_is_known_by_the_orcpt_of_ours() -> None:
    said = replace(GONE, original=BOB.address, final="bob@private.test")
    [entry] = after_report(row(ANN, BOB), report(said), now=NOW).entries
    assert (entry.address, entry.status, entry.hard_bounce) == (BOB.address, "Bounced", False)


@pytest.mark.parametrize(
    ("final", "hard"),
    [
        ("info@fabrikam.test", True), ("ann@mailhost.fabrikam.test", True), ("", True),
        ("ann.private@else.test", False), ("ann@notfabrikam.test", False), ("ann@fabrikam.test.else.test", False),
    ],
)  # fmt: skip
def test_original_address_says_that_it_is_gone_unless_the_mail_was_forwarded_elsewhere(final: str, hard: bool) -> None:
    for entry in (ANN, replace(ANN, orcpt=f"rfc822;{ANN.address}")):
        said = replace(GONE, original=ANN.address, final=final)
        [bounced] = after_report(row(entry), report(said), now=NOW).entries
        assert (bounced.status, bounced.hard_bounce) == ("Bounced", hard)


def test_report_about_nobody_of_several_recipients_changes_nothing() -> None:
    change = after_report(row(ANN, BOB), report(replace(GONE, final="victim@else.test")), now=NOW)
    assert (change.ledger.entries, change.entries) == ((ANN, BOB), ())
    assert [event.facts["recipient"] for event in change.events] == ["victim@else.test"]


def test_report_that_names_nobody_is_about_the_only_recipient() -> None:
    change = after_report(row(ANN), report(replace(GONE, final="")), now=NOW)
    assert [(entry.address, entry.hard_bounce) for entry in change.entries] == [(ANN.address, True)]
    assert after_report(row(ANN, BOB), report(replace(GONE, final="")), now=NOW).entries == ()


def test_report_in_words_is_about_the_recipient_that_stands_in_it() -> None:
    change = after_report(row(ANN, BOB), report(replace(GONE, final="", mentioned=("x@y.test", BOB.address))), now=NOW)
    assert [entry.address for entry in change.entries] == [BOB.address]


def test_forwarded_mail_that_came_back_bounces_and_says_nothing_of_the_address() -> None:
    change = after_report(row(ANN), report(replace(GONE, final="ann.private@else.test")), now=NOW)
    assert [(entry.address, entry.status, entry.hard_bounce) for entry in change.entries] == [(ANN.address, "Bounced", False)]


def test_report_in_words_that_names_only_others_says_nothing_of_the_address() -> None:
    forwarded = replace(GONE, final="", mentioned=("ann.private@else.test",))
    change = after_report(row(ANN), report(forwarded), now=NOW)
    assert [(entry.address, entry.status, entry.hard_bounce) for entry in change.entries] == [(ANN.address, "Bounced", False)]


@pytest.mark.parametrize(
    ("form", "bounce_class", "hard"),
    [
        ("postfix", "invalid_recipient", True),
        ("yandex", "invalid_recipient", True),  # 5.7.1, and says that there is no such user
        ("qmail-local", "invalid_recipient", True),
        ("gmail", "invalid_recipient", True),
        ("dovecot-quota", "mailbox_full", False),
        ("qmail-quota", "mailbox_full", False),
        ("gmail-over-quota", "mailbox_full", False),
        ("proofpoint-essentials", "policy_content", False),  # 5.7.1 Message blocked due to the policy
        ("mimecast", "policy_content", False),
        ("hotmail-old", "policy_content", False),  # 5.7.1 without a word
        ("office-365-access-denied", "relay_denied", False),
        ("postfix-expired", "network", False),
        ("forwarded-to-another-address", "inactive_mailbox", False),
    ],
)
def test_late_bounce_suppresses_only_for_what_is_said_of_the_address(form: str, bounce_class: str, hard: bool) -> None:
    [entry] = after_report(row(ANN), read_bounce(CASES[form].raw.encode()), now=NOW).entries
    assert (entry.status, entry.bounce_class, entry.hard_bounce) == ("Bounced", bounce_class, hard)


@pytest.mark.parametrize(
    "said",
    [
        "550 5.7.1 Unauthenticated email from contoso.test is not accepted due to domain's DMARC policy",
        "554 5.7.1 Message rejected as spam by content filtering",
        "550 5.7.350 Remote server returned message detected as spam",
        "550 5.7.26 This mail has been blocked because the sender is unauthenticated",
        "550 5.7.1 Service unavailable; client [192.0.2.9] blocked using zen.spamhaus.org",
    ],
)
def test_late_bounce_for_a_policy_suppresses_nobody(said: str) -> None:
    fields = f"Final-Recipient: rfc822; {ANN.address}\nAction: failed\nStatus: 5.7.1\nDiagnostic-Code: smtp; {said}"
    [entry] = after_report(row(ANN), read_bounce(dsn(fields).encode()), now=NOW).entries
    assert (entry.status, entry.hard_bounce) == ("Bounced", False)


def test_suppressed_recipient_is_nobody_that_a_report_can_mean() -> None:
    held = replace(BOB, status=RecipientStatus.SUPPRESSED)
    change = after_report(row(held, ANN), report(replace(GONE, final="")), now=NOW)
    assert [entry.address for entry in change.entries] == [ANN.address]


def test_mail_that_somebody_gave_up_bounces_and_is_no_hard_bounce() -> None:
    expired = RecipientReport(Action.FAILED, "4.4.7", 0, "message expired", "", ANN.address)
    [entry] = after_report(row(ANN), report(expired), now=NOW).entries
    assert (entry.status, entry.hard_bounce, entry.enhanced) == ("Bounced", False, "4.4.7")


def test_failure_without_any_reason_is_of_no_class_and_no_hard_bounce() -> None:
    [entry] = after_report(row(ANN), report(RecipientReport(Action.FAILED, final=ANN.address)), now=NOW).entries
    assert (entry.reply, entry.hard_bounce) == ("returned without a reason", False)
    assert entry.bounce_class in ("unknown", "network")


def test_mail_bomb_ends_at_a_hundred_events() -> None:
    held = row(ANN)
    for number in range(300):
        each = replace(GONE, action=Action.DELAYED, code=400 + number)
        held = applied(held, after_report(held, report(*[replace(each, code=each.code * 10 + i) for i in range(5)]), now=NOW))
    assert len(held.timeline) == MOST_REPORTS
    assert is_full(held)


def test_report_with_many_strangers_is_told_in_few_lines() -> None:
    fields = "\n\n".join(f"Final-Recipient: rfc822; r{number}@else.test\nAction: failed\nStatus: 5.1.1" for number in range(90))
    change = after_report(row(ANN, BOB), read_bounce(dsn(fields).encode()), now=NOW)
    assert (len(change.events), change.entries) == (5, ())


def complaint(*recipients: str, feedback: Feedback = Feedback.ABUSE) -> FeedbackReport:
    return FeedbackReport(feedback, recipients, reporter="provider.test")


def test_complaint_leaves_the_status_and_names_who_is_meant() -> None:
    change = after_feedback(row(ANN, BOB), complaint("BOB@fabrikam.test"), now=NOW)
    assert (change.ledger.entries, change.entries) == ((ANN, BOB), (BOB,))
    [event] = change.events
    assert (event.kind, event.facts["recipients"], event.facts["feedback"]) == ("complaint", [BOB.address], "abuse")


def test_complaint_of_nobody_is_that_of_the_only_recipient() -> None:
    assert after_feedback(row(ANN), complaint(), now=NOW).entries == (ANN,)
    assert after_feedback(row(ANN, BOB), complaint(), now=NOW).entries == ()


def test_complaint_that_names_somebody_else_of_a_message_to_several_means_nobody() -> None:
    assert after_feedback(row(ANN, BOB), complaint("victim@else.test"), now=NOW).entries == ()


def test_same_complaint_again_changes_nothing() -> None:
    once = applied(row(ANN), after_feedback(row(ANN), complaint(), now=NOW))
    assert after_feedback(once, complaint(), now=NOW + 60).events == ()
