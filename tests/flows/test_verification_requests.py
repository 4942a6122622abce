"""Asking for verification and calling it off: what is taken, what is refused, and which tasks follow."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from email_core.auth.principal import Role
from email_core.domains.documents import (
    AZURE_MANAGED_NAME,
    MAIL_FROM,
    RECORD_STATES,
    VERIFICATION_TYPES,
    DomainDocument,
    StateDocument,
    Status,
)
from email_core.domains.tasks import Reverify, Task, Verify, decode_task
from tests.kit.administration import Api, Reply, build_api, replace_states

pytestmark = pytest.mark.peers

NAME = "contoso.com"
DOMAIN = f"emailServices/mail/domains/{NAME}"


async def initiate(api: Api, record: object, path: str = DOMAIN) -> Reply:
    return await api.post(f"{path}/initiateVerification", {"verificationType": record})


async def cancel(api: Api, record: object, path: str = DOMAIN) -> Reply:
    return await api.post(f"{path}/cancelVerification", {"verificationType": record})


async def state(api: Api, record: str) -> StateDocument:
    found = await api.admin.store.get(api.id(DOMAIN), DomainDocument)
    assert found is not None
    return found.document.state(record)


def tasks(api: Api) -> list[Task]:
    return [decode_task(noted.text) for noted in api.queues.noted]


async def with_state(api: Api, record: str, changed: StateDocument) -> None:
    def make(domain: DomainDocument) -> DomainDocument:
        return msgspec.structs.replace(domain, verification_states={**domain.verification_states, record: changed})

    await api.change(DOMAIN, make)


@pytest.fixture
async def domain(api: Api) -> Api:
    """The management plane with a domain of which nothing is verified yet."""
    await api.stored_domain(NAME, verified=False)
    return api


async def test_initiation_is_taken_and_followed_at_its_location(domain: Api) -> None:
    answer = await initiate(domain, "domain")  # ARM compares enumerations without case
    assert (answer.status, answer.body) == (202, None)
    assert answer.headers["retry-after"] == "1"
    asked = await state(domain, "Domain")
    assert (asked.status, asked.started_at) == (Status.REQUESTED, domain.clock.now())
    assert tasks(domain) == [Verify(domain=domain.id(DOMAIN).text, record="Domain", run=asked.run)]
    shown = (await domain.get(DOMAIN)).body["properties"]["verificationStates"]
    assert shown["Domain"] == {"status": "VerificationRequested"}
    path = answer.headers["location"].partition("postrider.test")[2]
    assert (await domain.get(path)).status == 204


async def test_initiation_asked_for_again_starts_nothing_new(domain: Api) -> None:
    await initiate(domain, "Domain")
    first, put = await state(domain, "Domain"), tasks(domain)
    assert (await initiate(domain, "Domain")).status == 202
    assert (await state(domain, "Domain"), tasks(domain)) == (first, put)
    await with_state(domain, "Domain", msgspec.structs.replace(first, status=Status.IN_PROGRESS))
    assert (await initiate(domain, "Domain")).status == 202
    assert tasks(domain) == put


async def test_initiation_whose_item_was_lost_is_put_again(domain: Api) -> None:
    await initiate(domain, "Domain")
    put = tasks(domain)
    domain.queues.noted.clear()
    domain.clock.advance(61)
    await initiate(domain, "Domain")
    assert tasks(domain) == put


@pytest.mark.parametrize("record", ["SPF", "DKIM", "DKIM2", MAIL_FROM])
async def test_initiation_before_the_domain_is_verified_is_refused_with_the_remedy(domain: Api, record: str) -> None:
    await domain.patch(DOMAIN, {"properties": {"mailFromSubdomain": "bounce"}})
    answer = await initiate(domain, record)
    assert (answer.status, answer.code) == (409, "DomainOwnershipNotVerified")
    assert "call initiateVerification with verificationType Domain" in answer.message
    await domain.change(DOMAIN, lambda document: replace_states(document, Status.VERIFIED, ("Domain",)))
    assert (await initiate(domain, record)).status == 202
    assert (await state(domain, record)).status is Status.REQUESTED


async def test_initiation_of_dmarc_needs_nothing_else(domain: Api) -> None:
    assert (await initiate(domain, "DMARC")).status == 202
    assert (await state(domain, "DMARC")).status is Status.REQUESTED


async def test_initiation_of_a_reverse_path_that_there_is_not_is_refused(domain: Api) -> None:
    await domain.change(DOMAIN, lambda document: replace_states(document, Status.VERIFIED, ("Domain",)))
    answer = await initiate(domain, MAIL_FROM)
    assert (answer.status, answer.code) == (400, "MailFromNotConfigured")
    assert "Set mailFromSubdomain first" in answer.message


async def test_initiation_after_a_failure_begins_anew(domain: Api) -> None:
    failed = StateDocument(status=Status.FAILED, error_code="RecordNotFound", run="old", attempt=9, reason="There is none.")
    await with_state(domain, "Domain", failed)
    await initiate(domain, "Domain")
    again = await state(domain, "Domain")
    assert (again.status, again.error_code, again.attempt, again.reason) == (Status.REQUESTED, "", 0, "")
    assert again.run != "old"


async def test_initiation_of_what_is_verified_changes_nothing(domain: Api) -> None:
    verified = StateDocument(status=Status.VERIFIED, run="old", checked_at=1.0)
    await with_state(domain, "Domain", verified)
    etag = (await domain.get(DOMAIN)).etag
    assert (await initiate(domain, "Domain")).status == 202
    assert (await state(domain, "Domain"), tasks(domain)) == (verified, [])
    assert (await domain.get(DOMAIN)).etag == etag


async def test_initiation_of_what_was_lost_has_the_dns_looked_at_now(domain: Api) -> None:
    await with_state(domain, "Domain", StateDocument(status=Status.VERIFIED, lost_since=1.0))
    assert (await initiate(domain, "Domain")).status == 202
    assert tasks(domain) == [Reverify(domain=domain.id(DOMAIN).text)]
    assert (await state(domain, "Domain")).status is Status.VERIFIED


@pytest.mark.parametrize("record", VERIFICATION_TYPES)
async def test_initiation_for_a_managed_domain_changes_nothing(api: Api, record: str) -> None:
    await api.email_service()
    path = f"emailServices/mail/domains/{AZURE_MANAGED_NAME}"
    await api.put(path, {"location": "global", "properties": {"domainManagement": "AzureManaged"}})
    assert (await initiate(api, record, path)).status == 202
    assert api.queues.noted == []


@pytest.mark.parametrize("status", [Status.REQUESTED, Status.IN_PROGRESS])
async def test_cancellation_has_the_run_ended_by_its_task(domain: Api, status: Status) -> None:
    await with_state(domain, "DMARC", StateDocument(status=status, run="one", attempt=3))
    answer = await cancel(domain, "DMARC")
    assert (answer.status, answer.body) == (202, None)
    assert "location" in answer.headers
    asked = await state(domain, "DMARC")
    assert (asked.status, asked.run) == (Status.CANCELLATION_REQUESTED, "one")
    [noted] = domain.queues.noted
    assert decode_task(noted.text) == Verify(domain=domain.id(DOMAIN).text, record="DMARC", run="one")
    assert noted.delay == 0


@pytest.mark.parametrize("status", [Status.NOT_STARTED, Status.VERIFIED, Status.FAILED])
async def test_cancellation_of_what_is_not_under_way_changes_nothing(domain: Api, status: Status) -> None:
    before = StateDocument(status=status, run="one")
    await with_state(domain, "Domain", before)
    assert (await cancel(domain, "Domain")).status == 202
    assert (await state(domain, "Domain"), tasks(domain)) == (before, [])


async def test_initiation_after_a_cancellation_is_another_run(domain: Api) -> None:
    await initiate(domain, "Domain")
    first = await state(domain, "Domain")
    await cancel(domain, "Domain")
    await initiate(domain, "Domain")
    second = await state(domain, "Domain")
    assert second.status is Status.REQUESTED
    assert second.run != first.run


@pytest.mark.parametrize("body", [{}, {"verificationType": "MX"}, {"verificationType": 5}, {"verificationType": None}])
async def test_verification_of_no_record_is_refused_with_those_there_are(domain: Api, body: object) -> None:
    for action in ("initiateVerification", "cancelVerification"):
        answer = await domain.post(f"{DOMAIN}/{action}", body)
        assert (answer.status, answer.targets) == (400, ["verificationType"])
    if body == {"verificationType": "MX"}:
        assert ", ".join(RECORD_STATES) in answer.message


async def test_verification_of_a_domain_that_is_not_there_is_refused(domain: Api) -> None:
    for ask in (initiate, cancel):
        answer = await ask(domain, "Domain", "emailServices/mail/domains/other.com")
        assert (answer.status, answer.code) == (404, "ResourceNotFound")


async def test_verification_is_not_for_readers(domain: Api) -> None:
    reader = domain.as_role(Role.READER)
    for ask in (initiate, cancel):
        assert (await ask(reader, "Domain")).status == 403


async def test_domain_for_tests_is_verified_and_sends_in_a_local_world_without_dns(azurite: str) -> None:
    api = await build_api(azurite, change=lambda settings: replace(settings, local_world=True))
    path = "emailServices/mail/domains/contoso.test"
    await api.domain("contoso.test", verified=False)
    for record in VERIFICATION_TYPES:
        assert (await initiate(api, record, path)).status == 202
        await api.work()
    properties = (await api.get(path)).body["properties"]
    assert properties["verificationStates"] == {kind: {"status": "Verified"} for kind in VERIFICATION_TYPES}
    assert properties["sending"] == {"state": "Ready"}
    await api.communication_service("chat", linkedDomains=[api.id(path).text])
    await api.services.close()
