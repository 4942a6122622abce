"""Health against real storage: right after provisioning, before it, and with a key that does not fit."""

from __future__ import annotations

import pytest

from email_core.administration.provision import CONTAINERS, QUEUES, TABLES
from email_core.settings import Secret, StorageSettings
from email_core.storage import Storage, open_storage
from tests.unit.triggers.test_health import OK, REFUSED, FakeWorker, asked

pytestmark = pytest.mark.peers


def store(connection_string: str) -> Storage:
    return open_storage(StorageSettings(connection_string=Secret(connection_string)))


async def test_health_of_a_provisioned_installation_is_healthy(azurite: str) -> None:
    storage = store(azurite)
    await storage.ensure(tables=TABLES, queues=QUEUES, containers=CONTAINERS)
    assert await asked(FakeWorker(storage)) == (200, OK)
    await storage.close()


async def test_health_with_a_key_of_another_account_says_that_storage_refuses(azurite: str) -> None:
    storage = store(azurite.replace("AccountKey=Eby8", "AccountKey=Aby8"))
    status, checks = await asked(FakeWorker(storage))
    assert (status, checks) == (503, {"settings": "ok", **dict.fromkeys(list(OK)[1:], REFUSED)})
    await storage.close()
