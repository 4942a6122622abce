"""The stages of a rotation: which slot signs, which keys are waited for, and how long."""

from __future__ import annotations

import msgspec
import pytest

from email_core.domains import key_rotation as stages
from email_core.domains.documents import DomainDocument, RotationDocument, SelectorDocument
from email_core.submission.prepare import SIGNATURE_SLACK

NOW = 1_790_000_000.0


def selector(slot: int, kind: str = "rsa", *, active: bool = False, made_at: float = NOW) -> SelectorDocument:
    name = f"postrider{slot}" + ("" if kind == "rsa" else "-ed")
    return SelectorDocument(
        name=name, private_key="sealed", public_record=f"v=DKIM1; k={kind}; p={name}", active=active, slot=slot, made_at=made_at
    )


def domain(*selectors: SelectorDocument, **changes: object) -> DomainDocument:
    fields: dict[str, object] = {"rotated_at": NOW, **changes}
    return DomainDocument(
        id="/x", name="contoso.test", domain_management="CustomerManaged", from_sender_domain="contoso.test",
        verification_token="t", selectors=list(selectors) or fresh(), **fields,
    )  # fmt: skip


def fresh() -> list[SelectorDocument]:
    return [selector(1, active=True), selector(1, "ed25519", active=True), selector(2), selector(2, "ed25519")]


def test_new_domain_rotates_to_the_keys_that_it_has() -> None:
    document = domain()

    begun = stages.begun(document, [], "run", NOW + 1)

    assert stages.standby_slot(document) == 2
    assert not stages.needs_new_keys(document, 2)
    assert begun.selectors == document.selectors
    assert begun.rotation is not None and (begun.rotation.stage, begun.rotation.to_slot) == ("publishing", 2)
    assert begun.rotation.replaced == ()


def test_slot_that_signed_before_gets_new_keys_and_the_old_ones_are_remembered() -> None:
    old = [msgspec.structs.replace(each, active=each.slot == 2) for each in fresh()]
    document = domain(*old, rotated_at=NOW + 100)
    made = [selector(1, made_at=NOW + 200), selector(1, "ed25519", made_at=NOW + 200)]

    begun = stages.begun(document, made, "run", NOW + 200)

    assert stages.standby_slot(document) == 1
    assert stages.needs_new_keys(document, 1)
    assert begun.rotation is not None and begun.rotation.replaced == (old[0].public_record, old[1].public_record)
    assert begun.selectors == [*made, old[2], old[3]]


def test_slot_renewed_after_it_signed_needs_no_new_keys() -> None:
    document = domain(selector(1, made_at=NOW + 200), selector(2, active=True), rotated_at=NOW + 100)

    assert not stages.needs_new_keys(document, 1)


def test_slot_without_keys_needs_new_ones() -> None:
    assert stages.needs_new_keys(domain(selector(1, active=True)), 2)


def test_switch_lets_one_slot_sign_with_what_the_dns_shows() -> None:
    after = stages.switched(domain(), 2, {"postrider1", "postrider1-ed", "postrider2"})

    assert [each.name for each in after if each.active] == ["postrider2"]


@pytest.mark.parametrize(
    ("shown", "missing"),
    [
        ({"postrider1", "postrider1-ed"}, ["postrider2", "postrider2-ed"]),
        ({"postrider1", "postrider1-ed", "postrider2"}, ["postrider2-ed"]),
        ({"postrider1", "postrider1-ed", "postrider2", "postrider2-ed"}, []),
        # An owner who publishes what ACS asks for has no Ed25519 record at all.
        ({"postrider1", "postrider2"}, []),
        ({"postrider1", "postrider2-ed"}, ["postrider2"]),
        (set(), ["postrider2"]),
    ],
    ids=["nothing-new", "ed25519-is-late", "all", "never-ed25519", "rsa-is-late", "nothing"],
)
def test_keys_that_are_waited_for(shown: set[str], missing: list[str]) -> None:
    assert [each.name for each in stages.missing(domain(), 2, shown)] == missing


@pytest.mark.parametrize(
    ("records", "shown"),
    [
        (["v=DKIM1; k=rsa; p=ABC"], True),
        (["v=DKIM1;k=rsa;p=AB C;"], True),
        (["p=ABC"], True),
        (["v=DKIM1; k=rsa; t=s; p=ABC"], True),
        (["v=DKIM1; k=rsa; p="], False),
        (["v=DKIM1; k=rsa; p=ABD"], False),
        (["v=DKIM1; k=ed25519; p=ABC"], False),
        (["v=DKIM1; k=rsa; p=ABC", "v=DKIM1; k=rsa; p=ABC"], False),
        ([], False),
    ],
)
def test_record_shows_a_key(records: list[str], shown: bool) -> None:
    assert stages.shows(records, "v=DKIM1; k=rsa; p=ABC") is shown


def test_pause_grows_from_seconds_to_an_hour() -> None:
    pauses, elapsed = [], 0.0
    for _ in range(40):
        pauses.append(stages.pause(elapsed))
        elapsed += pauses[-1]

    assert pauses[0] == 5
    assert pauses == sorted(pauses)
    assert pauses[-1] == 3600
    assert sum(pause < 3600 for pause in pauses) < 25


def test_keys_are_retired_when_no_signature_of_theirs_holds_any_more() -> None:
    longest_time_to_live = 120 * 3600  # POSTRIDER_TTL_HOURS

    assert longest_time_to_live + SIGNATURE_SLACK + 660 <= stages.RETIRED_AFTER  # and what a worker may hold without storage


@pytest.mark.parametrize(
    ("stage", "unsettled"), [("publishing", 2), ("waiting", 2), ("seen", 0), ("retiring", 0), ("renewing", 2)]
)
def test_slot_whose_records_are_on_their_way_is_unsettled(stage: str, unsettled: int) -> None:
    rotation = RotationDocument(run="r", stage=stage, to_slot=2, started_at=NOW, stage_since=NOW)

    assert stages.unsettled_slot(domain(rotation=rotation)) == unsettled
    assert stages.unsettled_slot(domain()) == 0


@pytest.mark.parametrize(
    ("age_days", "rotating", "due"), [(89.9, False, False), (90, False, True), (400, True, False)], ids=["young", "old", "busy"]
)  # fmt: skip
def test_keys_are_due_when_they_signed_for_so_many_days(age_days: float, rotating: bool, due: bool) -> None:
    rotation = RotationDocument(run="r", stage="waiting", to_slot=2, started_at=NOW, stage_since=NOW) if rotating else None

    assert stages.is_due(domain(rotation=rotation), 90, NOW + age_days * 86400) is due


def test_domain_without_keys_is_never_due() -> None:
    document = msgspec.structs.replace(domain(), selectors=[])

    assert not stages.is_due(document, 1, NOW + 1e9)
