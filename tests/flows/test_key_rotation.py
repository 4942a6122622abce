"""DKIM rotation, stage by stage, against Knot and on a clock that the test sets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from email_core.administration import rotation
from email_core.administration.reverification import run as reverify
from email_core.administration.work import work
from email_core.dns.looks import Look
from email_core.domains import key_rotation as stages
from email_core.domains.documents import DomainDocument, SelectorDocument, Status
from email_core.domains.records import records_of, zone_lines
from email_core.domains.tasks import Reverify, Rotate, decode_task
from email_core.settings import Secret, Settings
from tests.kit.administration import Api, build_api, forget_claim
from tests.kit.knot import Knot

pytestmark = pytest.mark.peers

DOMAIN = "sales.sender.test"
PATH = f"emailServices/mail/domains/{DOMAIN}"
DKIM_ZONE = "dkim.rcpt.test"
DAY = 86400.0

Serving = Callable[..., AbstractAsyncContextManager["Rotating"]]


class Rotating:
    """A management plane with one domain, and what its keys and the DNS are at the moment."""

    def __init__(self, api: Api, knot: Knot) -> None:
        self.api = api
        self.knot = knot

    async def document(self) -> DomainDocument:
        found = await self.api.admin.store.get(self.api.id(PATH), DomainDocument)
        assert found is not None
        return found.document

    async def stage(self) -> str:
        held = (await self.document()).rotation
        return held.stage if held else "none"

    async def begin(self) -> Any:
        return await self.api.post(f"{PATH}/rotateKeys")

    async def next(self) -> str:
        """Do what is due next; the stage after it."""
        await self.api.work_one(self.api.queues.noted[0])
        return await self.stage()

    async def until(self, stage: str, most: int = 30) -> None:
        for _ in range(most):
            if await self.next() == stage:
                return
        raise AssertionError(f"still {await self.stage()} and not {stage} after {most} tasks")

    async def signing(self) -> list[str]:
        return [selector.name for selector in (await self.document()).selectors if selector.active]

    async def shown(self, name: str) -> set[str]:
        return set((await self.api.admin.authority.look(f"{name}._domainkey.{DOMAIN}", "TXT")).records)

    async def publish_by_hand(self, slot: int) -> None:
        """What the owner of the zone does."""
        document = await self.document()
        names = tuple(f"{each.name}." for each in stages.slot_of(document, slot))
        records = [each for each in records_of(document, self.api.admin.settings) if each.name.startswith(names)]
        for record in records:
            self.knot.delete_records(record.name)
        self.knot.add_records(zone_lines(records))


@pytest.fixture
def serving(azurite: str, knot: Knot) -> Serving:
    """A domain that is verified, with its records in the DNS."""

    @asynccontextmanager
    async def built(*zones: str, **changes: Any) -> AsyncIterator[Rotating]:
        def change(settings: Settings) -> Settings:
            kept = tuple(Secret(knot.zone_entry(zone)) for zone in zones)
            server = {"dns_server": knot.address, "dns_port": knot.port, "allow_private_addresses": True}
            return replace(settings, zones=kept, **{**server, **changes})

        api = await build_api(azurite, change=change)
        rotating = Rotating(api, knot)
        await forget_claim(api, DOMAIN)
        try:
            await api.domain(DOMAIN)
            await api.work()
            knot.add_records(zone_lines(records_of(await rotating.document(), api.admin.settings)))
            api.queues.noted.clear()
            yield rotating
        finally:
            await api.services.close()

    return built


def keys(document: DomainDocument, slot: int) -> list[str]:
    return [selector.public_record for selector in stages.slot_of(document, slot)]


async def test_rotation_goes_through_its_stages_by_itself(serving: Serving) -> None:
    async with serving("sender.test") as rotating:
        first = await rotating.document()
        clock = rotating.api.clock

        begun = await rotating.begin()
        assert (begun.status, begun.body["stage"], begun.body["toSlot"], begun.body["recordsToPublish"]) == (
            202,
            "publishing",
            2,
            [],
        )
        assert await rotating.next() == "waiting"
        assert await rotating.next() == "seen"
        seen_at = clock.now()
        assert await rotating.signing() == ["postrider1", "postrider1-ed"]
        assert await rotating.next() == "retiring"

        # No cache holds what was there before, and the slots have changed places.
        assert clock.now() - seen_at >= 3600
        assert await rotating.signing() == ["postrider2", "postrider2-ed"]
        switched_at = clock.now()
        assert (await rotating.document()).rotated_at == switched_at
        assert keys(await rotating.document(), 1) == keys(first, 1)
        assert await rotating.shown("postrider1") == {keys(first, 1)[0]}

        await rotating.until("renewing")
        assert clock.now() - switched_at >= stages.RETIRED_AFTER
        assert await rotating.next() == "none"
        last = await rotating.document()
        assert keys(last, 2) == keys(first, 2)
        assert set(keys(last, 1)).isdisjoint(keys(first, 1))
        assert await rotating.shown("postrider1") == {keys(last, 1)[0]}
        assert await rotating.shown("postrider1-ed") == {keys(last, 1)[1]}
        assert rotating.api.queues.noted == []
        assert {last.state(kind).status for kind in ("DKIM", "DKIM2")} == {Status.VERIFIED}


async def test_rotation_back_uses_the_keys_that_stood_by(serving: Serving) -> None:
    async with serving("sender.test") as rotating:
        for slot in (2, 1, 2):
            await rotating.begin()
            standing_by = keys(await rotating.document(), slot)
            await rotating.until("none", most=40)

            document = await rotating.document()
            assert stages.active_slot(document) == slot
            assert keys(document, slot) == standing_by
            assert await rotating.shown(f"postrider{slot}") == {standing_by[0]}


async def test_rotation_below_the_dkim_zone_needs_nothing_of_the_owner(serving: Serving) -> None:
    async with serving("rcpt.test", dkim_zone=DKIM_ZONE) as rotating:
        for slot in (2, 1):
            begun = await rotating.begin()
            assert begun.body["recordsToPublish"] == []
            await rotating.until("none", most=40)

            document = await rotating.document()
            assert stages.active_slot(document) == slot
            assert {each for name in ("postrider1", "postrider2") for each in await rotating.shown(name)} == {
                keys(document, 1)[0], keys(document, 2)[0],
            }  # fmt: skip


async def test_rotation_waits_for_an_owner_who_publishes_by_hand(serving: Serving) -> None:
    async with serving() as rotating:
        await rotating.begin()
        await rotating.until("none", most=40)  # the keys of slot 2 were published with the domain
        before = await rotating.document()

        begun = await rotating.begin()
        waiting = await rotating.document()
        assert set(keys(waiting, 1)).isdisjoint(keys(before, 1))
        assert begun.body["recordsToPublish"] == [
            {"type": "TXT", "name": f"{name}._domainkey.{DOMAIN}", "value": value, "ttl": 3600}
            for name, value in zip(("postrider1", "postrider1-ed"), keys(waiting, 1), strict=True)
        ]
        begun_at = rotating.api.clock.now()
        for _ in range(30):
            assert await rotating.next() == "waiting"
        document = await rotating.document()
        assert document.rotation is not None
        assert document.rotation.next_at - rotating.api.clock.now() == pytest.approx(3600)  # the longest pause
        assert f"another TXT at postrider1._domainkey.{DOMAIN}" in document.rotation.reason
        assert await rotating.signing() == ["postrider2", "postrider2-ed"]
        shown = (await rotating.api.get(f"{PATH}/records")).body["rotation"]
        assert shown["stage"] == "waiting" and len(shown["recordsToPublish"]) == 2

        # Meanwhile nobody is told that a record is lost.
        await reverify(rotating.api.admin, Reverify(domain=document.id))
        assert (await rotating.document()).lost == ()

        await rotating.publish_by_hand(1)
        await rotating.until("retiring")
        assert await rotating.signing() == ["postrider1", "postrider1-ed"]
        assert rotating.api.clock.now() - begun_at < 30 * 3600


async def test_rotation_whose_new_keys_go_away_again_does_not_switch(serving: Serving, knot: Knot) -> None:
    async with serving() as rotating:
        await rotating.begin()
        await rotating.until("seen")
        knot.delete_records(f"postrider2._domainkey.{DOMAIN}")

        assert await rotating.next() == "waiting"
        assert await rotating.signing() == ["postrider1", "postrider1-ed"]
        await rotating.publish_by_hand(2)
        await rotating.until("retiring")


async def test_rotation_of_a_domain_without_ed25519_records_signs_with_rsa_alone(serving: Serving, knot: Knot) -> None:
    async with serving() as rotating:
        for slot in (1, 2):
            knot.delete_records(f"postrider{slot}-ed._domainkey.{DOMAIN}")

        await rotating.begin()
        await rotating.until("retiring")

        assert await rotating.signing() == ["postrider2"]


async def test_rotation_whose_zone_refuses_waits_with_the_reason_and_goes_on(serving: Serving, knot: Knot) -> None:
    async with serving("sender.test") as rotating:
        knot.delete_records(f"postrider2._domainkey.{DOMAIN}")
        knot.add_records([f'postrider2._domainkey.{DOMAIN}. TXT "v=DKIM1; p=THEIRS"'])
        await rotating.begin()

        for _ in range(3):
            assert await rotating.next() == "publishing"
        held = (await rotating.document()).rotation
        assert held is not None and "another TXT record stands at this selector" in held.reason
        knot.delete_records(f"postrider2._domainkey.{DOMAIN}")
        await rotating.until("retiring")

        assert await rotating.signing() == ["postrider2", "postrider2-ed"]


async def test_tasks_that_come_twice_late_or_early_do_no_harm(serving: Serving) -> None:
    async with serving("sender.test") as rotating:
        api = rotating.api
        await rotating.begin()
        stray = Rotate(domain=api.id(PATH).text, run="of-another-rotation")
        while await rotating.stage() != "none":
            held = (await rotating.document()).rotation
            assert held is not None
            mine = Rotate(domain=api.id(PATH).text, run=held.run)
            before = await rotating.document()
            if held.next_at > api.clock.now() + 1:
                await rotation.run(api.admin, mine)  # early
                assert await rotating.document() == before
                api.queues.noted.pop()
            await rotation.run(api.admin, stray)
            assert await rotating.document() == before
            await rotating.next()
            after = await rotating.document()
            await rotation.run(api.admin, mine)  # a second time
            changed = await rotating.document()
            assert changed.selectors == after.selectors or stages.active_slot(changed) == 2
            del api.queues.noted[1:]
        finished = await rotating.document()
        await rotation.run(api.admin, mine)  # late

        assert await rotating.document() == finished
        assert stages.active_slot(finished) == 2


async def test_two_workers_at_one_step_make_it_once(serving: Serving) -> None:
    async with serving("sender.test") as rotating:
        api = rotating.api
        await rotating.begin()
        await rotating.until("seen")
        held = (await rotating.document()).rotation
        assert held is not None
        api.queues.noted.clear()
        api.clock.advance(held.next_at - api.clock.now())
        mine = Rotate(domain=api.id(PATH).text, run=held.run)

        await asyncio.gather(*(rotation.run(api.admin, mine) for _ in range(5)))

        assert await rotating.stage() == "retiring"
        assert len(api.queues.noted) == 1
        assert await rotating.signing() == ["postrider2", "postrider2-ed"]


async def test_rotation_while_one_runs_is_refused_with_its_state(serving: Serving) -> None:
    async with serving() as rotating:
        await rotating.begin()

        again = await rotating.begin()

    assert (again.status, again.code) == (409, "KeyRotationRunning")
    assert "the stage is publishing" in again.message and "Wait until it is over" in again.message


async def test_rotation_of_a_managed_domain_is_refused(serving: Serving) -> None:
    async with serving() as rotating:
        managed = "emailServices/mail/domains/AzureManagedDomain"
        body = {"location": "global", "properties": {"domainManagement": "AzureManaged"}}
        await rotating.api.put(managed, body)

        answered = await rotating.api.post(f"{managed}/rotateKeys")

    assert (answered.status, answered.code) == (409, "DomainManagedByPlatform")
    assert "Add a domain of your own" in answered.message


async def test_rotation_of_a_domain_that_is_not_verified_is_refused(serving: Serving) -> None:
    async with serving() as rotating:
        await rotating.api.domain("other.sender.test", verified=False)

        answered = await rotating.api.post("emailServices/mail/domains/other.sender.test/rotateKeys")

    assert (answered.status, answered.code) == (409, "DomainNotVerified")


async def test_rotation_is_in_the_audit_log_with_no_private_key(serving: Serving) -> None:
    async with serving("sender.test") as rotating:
        api = rotating.api
        await rotating.begin()
        await rotating.until("none", most=40)
        sealed = [each.private_key for each in (await rotating.document()).selectors]

        log = await api.all_of(f"/subscriptions/{api.subscription}/providers/Microsoft.Communication/auditEvents")

    told = str([event for event in log if "Domains_RotateKeys" in str(event)])
    assert "slot 2 signs from now on" in told and "the keys of slot 1 are needed no more and were replaced" in told
    assert not any(key in str(log) for key in sealed)


async def test_rotations_that_are_due_begin_by_themselves(serving: Serving) -> None:
    async with serving("sender.test", rotation_days=90) as rotating:
        api = rotating.api
        began = await rotation_count(rotating)
        api.clock.advance(91 * DAY)

        assert began == 0
        assert await rotation_count(rotating) == 1
        assert await rotation_count(rotating) == 0
        await rotating.until("none", most=40)
        assert stages.active_slot(await rotating.document()) == 2
        assert await rotation_count(rotating) == 0
        log = await api.all_of(f"/subscriptions/{api.subscription}/providers/Microsoft.Communication/auditEvents")

    assert "older than 90 days" in str(log)


async def test_rotation_that_is_due_and_needs_the_owner_does_not_begin_by_itself(serving: Serving) -> None:
    async with serving(rotation_days=90) as rotating:
        rotating.api.clock.advance(91 * DAY)
        assert await rotation_count(rotating) == 1  # with the keys that the owner published at the beginning
        await rotating.until("none", most=40)
        rotating.api.clock.advance(91 * DAY)

        assert await rotation_count(rotating) == 0
        assert await rotating.stage() == "none"


async def test_rotations_that_are_due_at_once_are_spread_and_leave_the_timer_alone(serving: Serving) -> None:
    async with serving("sender.test", rotation_days=90) as rotating:
        api = rotating.api
        api.clock.advance(91 * DAY)
        before = await rotating.document()
        await rotation.begin_due(api.admin)
        [noted] = [noted for noted in api.queues.noted if api.subscription in noted.text]

        assert await rotating.document() == before  # making keys is not the timer's work
        assert 0 < noted.delay < api.admin.settings.reverify_spread_seconds
        await asyncio.gather(*(work(api.admin, noted.text) for _ in range(3)))
        begun = [decode_task(each.text) for each in api.queues.noted if each is not noted and api.subscription in each.text]
        held = (await rotating.document()).rotation
        assert held is not None
        assert begun == [Rotate(domain=before.id, run=held.run)]


async def test_keys_that_are_needed_no_more_are_destroyed(serving: Serving) -> None:
    async with serving() as rotating:
        await rotating.begin()
        await rotating.until("none", most=40)
        document = await rotating.document()

        assert {each.name for each in document.selectors if not each.private_key} == {"postrider1", "postrider1-ed"}
        assert await rotating.signing() == ["postrider2", "postrider2-ed"]
        sending = await rotating.api.services.directory.domain(document.id.lower())
        assert sending is not None and len(sending.signing_keys) == 2
        await reverify(rotating.api.admin, Reverify(domain=document.id))
        assert (await rotating.document()).lost == ()  # their public halves stay where the owner published them
        await rotating.begin()
        assert all(each.private_key for each in (await rotating.document()).selectors)


async def test_owner_with_keys_of_before_there_was_a_dkim_zone_loses_nothing(serving: Serving) -> None:
    async with serving(rotation_days=90) as rotating:  # the owner publishes TXT records
        admin = rotating.api.admin
        zones = (Secret(rotating.knot.zone_entry("rcpt.test")),)
        later = replace(admin, settings=replace(admin.settings, dkim_zone=DKIM_ZONE, zones=zones))
        await rotating.begin()
        while await rotating.stage() != "none":
            [noted] = rotating.api.queues.noted
            rotating.api.queues.noted.clear()
            rotating.api.clock.advance(noted.delay)
            await work(later, noted.text)

        assert stages.active_slot(await rotating.document()) == 2
        await reverify(later, Reverify(domain=(await rotating.document()).id))
        assert (await rotating.document()).lost == ()
        rotating.api.queues.noted.clear()
        rotating.api.clock.advance(91 * DAY)
        await rotation.run(later, Rotate(domain=(await rotating.document()).id, run=""))
        assert await rotating.stage() == "none"  # nobody told the owner to publish a CNAME


async def test_new_keys_that_stand_by_are_waited_for_before_they_can_be_missed(serving: Serving, knot: Knot) -> None:
    async with serving("sender.test") as rotating:
        await rotating.begin()
        await rotating.until("renewing")
        look = rotating.api.admin.authority.look
        old = {name: await look(f"{name}._domainkey.{DOMAIN}", "TXT") for name in ("postrider1", "postrider1-ed")}

        async def behind(name: str, kind: str, *, turn: int = 0) -> Look:
            seen = old.get(name.partition(".")[0])
            return seen if seen is not None and turn else await look(name, kind, turn=turn)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rotating.api.admin.authority, "look", behind)
            assert await rotating.next() == "renewing"
            held = (await rotating.document()).rotation
            assert held is not None and "another TXT at postrider1._domainkey" in held.reason
        assert await rotating.next() == "none"


async def test_keys_are_used_when_every_name_server_shows_them(serving: Serving, knot: Knot) -> None:
    async with serving() as rotating:
        look = rotating.api.admin.authority.look
        gone = await look(f"gone.{DOMAIN}", "TXT")

        async def behind(name: str, kind: str, *, turn: int = 0) -> Look:
            return gone if turn == 1 and name.startswith("postrider2.") else await look(name, kind, turn=turn)

        await rotating.begin()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rotating.api.admin.authority, "look", behind)
            for _ in range(4):
                assert await rotating.next() == "waiting"
        await rotating.until("retiring")
        assert await rotating.signing() == ["postrider2", "postrider2-ed"]


async def test_rotation_whose_item_was_lost_is_gone_on_with(serving: Serving) -> None:
    async with serving("sender.test") as rotating:
        api = rotating.api
        await rotating.begin()
        api.queues.noted.clear()
        api.clock.advance(2 * 3600)

        await rotation.begin_due(api.admin)
        kept = [noted for noted in api.queues.noted if api.subscription in noted.text]
        api.queues.noted[:] = kept
        await rotating.until("retiring")

        assert len(kept) == 1


async def test_domain_of_an_older_version_without_a_second_slot_gets_one(serving: Serving, knot: Knot) -> None:
    async with serving("sender.test") as rotating:

        def older(document: DomainDocument) -> DomainDocument:
            kept: list[SelectorDocument] = [msgspec.structs.replace(each, made_at=0.0) for each in stages.slot_of(document, 1)]
            return msgspec.structs.replace(document, selectors=kept, rotated_at=0.0)

        await rotating.api.change(PATH, older)
        for name in ("postrider2", "postrider2-ed"):
            knot.delete_records(f"{name}._domainkey.{DOMAIN}")

        await rotating.begin()
        await rotating.until("retiring")

        assert await rotating.signing() == ["postrider2", "postrider2-ed"]
        assert await rotating.shown("postrider2") == {keys(await rotating.document(), 2)[0]}


async def rotation_count(rotating: Rotating) -> int:
    """What `begin_due` begins in this test's own subscription; others share the storage."""
    api = rotating.api
    before = await rotating.stage()
    await rotation.begin_due(api.admin)
    for noted in [noted for noted in api.queues.noted if api.subscription in noted.text]:
        if decode_task(noted.text) == Rotate(domain=api.id(PATH).text, run=""):
            await api.work_one(noted)
    api.queues.noted[:] = [noted for noted in api.queues.noted if api.subscription in noted.text]
    return int(before == "none" and await rotating.stage() != "none")
