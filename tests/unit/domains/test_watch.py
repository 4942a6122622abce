"""What a look at a verified domain changes: lost, paused, back, resumed, and when it is looked at again."""

from __future__ import annotations

import pytest

from email_core.domains.dns_faults import DnsFault, Finding
from email_core.domains.documents import REQUIRED, DomainDocument, RotationDocument, StateDocument, Status
from email_core.domains.watch import DAY, HOUR, WATCHED_FOR, Watched, watched
from tests.unit.domains.health_subject import NOW, document

GRACE = 72 * HOUR

THERE = Finding(True, found=("v=spf1",), expected="v=spf1")
GONE = Finding(False, DnsFault.RECORD_MISSING, (), "v=spf1", "There is no such record.", "Publish it.")
UNKNOWN = Finding(False, DnsFault.SERVER_FAILURE, (), "v=spf1", "The name servers failed.", "Wait.", temporary=True)


def domain_with(*, lost: dict[str, float] | None = None, paused_since: float = 0.0, due: float = 0.0) -> DomainDocument:
    """All that is required was verified; `lost` is since when which records are missed."""
    domain = document(paused_since=paused_since)
    domain.verification_states = {
        kind: StateDocument(status=Status.VERIFIED, lost_since=(lost or {}).get(kind, 0.0), next_check_at=due if lost else 0.0)
        for kind in (*REQUIRED, "DMARC")
    }
    return domain


def look(
    domain: DomainDocument, *, now: float = NOW, grace: float = GRACE, looked_at: float | None = None, due: float = 0.0,
    **findings: Finding,
) -> Watched:  # fmt: skip
    """A look that found everything, save for those findings."""
    seen = {**dict.fromkeys((*REQUIRED, "DMARC"), THERE), **findings}
    return watched(domain, seen, now=now, grace=grace, looked_at=now if looked_at is None else looked_at, due=due)


def test_look_that_finds_everything_changes_no_more_than_when_it_was_made() -> None:
    outcome = look(domain_with())

    assert (outcome.lost, outcome.back, outcome.paused, outcome.resumed, outcome.again_in) == ({}, (), False, False, 0.0)
    assert outcome.document.last_verified_at == NOW
    assert outcome.document.state("SPF").checked_at == NOW


def test_record_that_is_missed_is_lost_at_once_and_looked_for_hourly() -> None:
    outcome = look(domain_with(), SPF=GONE)
    state = outcome.document.state("SPF")

    assert outcome.lost == {"SPF": GONE}
    assert (state.status, state.lost_since, state.reason, state.remedy) == (Status.VERIFIED, NOW, GONE.reason, GONE.remedy)
    assert (outcome.document.paused_since, outcome.paused) == (0.0, False)
    assert (outcome.again_in, state.next_check_at) == (HOUR, NOW + HOUR)
    assert outcome.missed_since == NOW
    assert outcome.document.last_verified_at == 0.0


def test_one_look_that_misses_a_record_pauses_nothing_even_without_a_grace() -> None:
    first = look(domain_with(), grace=0.0, SPF=GONE)
    second = look(first.document, now=NOW + 1, grace=0.0, SPF=GONE)

    assert (first.paused, second.paused) == (False, True)


def test_record_that_is_lost_for_longer_is_told_once() -> None:
    outcome = look(domain_with(lost={"SPF": NOW - DAY}, due=NOW), SPF=GONE)

    assert outcome.lost == {}
    assert outcome.document.state("SPF").lost_since == NOW - DAY


@pytest.mark.parametrize("finding", [UNKNOWN, None], ids=["temporary failure", "not looked at"])
def test_record_that_nobody_can_tell_about_stays_as_it_was(finding: Finding | None) -> None:
    for domain in (domain_with(), domain_with(lost={"SPF": NOW - DAY}, due=NOW + HOUR)):
        before = domain.state("SPF")
        findings = dict.fromkeys((*REQUIRED, "DMARC"), THERE)
        findings.pop("SPF")
        if finding:
            findings["SPF"] = finding

        assert watched(domain, findings, now=NOW, grace=GRACE, looked_at=NOW).document.state("SPF") == before


@pytest.mark.parametrize("days", [3, 30])
def test_servers_that_fail_for_days_pause_nothing(days: int) -> None:
    never_seen_missing = look(domain_with(), now=NOW + days * DAY, SPF=UNKNOWN, DKIM=UNKNOWN, Domain=UNKNOWN, DKIM2=UNKNOWN)
    missing_before = look(domain_with(lost={"SPF": NOW}, due=NOW), now=NOW + days * DAY, SPF=UNKNOWN)

    assert (never_seen_missing.document.paused_since, never_seen_missing.document.lost) == (0.0, ())
    assert missing_before.document.paused_since == 0.0
    assert missing_before.document.lost == ("SPF",)


@pytest.mark.parametrize("code", [DnsFault.SPF_SOFT_FAIL, DnsFault.SPF_NEUTRAL, DnsFault.SPF_NO_ALL, DnsFault.SPF_OPEN])
def test_spf_record_that_was_loosened_is_not_lost(code: DnsFault) -> None:
    assert look(domain_with(), SPF=Finding(False, code, reason="It ends with ~all.")).document.lost == ()


@pytest.mark.parametrize(
    ("missed_for", "paused"), [(GRACE - 1, False), (GRACE, True), (GRACE + DAY, True)], ids=["before", "at", "after"]
)
def test_sending_is_paused_when_the_grace_is_over(missed_for: float, paused: bool) -> None:
    outcome = look(domain_with(lost={"DKIM": NOW - missed_for}, due=NOW), DKIM=GONE)

    assert outcome.paused is paused
    assert outcome.document.paused_since == (NOW if paused else 0.0)


def test_look_before_the_end_of_the_grace_is_followed_by_one_at_its_end() -> None:
    outcome = look(domain_with(lost={"DKIM": NOW - GRACE + 600}, due=NOW), DKIM=GONE)

    assert outcome.again_in == 600


def test_record_that_is_not_required_pauses_nothing_however_long_it_is_lost() -> None:
    outcome = look(domain_with(lost={"DMARC": NOW - 10 * GRACE}, due=NOW), DMARC=GONE)

    assert (outcome.document.lost, outcome.document.paused_since, outcome.missed_since) == (("DMARC",), 0.0, 0.0)


@pytest.mark.parametrize(("active", "kind", "paused"), [(1, "DKIM2", False), (2, "DKIM", False), (1, "DKIM", True)])
@pytest.mark.parametrize("stage", ["", "seen", "retiring"])
def test_keys_that_stand_by_pause_nothing_however_long_they_are_lost(active: int, kind: str, paused: bool, stage: str) -> None:
    domain = domain_with(lost={kind: NOW - 10 * GRACE}, due=NOW)
    for selector in domain.selectors:
        selector.active = selector.slot == active
    if stage:
        domain.rotation = RotationDocument(run="r", stage=stage, to_slot=3 - active, started_at=NOW, stage_since=NOW)
    outcome = look(domain, **{kind: GONE})

    assert (outcome.document.lost, outcome.paused, bool(outcome.missed_since)) == ((kind,), paused, paused)


def test_sending_that_was_paused_for_keys_that_stand_by_goes_on() -> None:
    outcome = look(domain_with(lost={"DKIM2": NOW - 2 * GRACE}, paused_since=NOW - GRACE, due=NOW), DKIM2=GONE)

    assert (outcome.resumed, outcome.document.paused_since, outcome.document.lost) == (True, 0.0, ("DKIM2",))


def test_record_that_was_never_verified_is_none_that_can_be_lost() -> None:
    domain = domain_with()
    domain.verification_states["DMARC"] = StateDocument(status=Status.IN_PROGRESS, run="r")

    outcome = look(domain, DMARC=GONE)

    assert outcome.document.state("DMARC") == domain.state("DMARC")
    assert outcome.lost == {}


def test_record_that_is_seen_again_is_back_and_sending_goes_on() -> None:
    outcome = look(domain_with(lost={"SPF": NOW - 2 * GRACE}, paused_since=NOW - GRACE, due=NOW))

    assert (outcome.back, outcome.resumed, outcome.again_in) == (("SPF",), True, 0.0)
    assert (outcome.document.paused_since, outcome.document.lost) == (0.0, ())
    assert outcome.document.state("SPF").next_check_at == 0.0


def test_sending_goes_on_only_when_all_that_is_required_is_back() -> None:
    lost = {"SPF": NOW - 2 * GRACE, "DKIM": NOW - 2 * GRACE, "DMARC": NOW - 2 * GRACE}
    half = look(domain_with(lost=lost, paused_since=NOW - GRACE, due=NOW), DKIM=GONE, DMARC=GONE)
    unknown = look(domain_with(lost=lost, paused_since=NOW - GRACE, due=NOW), DKIM=UNKNOWN)
    required = look(domain_with(lost=lost, paused_since=NOW - GRACE, due=NOW), DMARC=GONE)

    assert (half.back, half.resumed, half.paused) == (("SPF",), False, False)
    assert not unknown.resumed
    assert (required.resumed, required.document.lost) == (True, ("DMARC",))


def test_look_while_another_one_is_on_its_way_puts_none() -> None:
    outcome = look(domain_with(lost={"SPF": NOW - DAY}, due=NOW + 1800), SPF=GONE)

    assert outcome.again_in == 0.0
    assert outcome.document.state("SPF").next_check_at == NOW + 1800


def test_look_that_is_the_one_on_its_way_puts_the_next_also_when_this_clock_is_behind() -> None:
    outcome = look(domain_with(lost={"SPF": NOW - DAY}, due=NOW + 30), due=NOW + 30, SPF=GONE)

    assert (outcome.again_in, outcome.document.state("SPF").next_check_at) == (HOUR, NOW + HOUR)


def test_next_look_that_a_wrong_clock_wrote_is_not_waited_for() -> None:
    assert look(domain_with(lost={"SPF": NOW - DAY}, due=NOW + 400 * DAY), SPF=GONE).again_in == HOUR


def test_look_that_ends_after_a_later_one_changes_nothing() -> None:
    later = look(domain_with(), now=NOW + 5, SPF=THERE)
    earlier = look(later.document, now=NOW + 8, looked_at=NOW, SPF=GONE)

    assert (earlier.lost, earlier.document.lost) == ({}, ())
    assert earlier.document.state("SPF") == later.document.state("SPF")


def test_look_whose_next_one_was_lost_puts_another() -> None:
    assert look(domain_with(lost={"SPF": NOW - DAY}, due=NOW - DAY), SPF=GONE).again_in == HOUR


def test_domain_that_was_paused_long_ago_is_left_to_the_daily_look() -> None:
    lost = {"SPF": NOW - 100 * DAY}
    soon = look(domain_with(lost=lost, paused_since=NOW - WATCHED_FOR + HOUR, due=NOW), SPF=GONE)
    later = look(domain_with(lost=lost, paused_since=NOW - WATCHED_FOR - HOUR, due=NOW), SPF=GONE)

    assert (soon.again_in, later.again_in) == (HOUR, 0.0)


@pytest.mark.parametrize(
    ("stage", "to_slot", "kind", "lost"),
    [
        ("publishing", 2, "DKIM2", False),
        ("waiting", 2, "DKIM2", False),
        ("renewing", 2, "DKIM2", False),  # slot 1 signs, so slot 2 is renewed
        ("retiring", 2, "DKIM2", True),
        ("waiting", 2, "DKIM", True),
    ],
)
def test_rotation_explains_the_slot_that_the_dns_need_not_show(stage: str, to_slot: int, kind: str, lost: bool) -> None:
    domain = domain_with()
    domain.rotation = RotationDocument(run="r", stage=stage, to_slot=to_slot, started_at=NOW, stage_since=NOW)

    assert bool(look(domain, **{kind: GONE}).document.lost) is lost


def test_look_leaves_the_document_that_it_was_given_alone() -> None:
    domain = domain_with()
    look(domain, SPF=GONE)

    assert domain.lost == ()
