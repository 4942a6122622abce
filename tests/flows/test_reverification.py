"""A verified domain over days: its DNS changes in a real zone, and what is told, paused and taken up again."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import dns.message
import dns.rcode
import msgspec
import pytest

from email_core.administration import reverification
from email_core.administration.reverification import OVERDUE, schedule_all
from email_core.administration.work import work
from email_core.administration.writing import MOST_DOCUMENT
from email_core.domains.documents import DELETING, REQUIRED, DomainDocument, StateDocument, Status
from email_core.domains.records import records_of, zone_lines
from email_core.domains.resource_store import encode_document
from email_core.domains.tasks import Publish, Reverify, Task, Verify, decode_task
from email_core.errors import DomainPaused
from email_core.message.address import parse_address
from email_core.settings import HOUR, Secret, Settings
from tests.kit.administration import Api, NotedTask, build_api, replace_states
from tests.kit.dns_server import Answering, DnsServer, failing, serving
from tests.kit.domain_zones import PLATFORM, platform_lines, served
from tests.kit.knot import Knot, missing_reason
from tests.kit.peers import require

pytestmark = pytest.mark.peers

DAY = 24 * HOUR
GRACE = 72 * HOUR


class Domain:
    """A domain of an administrator, verified and linked to a communication service, with all its records in a zone."""

    def __init__(self, api: Api, knot: Knot, name: str) -> None:
        self.api = api
        self.knot = knot
        self.name = name

    @property
    def path(self) -> str:
        return f"emailServices/mail/domains/{self.name}"

    @property
    def id(self) -> str:
        return self.api.id(self.path).text

    async def prepare(self) -> None:
        await self.api.domain(self.name)
        await self.api.change(self.path, lambda domain: replace_states(domain, Status.VERIFIED, (*REQUIRED, "DMARC")))
        self.knot.add_records(await self.lines())
        await self.api.communication_service("chat", linkedDomains=[self.id])

    async def document(self) -> DomainDocument:
        found = await self.api.admin.store.get(self.api.id(self.path), DomainDocument)
        assert found is not None
        return found.document

    async def lines(self, *purposes: str) -> list[str]:
        """Its records as lines of a zone file, all of them or those for the purposes."""
        records = records_of(await self.document(), self.api.services.settings)
        return zone_lines([record for record in records if not purposes or record.purpose in purposes])

    async def shown(self) -> dict[str, Any]:
        answer = await self.api.get(self.path)
        assert answer.status == 200
        return dict(answer.body["properties"])

    async def sending(self) -> dict[str, Any]:
        return dict((await self.shown())["sending"])

    async def timer(self) -> None:
        """The daily timer, and the look that it asks for. Another look may be on its way already."""
        noted = list(self.api.queues.noted)
        await schedule_all(self.api.admin, 0.0)
        mine = [each for each in self.api.queues.noted if each not in noted and decode_task(each.text) == Reverify(self.id)]
        self.api.queues.noted = noted  # tests share the storage: the domains of others are theirs
        assert len(mine) == 1
        await work(self.api.admin, mine[0].text)

    async def look(self) -> float:
        """The one look that is on its way, when it is due; how long that was."""
        [noted] = self.api.queues.noted
        await self.api.work_one(noted)
        return noted.delay

    async def may_send(self) -> str:
        """Why nothing is accepted from it; empty when it is. What the directory remembers is given the time to be read anew."""
        self.api.clock.advance(60)
        directory = self.api.services.directory
        service = next(each for each in await directory.services() if self.id.lower() in each.linked_domains)
        try:
            await directory.sending_domain(service, parse_address(f"DoNotReply@{self.name}"))
        except DomainPaused as error:
            return str(error.args[1])
        return ""

    async def told(self, most: int = 5) -> list[str]:
        """What the audit log says of the looks, the newest first."""
        page = await self.api.admin.audit.page(self.api.subscription, most=most, resource=self.id)
        return [entry.text for entry in page.entries if entry.operation == "Domains_Reverify"]


@pytest.fixture
async def domain(azurite: str) -> AsyncIterator[Domain]:
    require(not missing_reason(), missing_reason())
    name = f"d{uuid.uuid4().hex[:12]}.test"
    with Knot({name: served([]), PLATFORM: served(platform_lines([]))}) as knot:

        def change(settings: Settings) -> Settings:
            return replace(
                settings, dns_server=knot.address, dns_port=knot.port, allow_private_addresses=True, platform_domain=PLATFORM
            )

        built = Domain(await build_api(azurite, change=change), knot, name)
        await built.prepare()
        yield built
        await built.api.services.close()


async def test_domain_whose_records_are_there_is_looked_at_and_nothing_is_told(
    domain: Domain, caplog: pytest.LogCaptureFixture
) -> None:
    await domain.timer()
    document = await domain.document()

    assert await domain.sending() == {"state": "Ready"}
    assert document.last_verified_at == domain.api.clock.now()
    assert document.health is not None
    assert domain.api.queues.noted == []
    assert await domain.told() == []
    assert "record-lost" not in caplog.text


async def test_record_that_is_removed_is_told_at_once_pauses_after_the_grace_and_resumes_by_itself(
    domain: Domain, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="postrider")
    key = f"postrider1._domainkey.{domain.name}"
    domain.knot.delete_records(key)
    lost_at = domain.api.clock.now()
    await domain.timer()

    warning = await domain.sending()
    assert (warning["state"], f"no such TXT record at {key}" in warning["reason"]) == ("Warning", True)
    assert warning["pausesAt"] > warning["since"]
    assert f"record-lost domain={domain.name} record=DKIM code=RecordMissing" in caplog.text
    assert "DKIM is lost." in (await domain.told())[0] and "stops at" in (await domain.told())[0]
    assert (await domain.shown())["verificationStates"]["DKIM"]["status"] == "Verified"
    assert await domain.may_send() == ""

    looks = 0
    while not (await domain.document()).paused_since:
        assert await domain.may_send() == ""
        assert await domain.look() <= HOUR
        looks += 1
    assert GRACE <= domain.api.clock.now() - lost_at < GRACE + 3 * HOUR
    assert looks >= 70
    assert "sending-paused" in caplog.text
    assert (await domain.told())[0].endswith("Sending from this domain is stopped.")
    assert (await domain.sending())["state"] == "Paused"
    assert key in await domain.may_send()
    assert caplog.text.count("record-lost") == 1

    domain.knot.add_records(await domain.lines("DKIM"))
    assert await domain.look() <= HOUR
    assert await domain.may_send() == ""
    assert await domain.sending() == {"state": "Ready"}
    assert await domain.told(1) == ["DKIM is back. Sending from this domain goes on."]
    assert "record-back" in caplog.text and "sending-resumed" in caplog.text
    assert domain.api.queues.noted == []


async def test_record_that_is_lost_is_looked_for_by_one_item_whoever_else_looks(domain: Domain) -> None:
    domain.knot.delete_records(f"postrider1._domainkey.{domain.name}")
    await domain.timer()
    assert len(domain.api.queues.noted) == 1

    await domain.timer()
    answer = await domain.api.post(f"{domain.path}/initiateVerification", {"verificationType": "DKIM"})
    assert answer.status == 202
    assert len(domain.api.queues.noted) == 2  # the hourly one, and one for whoever asked
    await domain.api.work_one(domain.api.queues.noted[1])
    assert [noted.delay for noted in domain.api.queues.noted] == [HOUR]

    domain.api.queues.noted.clear()  # it was lost: the next daily look puts another
    domain.api.clock.advance(DAY)
    await domain.timer()
    assert [noted.delay for noted in domain.api.queues.noted] == [HOUR]


async def test_look_that_was_asked_for_by_health_takes_sending_up_again(domain: Domain) -> None:
    domain.knot.delete_records(domain.name, "TXT")
    proof = await domain.lines("Domain")
    await domain.timer()
    domain.api.queues.noted.clear()
    domain.api.clock.advance(GRACE)
    await domain.timer()
    assert "SPF" in await domain.may_send()

    domain.knot.add_records([*proof, *await domain.lines("SPF")])
    report = await domain.api.post(f"{domain.path}/checkHealth")
    assert report.status == 200
    for noted in list(domain.api.queues.noted):
        await work(domain.api.admin, noted.text)
    assert await domain.may_send() == ""


async def test_dmarc_record_that_is_removed_is_told_and_pauses_nothing(domain: Domain) -> None:
    domain.knot.delete_records(f"_dmarc.{domain.name}")
    await domain.timer()
    domain.api.queues.noted.clear()
    domain.api.clock.advance(2 * GRACE)
    await domain.timer()

    sending = await domain.sending()
    assert (sending["state"], "pausesAt" in sending) == ("Warning", False)
    assert await domain.may_send() == ""


async def test_domain_whose_records_are_changed_during_the_look_is_looked_at_again(
    domain: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = reverification.look_at

    async def look_at(admin: Any, document: DomainDocument) -> Any:
        seen = await looked(admin, document)

        def renew(current: DomainDocument) -> DomainDocument:
            return msgspec.structs.replace(current, verification_token=uuid.uuid4().hex)

        await domain.api.change(domain.path, renew)
        return seen

    monkeypatch.setattr(reverification, "look_at", look_at)
    await domain.timer()

    assert (await domain.document()).health is None
    assert [decode_task(noted.text) for noted in domain.api.queues.noted] == [Reverify(domain.id)]


async def test_look_whose_run_died_before_its_write_is_made_again_and_has_one_next_look(
    domain: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    domain.knot.delete_records(f"postrider1._domainkey.{domain.name}")
    await domain.timer()
    [first] = domain.api.queues.noted

    async def dies(*_: object) -> None:
        raise RuntimeError("the worker is gone")

    with monkeypatch.context() as dying:
        dying.setattr(reverification, "change", dies)
        with pytest.raises(RuntimeError):
            await domain.look()
    [stray] = domain.api.queues.noted
    assert stray.delay == HOUR
    domain.api.clock.advance(30)
    domain.api.queues.noted[:] = [NotedTask(first.text, 0.0)]  # it is delivered again, and does its work now
    await domain.look()
    [waiting] = domain.api.queues.noted
    assert (waiting.delay, waiting.text != stray.text) == (HOUR, True)

    before = await domain.document()
    domain.api.clock.advance(HOUR)
    await work(domain.api.admin, stray.text)  # for a time that the domain does not name: nobody looks twice
    assert (await domain.document(), domain.api.queues.noted) == (before, [waiting])


async def test_look_whose_run_died_after_its_write_has_its_next_look_on_its_way(
    domain: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    domain.knot.delete_records(f"postrider1._domainkey.{domain.name}")

    def dies(*_: object) -> None:
        raise RuntimeError("the worker is gone")

    monkeypatch.setattr(reverification, "_tell", dies)
    with pytest.raises(RuntimeError):
        await work(domain.api.admin, msgspec.json.encode(Reverify(domain.id)).decode())

    assert "DKIM" in (await domain.document()).lost
    assert [noted.delay for noted in domain.api.queues.noted] == [HOUR]


async def test_item_for_a_record_that_came_back_looks_at_nothing(domain: Domain) -> None:
    domain.knot.delete_records(f"postrider1._domainkey.{domain.name}")
    await domain.timer()
    stray = domain.api.queues.noted.pop().text
    domain.knot.add_records(await domain.lines("DKIM"))
    await domain.timer()
    before = await domain.document()
    domain.api.clock.advance(HOUR)
    await work(domain.api.admin, stray)

    assert before.lost == ()
    assert (await domain.document(), domain.api.queues.noted) == (before, [])


async def test_domain_full_of_tags_can_lose_its_records_as_well(domain: Domain) -> None:
    tags = {f"tag{number}": "x" * 250 for number in range(60)}
    document = await domain.document()
    room = MOST_DOCUMENT // 2 - len(encode_document(msgspec.structs.replace(document, tags=tags)))
    tags |= {f"more{number}": "y" * 240 for number in range(room // 255)}
    await domain.api.change(domain.path, lambda document: msgspec.structs.replace(document, tags=tags))
    for name in (domain.name, *(f"{each}._domainkey.{domain.name}" for each in ("postrider1", "postrider2"))):
        domain.knot.delete_records(name, "TXT")
        domain.knot.add_records([f'{name}. 60 IN TXT "{letter * 240}"' for letter in "abcdef"])
    await domain.timer()

    lost = await domain.document()
    assert lost.lost == ("Domain", "SPF", "DKIM", "DKIM2")
    assert lost.tags == tags
    assert lost.state("DKIM").reason


async def test_domain_that_sends_is_not_given_away_before_its_grace_is_over(domain: Domain) -> None:
    await domain.timer()  # it holds the claim from now on
    domain.knot.delete_records(domain.name, "TXT")
    rival = Domain(domain.api.elsewhere(subscription=str(uuid.uuid4())), domain.knot, domain.name)
    await rival.api.domain(rival.name, verified=False)
    rival.knot.add_records(await rival.lines("Domain"))

    async def claim() -> str:
        domain.api.queues.noted.clear()
        await rival.api.post(f"{rival.path}/initiateVerification", {"verificationType": "Domain"})
        await rival.api.work_one(rival.api.queues.noted[0])
        return (await rival.document()).state("Domain").status

    assert await claim() == Status.FAILED
    assert decode_task(domain.api.queues.noted[0].text) == Reverify(domain.api.id(domain.path).key)
    await domain.api.work_one(domain.api.queues.noted[0])  # the owner is looked at anew
    assert "Domain" in (await domain.document()).lost
    domain.api.queues.noted.clear()
    domain.api.clock.advance(GRACE)
    await domain.timer()
    assert (await domain.document()).paused_since
    assert await claim() == Status.VERIFIED

    # The first owner's proof is back beside the other's: too late.
    domain.knot.add_records(await domain.lines())
    domain.api.queues.noted.clear()
    await domain.timer()
    assert (await domain.document()).paused_since
    assert "another resource" in (await domain.document()).state("Domain").reason


async def test_servers_that_fail_for_days_pause_nothing(azurite: str) -> None:
    name = f"d{uuid.uuid4().hex[:12]}.test"
    zone: dict[str, dict[str, list[str]]] = {}
    answering: list[Answering] = [serving(zone, zone=name)]

    def answer(query: dns.message.Message) -> dns.message.Message | None:
        return answering[0](query)

    async with DnsServer(answer) as server:

        def change(settings: Settings) -> Settings:
            return replace(
                settings,
                dns_server=server.address,
                dns_port=server.port,
                allow_private_addresses=True,
                platform_domain=PLATFORM,
            )

        domain = Domain(await build_api(azurite, change=change), Knot(), name)
        await domain.api.domain(name)
        await domain.api.communication_service("chat", linkedDomains=[domain.id])
        zone |= {name: {"NS": [f"ns1.{name}."]}, f"ns1.{name}": {"A": ["127.0.0.1"]}}
        for line in await domain.lines():
            owner, _, _, kind, value = line.split(" ", 4)
            zone.setdefault(owner.rstrip("."), {}).setdefault(kind, []).append(value)
        await domain.timer()
        assert await domain.sending() == {"state": "Ready"}

        answering[0] = failing(dns.rcode.SERVFAIL)
        for _ in range(7):
            domain.api.clock.advance(DAY)
            await domain.timer()
            assert await domain.may_send() == ""
        assert await domain.sending() == {"state": "Ready"}
        assert domain.api.queues.noted == []
        report = (await domain.api.get(f"{domain.path}/health")).body
        assert report["status"] == "amber"
        await domain.api.services.close()


async def test_keys_that_are_gone_from_our_own_zone_are_published_again(domain: Domain) -> None:
    key = f"postrider1.{domain.name}.dkim.{PLATFORM}"
    zones = (Secret(domain.knot.zone_entry(PLATFORM)),)
    settings = replace(domain.api.admin.settings, zones=zones, dkim_zone=f"dkim.{PLATFORM}")
    admin = replace(domain.api.admin, settings=settings)
    domain.knot.delete_records(f"postrider1._domainkey.{domain.name}")
    domain.knot.add_records([f"postrider1._domainkey.{domain.name}. 60 IN CNAME {key}."])

    await work(admin, msgspec.json.encode(Reverify(domain.id)).decode())
    assert (await domain.document()).lost == ("DKIM",)
    due, publish = (decode_task(noted.text) for noted in domain.api.queues.noted)
    assert publish == Publish(domain.id)
    await work(admin, domain.api.queues.noted[1].text)
    assert isinstance(due, Reverify) and due.due
    domain.api.queues.noted.clear()
    await work(admin, msgspec.json.encode(due).decode())
    assert (await domain.document()).lost == ()


async def test_name_server_that_is_behind_the_others_loses_nothing(azurite: str) -> None:
    name = f"d{uuid.uuid4().hex[:12]}.test"
    zone: dict[str, dict[str, list[str]]] = {
        name: {"NS": [f"ns1.{name}.", f"ns2.{name}."]},
        f"ns1.{name}": {"A": ["127.0.0.1"]},
        f"ns2.{name}": {"A": ["127.0.0.2"]},
    }
    behind: dict[str, dict[str, list[str]]] = dict(zone)
    async with (
        DnsServer(serving(behind, zone=name)) as first,
        DnsServer(serving(zone, zone=name), host="127.0.0.2", port=first.port) as second,
    ):
        server = {"dns_server": first.address, "dns_port": first.port, "platform_domain": PLATFORM}
        domain = Domain(
            await build_api(azurite, change=lambda settings: replace(settings, allow_private_addresses=True, **server)),
            Knot(),
            name,
        )
        await domain.api.domain(name)
        for line in await domain.lines():
            owner, _, _, kind, value = line.split(" ", 4)
            zone.setdefault(owner.rstrip("."), {}).setdefault(kind, []).append(value)
        behind |= {each: types for each, types in zone.items() if not each.startswith("postrider1.")}
        for _ in range(8):  # whichever of the two comes first
            domain.api.admin.authority._zones.clear()
            await domain.timer()
            assert (await domain.document()).lost == ()
        zone.pop(f"postrider1._domainkey.{name}")
        await domain.timer()
        assert (await domain.document()).lost == ("DKIM",)
        assert {f"postrider1._domainkey.{name}. TXT udp"} <= set(first.questions) & set(second.questions)
        await domain.api.services.close()


async def test_timer_has_every_verified_domain_looked_at_at_its_own_time_of_the_spread(azurite: str) -> None:
    api = await build_api(azurite)
    names = [f"d{number}-{uuid.uuid4().hex[:8]}.test" for number in range(8)]
    ids = [await api.stored_domain(name) for name in names]
    unfinished = await api.stored_domain("unfinished.test", verified=False)
    gone = await api.stored_domain("gone.test")
    await api.change(
        "emailServices/mail/domains/gone.test", lambda each: msgspec.structs.replace(each, provisioning_state=DELETING)
    )
    managed = await api.put(
        "emailServices/mail/domains/AzureManagedDomain",
        {"location": "global", "properties": {"domainManagement": "AzureManaged"}},
    )

    async def delays() -> dict[str, float]:
        api.queues.noted.clear()
        count = await schedule_all(api.admin, 4 * HOUR)
        looks = {
            task.domain: noted.delay for noted in api.queues.noted if isinstance(task := decode_task(noted.text), Reverify)
        }
        assert count == len(looks)
        return {resource: delay for resource, delay in looks.items() if api.subscription in resource}

    first, second = await delays(), await delays()
    await api.services.close()
    assert first == second
    assert set(first) == set(ids)
    assert not {unfinished, gone, managed.body["id"]} & set(first)
    assert all(0 <= delay <= 4 * HOUR for delay in first.values())
    assert len(set(first.values())) == len(ids)


@pytest.mark.parametrize(
    ("status", "overdue", "put"),
    [
        (Status.REQUESTED, OVERDUE + 60, True),
        (Status.IN_PROGRESS, OVERDUE + 60, True),
        (Status.CANCELLATION_REQUESTED, OVERDUE + 60, True),
        (Status.IN_PROGRESS, OVERDUE - 60, False),
        (Status.IN_PROGRESS, -HOUR, False),
        (Status.FAILED, 10 * DAY, False),
        (Status.VERIFIED, 10 * DAY, False),
        (Status.NOT_STARTED, 10 * DAY, False),
    ],
)
async def test_timer_puts_a_verification_again_whose_item_was_lost(
    azurite: str, status: Status, overdue: float, put: bool
) -> None:
    api = await build_api(azurite)
    resource = await api.stored_domain("contoso.com", verified=False)
    due = api.clock.now() - overdue
    state = StateDocument(status=status, run="run-1", started_at=due - DAY, next_check_at=due)
    await api.change(
        "emailServices/mail/domains/contoso.com",
        lambda domain: msgspec.structs.replace(domain, verification_states={"SPF": state}),
    )
    await schedule_all(api.admin, 0.0)
    tasks: list[Task] = [decode_task(noted.text) for noted in api.queues.noted]
    await api.services.close()

    assert [task for task in tasks if getattr(task, "domain", "") == resource] == (
        [Verify(domain=resource, record="SPF", run="run-1")] if put else []
    )


async def test_domain_of_a_local_world_without_dns_is_never_lost(azurite: str) -> None:
    api = await build_api(azurite, change=lambda settings: replace(settings, local_world=True))
    resource = await api.stored_domain("contoso.test")
    await work(api.admin, msgspec.json.encode(Reverify(resource)).decode())
    await schedule_all(api.admin, 0.0)
    found = await api.admin.store.get(api.id("emailServices/mail/domains/contoso.test"), DomainDocument)
    await api.services.close()

    assert found is not None and found.document.lost == ()
    assert Reverify(resource) not in [decode_task(noted.text) for noted in api.queues.noted]
