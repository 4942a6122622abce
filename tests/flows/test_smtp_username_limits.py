"""Limits of an SMTP username: what is told when one is reached, whom they hold for, and from when a changed one does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import msgspec
import pytest

from email_core.domains.documents import Limit, SmtpUsernameDocument
from email_core.domains.resource_store import ResourceStore
from email_core.domains.smtp_names import SmtpNames
from tests.kit.pipeline import Pipeline, build_pipeline
from tests.kit.smtp_relay import (
    APPLICATION,
    MESSAGE,
    SENDER,
    RawClient,
    RelayFiles,
    RunningRelay,
    add_user,
    encoded,
    running_relay,
)
from tests.kit.token_issuer import TokenIssuer

pytestmark = pytest.mark.peers

REACHED = "450 4.5.127 Message rejected. Excessive message rate from sender"
ONE_A_DAY = (Limit(unit="messages", window="day", most=1),)


async def limit(pipeline: Pipeline, username: str, *limits: Limit) -> None:
    """Give an SMTP username these limits, as the management plane does."""
    store = ResourceStore(pipeline.storage.tables)
    owner = await SmtpNames(pipeline.storage.tables, store, pipeline.clock).owner(username)
    assert owner is not None
    found = await store.get(owner[0], SmtpUsernameDocument)
    assert found is not None
    await store.replace(found, msgspec.structs.replace(found.document, limits=limits))


async def sent(client: RawClient, *recipients: str) -> str:
    """The reply to a message over a connection that is logged in, or to MAIL when that is refused."""
    if not (reply := await client.ask(f"MAIL FROM:<{SENDER}>")).startswith("250 "):
        return reply
    for recipient in recipients or ("ann@example.test",):
        assert (await client.ask(f"RCPT TO:<{recipient}>")).startswith("250 ")
    assert (await client.ask("DATA")).startswith("354 ")
    await client.send(MESSAGE + b".\r\n")
    return await client.reply()


async def test_limit_of_a_username_is_told_and_holds_for_it_alone(
    relay: RunningRelay, pipeline: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    await limit(pipeline, relay.user, *ONE_A_DAY)
    replies = [await sent(await relay.logged_in()) for _ in range(2)]
    assert (replies[0][:10], replies[1]) == ("250 2.0.0 ", REACHED)
    assert f"The limit of 1 messages per day of SMTP username {relay.user}" in caplog.text
    relay.user, relay.password = await add_user(pipeline)
    assert [(await sent(await relay.logged_in()))[:10] for _ in range(2)] == ["250 2.0.0 "] * 2
    assert len(pipeline.queues.noted) == 3


async def test_limit_on_recipients_of_a_username_counts_them_and_refuses_more_than_fit_for_good(
    relay: RunningRelay, pipeline: Pipeline
) -> None:
    await limit(pipeline, relay.user, Limit(unit="recipients", window="day", most=3))
    client = await relay.logged_in()
    four = [f"r{number}@example.test" for number in range(4)]
    assert (await sent(client, *four)).startswith("5")
    replies = [await sent(client, *four[:2]), await sent(client, *four[:2]), await sent(client, four[0])]
    assert [reply[:9] for reply in replies] == ["250 2.0.0", REACHED[:9], "250 2.0.0"]


async def test_limit_that_is_changed_holds_for_a_connection_that_is_open(relay: RunningRelay, pipeline: Pipeline) -> None:
    client = await relay.logged_in()
    assert (await sent(client)).startswith("250 ")
    await limit(pipeline, relay.user, *ONE_A_DAY)
    pipeline.clock.advance(pipeline.services.settings.configuration_seconds)
    replies = [await sent(client) for _ in range(2)]
    assert (replies[0][:10], replies[1]) == ("250 2.0.0 ", REACHED)  # what was sent without a limit was not counted
    await limit(pipeline, relay.user)
    pipeline.clock.advance(pipeline.services.settings.configuration_seconds)
    assert (await sent(client)).startswith("250 ")


@pytest.fixture
async def by_token(
    azurite: str, issuer: TokenIssuer, relay_files: RelayFiles
) -> AsyncIterator[tuple[RunningRelay, Pipeline, str]]:
    """A server that takes tokens of the issuer, with a user of one message a day, and the token of its application."""
    pipeline = await build_pipeline(
        azurite,
        routes="capture://127.0.0.1:9",
        change=lambda settings: replace(settings, entra_tenants=(issuer.tenant,), entra_authority=issuer.authority),
    )
    user, password = await add_user(pipeline, tenant=issuer.tenant)
    await limit(pipeline, user, *ONE_A_DAY)
    async with running_relay(pipeline.services, relay_files) as relay:
        relay.user, relay.password = user, password
        yield relay, pipeline, issuer.token(application=APPLICATION, roles=["Sender"])
    await pipeline.close()


async def xoauth2(relay: RunningRelay, user: str, token: str) -> RawClient:
    client = await relay.greeted()
    response = encoded(f"user={user}\x01auth=Bearer {token}\x01\x01")
    assert (await client.ask(f"AUTH XOAUTH2 {response}")).startswith("235 ")
    return client


async def test_limit_counts_what_is_sent_with_password_and_token_together(
    by_token: tuple[RunningRelay, Pipeline, str],
) -> None:
    relay, _, token = by_token
    assert (await sent(await relay.logged_in())).startswith("250 ")
    client = await xoauth2(relay, relay.user.upper(), token)
    assert await sent(client) == REACHED


async def test_token_with_a_name_in_the_form_of_acs_has_no_limits_of_a_username(
    by_token: tuple[RunningRelay, Pipeline, str], issuer: TokenIssuer
) -> None:
    relay, pipeline, token = by_token
    client = await xoauth2(relay, f"{pipeline.service.name}.{APPLICATION}.{issuer.tenant}", token)
    assert [(await sent(client))[:10] for _ in range(2)] == ["250 2.0.0 "] * 2


async def test_password_with_a_name_in_the_form_of_acs_has_the_limits_of_its_username(
    by_token: tuple[RunningRelay, Pipeline, str], issuer: TokenIssuer
) -> None:
    relay, pipeline, _ = by_token
    assert (await sent(await relay.logged_in())).startswith("250 ")
    relay.user = f"{pipeline.service.name}.{APPLICATION}.{issuer.tenant}"
    assert await sent(await relay.logged_in()) == REACHED


async def test_login_with_a_token_ends_when_its_username_is_deleted(by_token: tuple[RunningRelay, Pipeline, str]) -> None:
    relay, pipeline, token = by_token
    client = await xoauth2(relay, relay.user, token)
    store = ResourceStore(pipeline.storage.tables)
    owner = await SmtpNames(pipeline.storage.tables, store, pipeline.clock).owner(relay.user)
    assert owner is not None
    found = await store.get(owner[0], SmtpUsernameDocument)
    assert found is not None
    await store.delete(found)
    pipeline.clock.advance(pipeline.services.settings.configuration_seconds)
    assert await sent(client) == "421 4.7.0 The log-in does not hold any more: connect and log in again"
