"""Port 25 under a sealing key of which storage has not said, or denies, that it is that of the installation."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from email_core.sealing import Sealer
from email_core.services import build_services
from email_core.settings import Secret
from smtp_relay import sealing_check
from smtp_relay.commands import Path
from smtp_relay.replies import Reply
from tests.flows.test_inbound import Port25, delivered
from tests.kit.clock import FakeClock
from tests.kit.pipeline import Pipeline
from tests.kit.receiver import Receiver
from tests.kit.storage_proxy import Fault, Rule, StorageProxy

pytestmark = pytest.mark.peers

STRANGER = "postmaster@bounce.postrider.test"
OTHER_KEY = base64.b64encode(b"another installation's one key..").decode()
AWAY = Rule("tables.get", Fault.DROPPED, times=None)


@asynccontextmanager
async def port_25_of(pipeline: Pipeline, proxy: StorageProxy, sealing_key: str) -> AsyncIterator[tuple[Port25, FakeClock]]:
    """A server that has just started, of the pipeline's installation or with the key of another one."""
    settings = pipeline.services.settings
    storage = replace(settings.storage, connection_string=Secret(proxy.connection_string))
    clock = FakeClock(pipeline.clock.now())
    services = build_services(replace(settings, storage=storage, sealing_key=sealing_key or settings.sealing_key), clock)
    try:
        yield Port25(replace(pipeline, services=services)), clock
    finally:
        await services.close()


@pytest.mark.parametrize(("sealing_key", "then"), [("", 550), (OTHER_KEY, 451)], ids=["same-key", "other-key"])
async def test_address_that_is_not_ours_is_refused_for_good_once_storage_has_proven_the_key(
    azurite: str, pipeline: Pipeline, sealing_key: str, then: int
) -> None:
    async with StorageProxy(azurite) as proxy, port_25_of(pipeline, proxy, sealing_key) as (port_25, clock):
        proxy.rules = [AWAY]
        assert await port_25.rcpt(STRANGER) == 451
        proxy.rules = []
        clock.advance(sealing_check.ASKED_SECONDS)
        assert await port_25.rcpt(STRANGER) == then
        # A proof outlives an outage.
        proxy.rules = [AWAY]
        clock.advance(sealing_check.PROVEN_SECONDS)
        assert await port_25.rcpt(STRANGER) == then


async def test_bounce_that_comes_to_a_server_with_another_key_comes_again(
    azurite: str, pipeline: Pipeline, sink: Receiver
) -> None:
    _, path = await delivered(pipeline, sink, "gone@fabrikam.test")
    async with StorageProxy(azurite) as proxy:
        async with port_25_of(pipeline, proxy, OTHER_KEY) as (port_25, _):
            reply = await port_25.door.rcpt(Path(path, {}))
            assert reply == Reply(451, "4.3.5", "Whether that address is ours cannot be told right now: try again later")
        async with port_25_of(pipeline, proxy, "") as (port_25, _):
            assert await port_25.rcpt(path) == 250


async def test_addresses_that_are_guessed_ask_storage_once_in_a_while(pipeline: Pipeline) -> None:
    port_25 = Port25(pipeline)
    pipeline.storage.round_trips.clear()
    assert {await port_25.rcpt(STRANGER) for _ in range(20)} == {550}
    assert pipeline.storage.round_trips["tables.get"] == 1


async def test_key_that_another_process_has_replaced_is_noticed(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    port_25 = Port25(pipeline)
    assert await port_25.rcpt(STRANGER) == 550
    other = Sealer.from_setting(OTHER_KEY)
    monkeypatch.setattr(pipeline.services.directory, "_sealer", other)
    pipeline.clock.advance(sealing_check.PROVEN_SECONDS)
    assert await port_25.rcpt(STRANGER) == 451


async def test_installation_that_nobody_has_provisioned_refuses_nothing_for_good(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("email_core.domains.directory.PLATFORM_ID", "/platform/providers/microsoft.communication/platform/none")
    assert await Port25(pipeline).rcpt(STRANGER) == 451
