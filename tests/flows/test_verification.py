"""From asking for a verification to its end: the API, the queue's task, and a real zone that changes meanwhile."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from email_core.administration import verification
from email_core.administration.reverification import schedule_all
from email_core.administration.verification import FIRST_PAUSE, LONGEST_PAUSE, pause_after, run
from email_core.administration.work import work
from email_core.administration.writing import MOST_DOCUMENT
from email_core.dns.looks import Look, LookStatus
from email_core.domains import claims
from email_core.domains.documents import DomainDocument, StateDocument, Status
from email_core.domains.observation import Observations
from email_core.domains.records import VERIFICATION_PREFIX, records_of, zone_lines
from email_core.domains.resource_store import encode_document
from email_core.domains.tasks import Publish, Reverify, Verify, decode_task
from email_core.management.resource_id import parse_resource_id
from email_core.settings import HOUR, Secret, Settings
from tests.kit.administration import Api, build_api, replace_states
from tests.kit.domain_zones import PLATFORM, Line, platform_lines, served
from tests.kit.knot import Knot, missing_reason
from tests.kit.peers import require

pytestmark = pytest.mark.peers


class World:
    """An administrator, a zone of its own that a real server serves, and a domain in it."""

    def __init__(self, api: Api, knot: Knot, domain: str) -> None:
        self.api = api
        self.knot = knot
        self.domain = domain

    def path(self, service: str = "mail") -> str:
        return f"emailServices/{service}/domains/{self.domain}"

    async def add(self, service: str = "mail") -> None:
        await self.api.domain(self.domain, service, verified=False)

    async def document(self, service: str = "mail") -> DomainDocument:
        found = await self.api.admin.store.get(self.api.id(self.path(service)), DomainDocument)
        assert found is not None
        return found.document

    async def state(self, record: str, service: str = "mail") -> StateDocument:
        return (await self.document(service)).state(record)

    async def shown(self, service: str = "mail") -> dict[str, Any]:
        answer = await self.api.get(self.path(service))
        assert answer.status == 200
        return dict(answer.body["properties"])

    async def initiate(self, record: str, service: str = "mail") -> None:
        answer = await self.api.post(f"{self.path(service)}/initiateVerification", {"verificationType": record})
        assert answer.status == 202, answer.body

    async def publish(self, *kinds: str, service: str = "mail") -> None:
        """Push the records that the API shows into the zone, as the owner's tool would."""
        records = records_of(await self.document(service), self.api.services.settings)
        lines = zone_lines([record for record in records if not kinds or record.purpose in kinds])
        self.knot.add_records(lines)

    async def step(self) -> float:
        """Do the one task that waits; the pause before it."""
        [noted] = self.api.queues.noted
        await self.api.work_one(noted)
        return noted.delay


def in_progress(document: DomainDocument, run: str) -> DomainDocument:
    states = {**document.verification_states, "Domain": StateDocument(status=Status.IN_PROGRESS, run=run)}
    return msgspec.structs.replace(document, verification_states=states)


def decoded(world: World) -> Verify:
    """The one task that waits."""
    [noted] = world.api.queues.noted
    task = decode_task(noted.text)
    assert isinstance(task, Verify)
    return task


@pytest.fixture
async def world(azurite: str) -> AsyncIterator[World]:
    require(not missing_reason(), missing_reason())
    domain = f"d{uuid.uuid4().hex[:12]}.test"
    with Knot({domain: served([]), PLATFORM: served(platform_lines([]))}) as knot:

        def change(settings: Settings) -> Settings:
            return replace(
                settings, dns_server=knot.address, dns_port=knot.port, allow_private_addresses=True, platform_domain=PLATFORM
            )

        api = await build_api(azurite, change=change)
        yield World(api, knot, domain)
        await api.services.close()


async def test_records_that_are_published_are_verified_one_after_the_other(world: World) -> None:
    await world.add()
    await world.publish()
    for record in ("Domain", "SPF", "DKIM", "DKIM2", "DMARC"):
        await world.initiate(record)
        assert await world.step() == 0.0

    properties = await world.shown()
    document = await world.document()
    assert {state["status"] for state in properties["verificationStates"].values()} == {"Verified"}
    assert document.verified
    assert document.last_verified_at == world.api.clock.now()
    assert world.api.queues.noted == []
    details = properties["verificationDetails"]["SPF"]
    assert details["found"] == ["v=spf1 include:spf.platform.test -all"]


async def test_record_that_comes_later_is_found_by_itself(world: World) -> None:
    await world.add()
    await world.initiate("Domain")
    await world.step()
    first = await world.state("Domain")
    assert (first.status, first.attempt, first.error_code) == (Status.IN_PROGRESS, 1, "")
    assert first.next_check_at == world.api.clock.now() + FIRST_PAUSE
    assert first.expected.startswith(VERIFICATION_PREFIX)
    assert f"no such TXT record at {world.domain}" in first.reason
    assert first.remedy

    await world.publish("Domain")
    assert await world.step() == FIRST_PAUSE
    second = await world.state("Domain")
    assert (second.status, second.reason, second.next_check_at) == (Status.VERIFIED, "", 0.0)


async def test_record_that_never_comes_fails_after_three_days_with_the_reason(world: World) -> None:
    await world.add()
    await world.initiate("Domain")
    begun, looks = world.api.clock.now(), 0
    while world.api.queues.noted:
        await world.step()
        looks += 1
    state = await world.state("Domain")

    assert (state.status, state.error_code) == (Status.FAILED, "RecordMissing")
    assert 72 * HOUR <= world.api.clock.now() - begun <= 73 * HOUR
    assert 75 < looks < 100
    assert (await world.shown())["verificationStates"]["Domain"] == {
        "status": "VerificationFailed", "errorCode": "RecordMissing",
    }  # fmt: skip

    await world.publish("Domain")
    await world.initiate("Domain")
    await world.step()
    assert (await world.state("Domain")).status is Status.VERIFIED


async def test_cancelled_verification_goes_back_to_not_started_and_is_looked_at_no_more(world: World) -> None:
    await world.add()
    await world.initiate("Domain")
    await world.step()
    await world.api.post(f"{world.path()}/cancelVerification", {"verificationType": "Domain"})
    assert (await world.state("Domain")).status is Status.CANCELLATION_REQUESTED
    await world.publish("Domain")
    await world.api.work()

    assert await world.state("Domain") == StateDocument()


async def test_records_that_are_verified_at_the_same_time_as_others_write_the_domain_lose_nothing(world: World) -> None:
    await world.add()
    await world.publish()
    await world.initiate("Domain")
    await world.step()
    for record in ("SPF", "DKIM", "DKIM2", "DMARC"):
        await world.initiate(record)
    texts = [noted.text for noted in world.api.queues.noted]
    looked = msgspec.json.encode(Reverify(world.api.id(world.path()).text)).decode()
    patches = [world.api.patch(world.path(), {"tags": {"t": str(number)}}) for number in range(5)]
    answers, *_ = await asyncio.gather(
        asyncio.gather(*patches), *(work(world.api.admin, text) for text in [*texts, looked, *texts, looked])
    )
    document = await world.document()

    assert {document.state(record).status for record in ("Domain", "SPF", "DKIM", "DKIM2", "DMARC")} == {Status.VERIFIED}
    assert {answer.status for answer in answers} == {200}
    assert document.tags["t"] in "01234"
    assert document.lost == ()


async def test_proof_that_one_answer_alone_shows_proves_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.add()
    await world.initiate("Domain")
    token = (await world.document()).verification_token
    look = world.api.admin.authority.look

    async def forged(name: str, kind: str, *, turn: int = 0) -> Look:
        seen = await look(name, kind, turn=turn)
        if (name, kind, turn) != (world.domain, "TXT", 0):
            return seen
        return replace(seen, status=LookStatus.FOUND, records=(*seen.records, f"{VERIFICATION_PREFIX}{token}"))

    monkeypatch.setattr(world.api.admin.authority, "look", forged)
    await world.step()
    state = await world.state("Domain")

    assert state.status is Status.IN_PROGRESS
    assert "the next one does not yet" in state.reason
    assert await world.api.storage.tables.get("resources", claims.CLAIMS, world.domain) is None
    await world.publish("Domain")
    await world.step()
    assert (await world.state("Domain")).status is Status.VERIFIED


async def test_item_of_another_run_does_nothing(world: World) -> None:
    await world.add()
    await world.publish("Domain")
    await world.initiate("Domain")
    before = await world.state("Domain")
    await run(world.api.admin, Verify(domain=world.api.id(world.path()).text, record="Domain", run="another"))

    assert await world.state("Domain") == before
    assert len(world.api.queues.noted) == 1


async def test_item_that_comes_again_finds_that_its_look_was_made(world: World) -> None:
    await world.add()
    await world.initiate("Domain")
    for _ in range(5):
        await world.step()
    before = await world.state("Domain")
    await run(world.api.admin, Verify(domain=world.api.id(world.path()).text, record="Domain", run=before.run))

    assert await world.state("Domain") == before
    assert len(world.api.queues.noted) == 1


async def test_item_that_comes_early_by_this_clock_waits_and_is_not_lost(world: World) -> None:
    await world.add()
    await world.initiate("Domain")
    for _ in range(6):
        await world.step()
    before = await world.state("Domain")
    [noted] = world.api.queues.noted
    await work(world.api.admin, noted.text)  # the queue's clock is ahead of ours

    assert await world.state("Domain") == before
    late = [each for each in world.api.queues.noted if each is not noted]
    assert [each.text for each in late] == [noted.text]
    assert late[0].delay == pytest.approx(before.next_check_at - world.api.clock.now())


async def test_item_that_comes_before_its_write_waits_for_it(world: World) -> None:
    await world.add()
    await world.publish("Domain")
    await world.initiate("Domain")
    first = decode_task(world.api.queues.noted[0].text)
    assert isinstance(first, Verify)
    await world.api.change(world.path(), lambda document: in_progress(document, first.run))
    world.api.queues.noted.clear()
    await run(world.api.admin, msgspec.structs.replace(first, attempt=1))

    assert (await world.state("Domain")).status is Status.IN_PROGRESS
    assert len(world.api.queues.noted) == 1


async def test_time_that_a_wrong_clock_wrote_is_not_waited_for(world: World) -> None:
    await world.add()
    await world.initiate("Domain")
    world.api.clock.advance(70 * HOUR)
    await run(world.api.admin, decoded(world))
    world.api.queues.noted.clear()
    world.api.clock.advance(-70 * HOUR)
    await world.publish("Domain")
    state = await world.state("Domain")
    task = Verify(domain=world.api.id(world.path()).text, record="Domain", run=state.run, attempt=state.attempt)

    await schedule_all(world.api.admin, 0.0)
    assert task in [decode_task(noted.text) for noted in world.api.queues.noted]
    await run(world.api.admin, task)
    assert (await world.state("Domain")).status is Status.VERIFIED


async def test_record_that_is_asked_for_again_during_a_long_pause_is_looked_for_at_once(world: World) -> None:
    await world.add()
    await world.initiate("Domain")
    for _ in range(12):
        await world.step()
    [waiting] = world.api.queues.noted
    assert waiting.delay > 600
    await world.publish("Domain")
    await world.initiate("Domain")
    assert [noted.delay for noted in world.api.queues.noted] == [waiting.delay, 0.0]
    await world.api.work_one(world.api.queues.noted[1])

    verified = await world.state("Domain")
    assert verified.status is Status.VERIFIED
    await world.step()  # the item that waited comes to nothing
    assert (await world.state("Domain"), world.api.queues.noted) == (verified, [])


async def test_verification_whose_item_was_lost_goes_on_when_somebody_asks(world: World) -> None:
    await world.add()
    await world.initiate("Domain")
    await world.step()
    world.api.queues.noted.clear()
    world.api.clock.advance(120)
    await world.publish("Domain")
    await world.initiate("Domain")
    await world.step()

    assert (await world.state("Domain")).status is Status.VERIFIED


async def test_domain_that_was_verified_has_its_keys_published_also_when_the_run_died(world: World) -> None:
    zones = (Secret(world.knot.zone_entry(PLATFORM)),)
    admin = replace(world.api.admin, settings=replace(world.api.admin.settings, zones=zones, dkim_zone=f"dkim.{PLATFORM}"))
    await world.add()
    await world.publish("Domain")
    await world.initiate("Domain")
    task = decoded(world)
    wanted = Publish(domain=world.api.id(world.path()).text)
    for _ in range(2):
        world.api.queues.noted.clear()
        await run(admin, task)
        assert [decode_task(noted.text) for noted in world.api.queues.noted] == [wanted]
    assert (await world.state("Domain")).status is Status.VERIFIED


async def test_item_of_a_domain_that_is_gone_does_nothing(world: World) -> None:
    await run(world.api.admin, Verify(domain=world.api.id(world.path()).text, record="Domain", run="any"))

    assert world.api.queues.noted == []


async def test_record_that_waits_for_the_domain_says_so(world: World) -> None:
    await world.add()
    await world.publish()
    await world.initiate("Domain")
    await world.step()
    await world.initiate("SPF")
    await world.api.change(world.path(), lambda document: replace_states(document, Status.FAILED, ("Domain",)))
    await world.step()
    state = await world.state("SPF")
    assert state.status is Status.IN_PROGRESS
    assert "Domain is not verified" in state.reason

    await world.api.change(world.path(), lambda document: replace_states(document, Status.VERIFIED, ("Domain",)))
    await world.step()
    assert (await world.state("SPF")).status is Status.VERIFIED


async def test_reverse_path_of_the_domain_is_verified_by_its_two_records(world: World) -> None:
    await world.add()
    await world.api.patch(world.path(), {"properties": {"mailFromSubdomain": "bounces"}})
    await world.publish()
    for record in ("Domain", "MailFrom"):
        await world.initiate(record)
        await world.step()

    assert (await world.state("MailFrom")).status is Status.VERIFIED
    assert (await world.document()).reverse_path_domain == f"bounces.{world.domain}"


async def test_state_of_a_domain_full_of_tags_keeps_the_reason_and_leaves_out_the_rest(world: World) -> None:
    await world.add()
    await world.initiate("Domain")
    tags = {f"tag{number}": "x" * 250 for number in range(50)}
    document = await world.document()
    room = MOST_DOCUMENT // 2 - len(encode_document(msgspec.structs.replace(document, tags=tags)))
    tags |= {f"more{number}": "y" * 240 for number in range(room // 254)}
    await world.api.change(world.path(), lambda document: msgspec.structs.replace(document, tags=tags))
    world.knot.add_records([Line("@", "TXT", "z" * 2000).text(world.domain, world.domain)])
    await world.step()
    state = await world.state("Domain")

    assert (state.status, state.found, state.remedy) == (Status.IN_PROGRESS, (), "")
    assert state.reason


async def test_cancellation_during_a_look_wins(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.add()
    await world.publish("Domain")
    await world.initiate("Domain")
    look = verification.observe

    async def slowly(*arguments: Any, **options: Any) -> Observations:
        seen = await look(*arguments, **options)
        await world.api.post(f"{world.path()}/cancelVerification", {"verificationType": "Domain"})
        return seen

    monkeypatch.setattr(verification, "observe", slowly)
    await world.step()
    assert (await world.state("Domain")).status is Status.CANCELLATION_REQUESTED
    await world.api.work()
    assert await world.state("Domain") == StateDocument()


async def test_second_resource_of_a_domain_is_refused_while_the_first_one_shows_its_proof(world: World) -> None:
    for service in ("mail", "other"):
        await world.add(service)
        await world.publish("Domain", service=service)
        await world.initiate("Domain", service)
        await world.step()
    first, second = await world.state("Domain"), await world.state("Domain", "other")

    assert first.status is Status.VERIFIED
    assert (second.status, second.error_code) == (Status.FAILED, "DomainOwnedElsewhere")
    assert world.api.subscription not in second.reason + second.remedy
    assert "mail" not in second.reason.replace("emailServices", "")

    # Its proof is taken out of the DNS: then the domain is another's, and the first owner is looked at anew.
    token = (await world.document()).verification_token
    world.knot.delete_records(world.domain, "TXT")
    await world.publish("Domain", service="other")
    await world.initiate("Domain", "other")
    await world.step()
    assert (await world.state("Domain", "other")).status is Status.VERIFIED
    [noted] = world.api.queues.noted
    assert decode_task(noted.text) == Reverify(domain=world.api.id(world.path()).key)
    assert token != (await world.document("other")).verification_token


async def test_domain_whose_owner_is_deleted_is_free(world: World) -> None:
    await world.add()
    await world.publish("Domain")
    await world.initiate("Domain")
    await world.step()
    assert (await world.api.delete(world.path())).status in (200, 202)
    await world.api.work()
    tables = world.api.storage.tables
    assert await tables.get("resources", claims.CLAIMS, world.domain) is None

    await world.add("other")
    await world.publish("Domain", service="other")
    await world.initiate("Domain", "other")
    await world.step()
    assert (await world.state("Domain", "other")).status is Status.VERIFIED


async def test_claim_of_a_resource_that_is_gone_moves_although_it_was_never_released(world: World) -> None:
    tables, store = world.api.storage.tables, world.api.admin.store
    gone, here = world.api.id(world.path("gone")).text, world.api.id(world.path("here")).text
    assert (await claims.take(tables, store, world.domain, gone, ())).held
    taken = await claims.take(tables, store, world.domain, here, ())

    assert (taken.held, taken.doubtful) == (True, parse_resource_id(gone).key)
    await claims.release(tables, world.domain, gone)  # of another resource: nothing happens
    assert (await claims.take(tables, store, world.domain, here, ())) == claims.Claim(True)


async def test_claims_that_meet_are_held_by_one(world: World) -> None:
    tables, store = world.api.storage.tables, world.api.admin.store
    owners = [await world.api.stored_domain(world.domain, f"mail{number}") for number in range(8)]
    published = (f"{VERIFICATION_PREFIX}token",)
    taken = await asyncio.gather(*(claims.take(tables, store, world.domain, owner, published) for owner in owners))

    assert sorted(claim.held for claim in taken) == [False] * 7 + [True]
    assert not any(claim.doubtful for claim in taken)


async def test_claim_of_a_domain_that_sends_stays_until_its_grace_is_over(world: World) -> None:
    tables, store = world.api.storage.tables, world.api.admin.store
    owner = await world.api.stored_domain(world.domain, "mail")
    other = await world.api.stored_domain(world.domain, "other")
    await claims.take(tables, store, world.domain, owner, ())
    proof_is_gone = await claims.take(tables, store, world.domain, other, ())
    assert proof_is_gone == claims.Claim(False, doubtful=owner.lower())

    await world.api.change(world.path(), lambda document: msgspec.structs.replace(document, paused_since=1.0))
    assert await claims.take(tables, store, world.domain, other, ()) == claims.Claim(True, doubtful=owner.lower())


async def test_sub_domain_needs_a_proof_of_its_own_and_no_leave_of_the_domain_above(world: World) -> None:
    await world.add()
    await world.publish("Domain")
    await world.initiate("Domain")
    await world.step()
    below = World(world.api, world.knot, f"sub.{world.domain}")
    await below.add("other")
    await below.initiate("Domain", "other")
    await below.step()
    assert (await below.state("Domain", "other")).status is Status.IN_PROGRESS

    await below.publish("Domain", service="other")
    await below.step()
    assert (await below.state("Domain", "other")).status is Status.VERIFIED
    assert (await world.state("Domain")).status is Status.VERIFIED


async def test_dns_that_does_not_answer_is_told_and_tried_again(azurite: str) -> None:
    require(not missing_reason(), missing_reason())
    domain = f"d{uuid.uuid4().hex[:12]}.test"
    with Knot(broken=[domain]) as knot:
        api = await build_api(azurite, change=lambda settings: replace(settings, dns_server=knot.address, dns_port=knot.port))
        world = World(api, knot, domain)
        await world.add()
        await world.initiate("Domain")
        await world.step()
        state = await world.state("Domain")
        await api.services.close()

    assert (state.status, state.error_code) == (Status.IN_PROGRESS, "")
    assert "SERVFAIL" in state.reason
    assert len(api.queues.noted) == 1


async def test_outcome_is_written_to_the_audit_log_by_the_service_itself(world: World) -> None:
    await world.add()
    await world.publish("Domain")
    await world.initiate("Domain")
    await world.step()
    page = await world.api.admin.audit.page(world.api.subscription, most=1)

    [entry] = page.entries
    assert (entry.principal, entry.operation) == ("postrider", "Domains_InitiateVerification")
    assert "Verified" in entry.changes


async def test_reserved_domain_of_the_local_world_is_verified_without_any_dns(azurite: str) -> None:
    api = await build_api(azurite, change=lambda settings: replace(settings, local_world=True))
    world = World(api, Knot(), f"d{uuid.uuid4().hex[:12]}.test")
    await world.add()
    await world.initiate("Domain")
    await world.step()
    state = await world.state("Domain")
    await api.services.close()

    assert state.status is Status.VERIFIED
    assert "local world" in state.reason


def test_pause_grows_from_seconds_to_an_hour() -> None:
    pauses = [pause_after(attempt) for attempt in (1, 2, 5, 10, 15, 20, 10_000)]

    assert pauses[0] == 5.0
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE
    assert sum(pause_after(attempt) for attempt in range(1, 11)) < 1800
