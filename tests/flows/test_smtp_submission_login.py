"""Logging in by SMTP: what is told to those who may not, and what they cost."""

from __future__ import annotations

import asyncio
import json
import time
from base64 import b64decode
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from email_core.auth.entra import LEEWAY
from email_core.auth.smtp_credential import hash_password
from email_core.domains.documents import SmtpUsernameDocument
from email_core.domains.resource_store import ResourceStore
from smtp_relay.lockout import FREE
from smtp_relay.options import TimeLimits
from tests.kit.pipeline import Pipeline, build_pipeline
from tests.kit.smtp_relay import (
    APPLICATION,
    QUICK,
    SENDER,
    TENANT,
    RelayFiles,
    RunningRelay,
    add_user,
    change_service,
    encoded,
    plain,
    running_relay,
)
from tests.kit.storage_proxy import Fault, Rule, StorageProxy
from tests.kit.token_issuer import TokenIssuer

pytestmark = pytest.mark.peers

REFUSED = "535 5.7.3 Authentication unsuccessful"


async def test_auth_before_tls_is_refused_and_not_offered(relay: RunningRelay) -> None:
    client = await relay.client()
    await client.reply()
    assert "AUTH" not in await client.ask("EHLO client.test")
    assert (await client.ask(f"AUTH PLAIN {plain(relay.user, relay.password)}")).startswith("538 5.7.11 ")
    assert (await client.ask(f"MAIL FROM:<{SENDER}>")).startswith("530 5.7.0 Must issue a STARTTLS command first")


async def test_mail_without_a_login_is_refused(relay: RunningRelay) -> None:
    client = await relay.greeted()
    assert (await client.ask(f"MAIL FROM:<{SENDER}>")) == "530 5.7.0 Authentication required"


async def test_unknown_user_wrong_password_and_user_without_one_are_told_the_same(
    relay: RunningRelay, pipeline: Pipeline
) -> None:
    service = pipeline.service.name
    for user in (
        relay.user,
        "nobody-has-this-name",
        f"{service}.{APPLICATION}.{TENANT}",
        f"none.{APPLICATION}.{TENANT}",
        "x" * 400,
    ):
        client = await relay.greeted()
        assert await client.ask(f"AUTH PLAIN {plain(user, 'wrong')}") == REFUSED
        await client.close()


async def test_failed_logins_take_as_long_whatever_is_wrong(pipeline: Pipeline, relay_files: RelayFiles) -> None:
    """With the real clock: the floor is what a client sees of all of them."""
    user, _ = await add_user(pipeline)
    services = replace(pipeline.services, clock=_RealClock())
    floor = 0.6
    async with running_relay(services, relay_files, limits=replace(QUICK, failed_login=floor)) as relay:
        taken = []
        for name in (user, "nobody-has-this-name", user, "nobody-at-all"):
            client = await relay.greeted()
            began = time.monotonic()
            assert await client.ask(f"AUTH PLAIN {plain(name, 'wrong')}") == REFUSED
            taken.append(time.monotonic() - began)
            await client.close()
    assert min(taken) >= floor
    assert max(taken) - min(taken) < 0.4


class _RealClock:
    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("AUTH", "504 5.5.4 "), ("AUTH CRAM-MD5", "504 5.5.4 "), ("AUTH PLAIN !!!", "501 5.5.2 "),
        ("AUTH PLAIN =", REFUSED), (f"AUTH PLAIN {encoded('no parts')}", REFUSED),
    ],
)  # fmt: skip
async def test_auth_that_cannot_be_read_is_refused(relay: RunningRelay, line: str, reply: str) -> None:
    client = await relay.greeted()
    assert (await client.ask(line)).startswith(reply)
    assert (await client.ask("NOOP")).startswith("250")


async def test_dialogue_that_the_client_cancels_ends(relay: RunningRelay) -> None:
    client = await relay.greeted()
    assert await client.ask("AUTH PLAIN") == "334 "
    assert (await client.ask("*")).startswith("501 5.7.0 ")
    assert (await client.ask(f"AUTH PLAIN {plain(relay.user, relay.password)}")).startswith("235 ")


async def test_guesser_is_hung_up_on_and_locked_out_and_the_lock_opens(relay: RunningRelay, pipeline: Pipeline) -> None:
    client = await relay.greeted()
    for _ in range(FREE):
        assert await client.ask(f"AUTH PLAIN {plain(relay.user, 'wrong')}") == REFUSED
    assert await client.reply() == "421 4.7.0 Too many failed log-ins"
    assert await client.is_closed()
    client = await relay.greeted()
    assert await client.ask(f"AUTH PLAIN {plain(relay.user, 'wrong')}") == REFUSED
    # From here on the right password is not even looked at.
    assert (await client.ask(f"AUTH PLAIN {plain(relay.user, relay.password)}")).startswith("454 4.7.0 Too many failed log-ins")
    pipeline.clock.advance(3)
    assert (await client.ask(f"AUTH PLAIN {plain(relay.user, relay.password)}")).startswith("235 ")
    assert relay.server.relay.counters.value("auth_failures_total", mechanism="PLAIN", reason="locked-out") == 1


async def test_service_that_disables_local_authentication_takes_no_password(relay: RunningRelay, pipeline: Pipeline) -> None:
    await change_service(pipeline, disable_local_auth=True)
    client = await relay.greeted()
    assert await client.ask(f"AUTH PLAIN {plain(relay.user, relay.password)}") == REFUSED


async def test_storage_that_is_away_is_temporary_and_no_failure(azurite: str, relay_files: RelayFiles) -> None:
    async with StorageProxy(azurite) as proxy:
        pipeline = await build_pipeline(proxy.connection_string, routes="capture://127.0.0.1:9")
        user, password = await add_user(pipeline)
        async with running_relay(pipeline.services, relay_files) as relay:
            proxy.rules = [Rule("tables.get", Fault.DROPPED, times=None)]
            client = await relay.greeted()
            for _ in range(3):
                reply = await client.ask(f"AUTH PLAIN {plain(user, password)}")
                assert reply.startswith("454 4.7.0 Temporary authentication failure")
            proxy.rules = []
            assert (await client.ask(f"AUTH PLAIN {plain(user, password)}")).startswith("235 ")
        await pipeline.close()


@pytest.fixture
async def entra(azurite: str, issuer: TokenIssuer, relay_files: RelayFiles) -> AsyncIterator[tuple[RunningRelay, Pipeline]]:
    """A server whose installation takes tokens of the issuer, and a user that is the application APPLICATION of its tenant."""
    pipeline = await build_pipeline(
        azurite,
        routes="capture://127.0.0.1:9",
        change=lambda settings: replace(settings, entra_tenants=(issuer.tenant,), entra_authority=issuer.authority),
    )
    user, password = await add_user(pipeline, tenant=issuer.tenant)
    async with running_relay(pipeline.services, relay_files) as relay:
        relay.user, relay.password = user, password
        yield relay, pipeline
    await pipeline.close()


def bearer(user: str, token: str) -> str:
    return encoded(f"user={user}\x01auth=Bearer {token}\x01\x01")


async def test_token_of_the_application_with_the_role_logs_in(
    entra: tuple[RunningRelay, Pipeline], issuer: TokenIssuer
) -> None:
    relay, pipeline = entra
    token = issuer.token(application=APPLICATION, roles=["Sender"])
    for user in (relay.user, f"{pipeline.service.name}.{APPLICATION}.{issuer.tenant}"):
        client = await relay.greeted()
        assert (await client.ask(f"AUTH XOAUTH2 {bearer(user, token)}")).startswith("235 ")
        assert (await client.ask(f"MAIL FROM:<{SENDER}>")).startswith("250 ")
        await client.close()
    client = await relay.greeted()
    assert await client.ask("AUTH XOAUTH2") == "334 "
    assert (await client.ask(bearer(relay.user, token))).startswith("235 ")


@pytest.mark.parametrize(
    "claims",
    [
        {"application": APPLICATION, "roles": ["Reader"]},
        {"application": APPLICATION, "roles": []},
        {"application": TENANT, "roles": ["Sender"]},
        {"application": APPLICATION, "roles": ["Sender"], "aud": "https://graph.microsoft.com"},
        {"application": APPLICATION, "roles": ["Sender"], "exp": 1},
    ],
    ids=["reader", "no-role", "other-application", "other-audience", "expired"],
)
async def test_token_that_may_not_gets_the_dialogue_of_xoauth2(
    entra: tuple[RunningRelay, Pipeline], issuer: TokenIssuer, claims: dict[str, Any]
) -> None:
    relay, _ = entra
    client = await relay.greeted()
    challenge = await client.ask(f"AUTH XOAUTH2 {bearer(relay.user, issuer.token(**claims))}")
    assert challenge.startswith("334 ")
    assert json.loads(b64decode(challenge[4:])) == {
        "status": "401", "schemes": "bearer", "scope": "https://communication.azure.com/.default"
    }  # fmt: skip
    assert await client.ask("") == REFUSED


async def test_login_with_a_token_ends_when_the_token_does(entra: tuple[RunningRelay, Pipeline], issuer: TokenIssuer) -> None:
    relay, pipeline = entra
    client = await relay.greeted()
    token = issuer.token(application=APPLICATION, roles=["Sender"], exp=pipeline.clock.now() + 600)
    assert (await client.ask(f"AUTH XOAUTH2 {bearer(relay.user, token)}")).startswith("235 ")
    pipeline.clock.advance(590)
    assert (await client.ask(f"MAIL FROM:<{SENDER}>")).startswith("250 ")
    await client.ask("RSET")
    pipeline.clock.advance(10 + LEEWAY)
    assert await client.ask(f"MAIL FROM:<{SENDER}>") == "421 4.7.0 The log-in does not hold any more: connect and log in again"


async def test_issuer_that_is_away_is_temporary(entra: tuple[RunningRelay, Pipeline], issuer: TokenIssuer) -> None:
    relay, _ = entra
    token = issuer.token(application=APPLICATION, roles=["Sender"])
    issuer.close()
    client = await relay.greeted()
    assert (await client.ask(f"AUTH XOAUTH2 {bearer(relay.user, token)}")).startswith("454 4.7.0 ")


async def test_who_does_not_log_in_has_to_go(pipeline: Pipeline, relay_files: RelayFiles) -> None:
    limits = TimeLimits(login=0.5, failed_login=0.0, linger=1.0, drain=2.0)
    async with running_relay(pipeline.services, relay_files, limits=limits) as relay:
        client = await relay.greeted()
        assert await client.reply() == "421 4.7.0 No log-in in time: connect again"
        assert await client.is_closed()


async def test_more_logins_than_the_installation_allows_are_told_to_come_later(
    pipeline: Pipeline, relay_files: RelayFiles
) -> None:
    user, password = await add_user(pipeline)
    async with running_relay(pipeline.services, relay_files, connections=1) as relay:
        relay.user, relay.password = user, password
        first = await relay.logged_in()
        second = await relay.greeted()
        assert (await second.ask(f"AUTH PLAIN {plain(user, password)}")).startswith("454 4.7.0 Too many authenticated")
        await first.ask("QUIT")
        await first.close()
        await relay.wait_until(lambda: relay.server.relay.connections.members == 0, "the first to be gone")
        assert (await second.ask(f"AUTH PLAIN {plain(user, password)}")).startswith("235 ")


async def test_login_ends_when_its_password_is_replaced_and_the_connection_is_kept(
    relay: RunningRelay, pipeline: Pipeline
) -> None:
    client = await relay.logged_in()
    submitter = next(iter(relay.server.relay.connections.all)).visit.submitter  # type: ignore[attr-defined]
    store = ResourceStore(pipeline.storage.tables)
    found = await store.get(submitter.account, SmtpUsernameDocument)
    assert found is not None
    await store.replace(found, msgspec.structs.replace(found.document, password=hash_password("another")))
    pipeline.clock.advance(60)
    assert await client.ask(f"MAIL FROM:<{SENDER}>") == "421 4.7.0 The log-in does not hold any more: connect and log in again"
    assert await client.is_closed()


async def test_login_outlasts_a_while_and_follows_the_service(relay: RunningRelay, pipeline: Pipeline) -> None:
    client = await relay.logged_in()
    pipeline.clock.advance(60)
    assert (await client.ask(f"MAIL FROM:<{SENDER}>")).startswith("250 ")
    await client.ask("RSET")
    await change_service(pipeline, linked_domains=())
    assert (await client.ask(f"MAIL FROM:<{SENDER}>")).startswith("501 5.1.7 The specified sender domain has not been linked.")
