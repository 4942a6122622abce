"""A writer of a suppression list dies at each of its round trips: nobody is ever held back by a list that does not show it.

What it left is made right by repeating the call.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from email_core.services import build_services
from email_core.suppression.address_table import read_row
from tests.flows.test_suppression_lists import LISTS, NAME, address, key_of
from tests.kit.administration import Api, Reply
from tests.kit.faulty_pipeline import storage_without_backoff
from tests.kit.storage_proxy import Fault, Rule, StorageProxy
from tests.kit.suppression import hashed, make_list

pytestmark = pytest.mark.peers

# The round trips of each call to the table, in their order.
STEPS = {
    "add": ("tables.get", "tables.get", "tables.insert", "tables.insert"),
    "change": ("tables.get", "tables.get", "tables.get", "tables.merge", "tables.merge", "tables.insert"),
    "delete": ("tables.get", "tables.get", "tables.merge", "tables.delete"),
}
CELLS = [
    pytest.param(step, operation, trips[: place + 1].count(operation), fault, id=f"{step}-{place + 1}-{fault.value}")
    for step, trips in STEPS.items()
    for place, operation in enumerate(trips)
    for fault in (Fault.DROPPED, *([Fault.LOST_ANSWER] if operation != "tables.get" else []))
]


@dataclass
class Scene:
    """A list behind the proxy, an address of it, and the e-mail addresses that it had and gets."""

    api: Api
    direct: Api
    proxy: StorageProxy
    path: str
    old: str
    new: str

    @property
    def one(self) -> str:
        return f"{self.path}/suppressionListAddresses/one"

    async def act(self, step: str) -> Reply:
        match step:
            case "add":
                return await self.api.put(self.one, address(self.old))
            case "change":
                return await self.api.put(self.one, address(self.new))
            case _:
                return await self.api.delete(self.one)

    async def held(self) -> set[str]:
        """Who is held back by the list."""
        key = await key_of(self.direct, self.path)
        rows = {email: await read_row(self.direct.storage.tables, hashed(email)) for email in (self.old, self.new)}
        return {email for email, row in rows.items() if key in row.lists}

    async def shown(self) -> set[str]:
        """Whom the list shows."""
        return {each["properties"]["email"] for each in await self.direct.all_of(f"{self.path}/suppressionListAddresses")}


@pytest.fixture
async def scene(api: Api, azurite: str) -> AsyncIterator[Scene]:
    await api.stored_domain(NAME)
    path = await make_list(api, "all", "", LISTS)
    async with StorageProxy(azurite) as proxy:
        storage = storage_without_backoff(proxy.connection_string)
        services = build_services(api.services.settings, api.clock, storage=storage)
        behind = replace(api, services=replace(services, authenticator=api.tokens))  # type: ignore[arg-type]
        stem = uuid.uuid4().hex[:12]
        yield Scene(behind, api, proxy, path, f"old-{stem}@fabrikam.test", f"new-{stem}@fabrikam.test")
        await services.close()


@pytest.mark.parametrize("step", STEPS)
async def test_call_makes_the_round_trips_of_the_table(scene: Scene, step: str) -> None:
    if step != "add":
        await scene.act("add")
    scene.proxy.requests.clear()
    assert (await scene.act(step)).status in (200, 201)
    made = [request.operation for request in scene.proxy.requests if request.name == "suppressions"]
    assert sorted(made) == sorted(STEPS[step])


@pytest.mark.parametrize(("step", "operation", "number", "fault"), CELLS)
async def test_call_that_dies_hides_nobody_and_is_healed_by_its_repetition(
    scene: Scene, step: str, operation: str, number: int, fault: Fault
) -> None:
    if step != "add":
        assert (await scene.act("add")).status == 201
    scene.proxy.rules = [Rule(operation, fault, "suppressions", number, times=None)]
    answer = await scene.act(step)
    scene.proxy.rules = []
    assert answer.status == 503
    assert await scene.held() <= await scene.shown()
    assert (await scene.act(step)).status in (200, 201, 204)
    wanted = {"add": {scene.old}, "change": {scene.new}, "delete": set[str]()}[step]
    assert (await scene.held(), await scene.shown()) == (wanted, wanted)


@pytest.mark.parametrize("step", STEPS)
async def test_call_whose_answer_from_storage_is_lost_once_comes_through(scene: Scene, step: str) -> None:
    for operation in ("tables.insert", "tables.merge", "tables.delete"):
        if step != "add":
            await scene.act("add")
        scene.proxy.rules = [Rule(operation, Fault.LOST_ANSWER, "suppressions")]
        assert (await scene.act(step)).status in (200, 201)
        scene.proxy.rules = []
        assert await scene.held() == await scene.shown()
        await scene.act("delete")
