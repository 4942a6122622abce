"""The health report through the API: made on demand, kept, and read by those who may."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from email_core.auth.principal import Role
from email_core.domains.documents import DomainDocument
from email_core.domains.records import records_of, zone_lines
from email_core.settings import Settings
from tests.kit.administration import Api, build_api
from tests.kit.domain_zones import PLATFORM, platform_lines, served
from tests.kit.knot import Knot, missing_reason
from tests.kit.peers import require

pytestmark = pytest.mark.peers


@pytest.fixture
async def knot_and_api(azurite: str) -> AsyncIterator[tuple[Knot, Api, str]]:
    require(not missing_reason(), missing_reason())
    name = f"d{uuid.uuid4().hex[:12]}.test"
    with Knot({name: served([]), PLATFORM: served(platform_lines([]))}) as knot:

        def change(settings: Settings) -> Settings:
            return replace(
                settings, dns_server=knot.address, dns_port=knot.port, allow_private_addresses=True, platform_domain=PLATFORM
            )

        api = await build_api(azurite, change=change)
        yield knot, api, name
        await api.services.close()


async def test_health_is_what_the_last_look_found_until_somebody_looks_again(knot_and_api: tuple[Knot, Api, str]) -> None:
    knot, api, name = knot_and_api
    await api.domain(name, verified=False)
    path = f"emailServices/mail/domains/{name}"
    before = await api.get(f"{path}/health")
    assert (before.status, before.code) == (404, "HealthNotChecked")
    assert "POST checkHealth" in before.message

    first = await api.post(f"{path}/checkHealth")
    found = await api.admin.store.get(api.id(path), DomainDocument)
    assert found is not None
    knot.add_records(zone_lines(records_of(found.document, api.services.settings)))
    kept = await api.get(f"{path}/health")
    second = await api.post(f"{path}/checkHealth")
    statuses = {each["name"]: each["status"] for each in second.body["checks"]}

    assert (first.status, first.body["status"]) == (200, "red")
    assert kept.body == first.body
    assert second.body["status"] == "amber"  # the DMARC record that we ask for says p=none
    assert {check for check, status in statuses.items() if status == "green"} >= {"Domain", "SPF", "DKIM", "DKIM2", "Alignment"}
    assert (statuses["DMARC"], statuses["MX"], statuses["ReversePath"]) == ("amber", "amber", "red")
    assert second.body["providers"]["gmail"]["failing"][0]["check"] == "ReversePath"
    assert (await api.get(f"{path}/health")).body == second.body


async def test_health_is_for_readers_and_says_nothing_to_others(knot_and_api: tuple[Knot, Api, str]) -> None:
    _, api, name = knot_and_api
    await api.domain(name)
    path = f"emailServices/mail/domains/{name}"

    assert (await api.as_role(Role.READER).post(f"{path}/checkHealth")).status == 200
    assert (await api.as_role(Role.READER).get(f"{path}/health")).status == 200
    for stranger in (api.as_role(Role.SENDER), api.as_role(Role.READER, "emailServices/other")):
        assert (await stranger.get(f"{path}/health")).status == 403
        assert (await stranger.post(f"{path}/checkHealth")).status == 403


@pytest.mark.parametrize("request_", ["health", "checkHealth"])
async def test_health_of_a_domain_that_is_not_there_is_not_found(api: Api, request_: str) -> None:
    await api.email_service()
    method = "GET" if request_ == "health" else "POST"
    answer = await api.call(method, f"emailServices/mail/domains/nobody.com/{request_}")

    assert (answer.status, answer.code) == (404, "ResourceNotFound")


async def test_health_of_a_managed_domain_is_the_platforms(api: Api) -> None:
    await api.email_service()
    body = {"location": "global", "properties": {"domainManagement": "AzureManaged"}}
    path = "emailServices/mail/domains/AzureManagedDomain"
    assert (await api.put(path, body)).status == 201
    answer = await api.post(f"{path}/checkHealth")

    assert (answer.status, answer.body["status"], answer.body["checks"]) == (200, "green", [])
    assert "platform" in answer.body["note"]
    assert (await api.get(f"{path}/health")).body == answer.body


async def test_health_of_a_reserved_name_in_the_local_world_asks_no_dns(azurite: str) -> None:
    api = await build_api(azurite, change=lambda settings: replace(settings, local_world=True))
    await api.domain("contoso.test")
    answer = await api.post("emailServices/mail/domains/contoso.test/checkHealth")
    await api.services.close()

    assert (answer.status, answer.body["checks"]) == (200, [])
    assert "local world" in answer.body["note"]


async def test_health_of_a_domain_whose_tags_fill_its_row_keeps_the_status_alone(knot_and_api: tuple[Knot, Api, str]) -> None:
    _, api, name = knot_and_api
    await api.domain(name)
    path = f"emailServices/mail/domains/{name}"
    tags = {f"{number:03d}{'y' * 300}": "x" * 256 for number in range(48)}
    for size in range(len(tags), 0, -4):  # as many as are taken
        if (await api.patch(path, {"tags": dict(list(tags.items())[:size])})).status == 200:
            break
    answer = await api.post(f"{path}/checkHealth")
    kept = await api.get(f"{path}/health")

    assert answer.status == kept.status == 200
    assert len(answer.body["checks"]) > 5
    assert kept.body["status"] == answer.body["status"]
    assert (kept.body["checks"], "checkHealth" in kept.body["note"]) == ([], True)
