"""What a client, a full disk or storage may burden the SMTP server with, and what others notice of it: nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from smtp_relay import protocol
from smtp_relay.lockout import FREE
from tests.kit.pipeline import Pipeline, build_pipeline
from tests.kit.smtp_relay import MESSAGE, SENDER, RelayFiles, RunningRelay, add_user, plain, running_relay
from tests.kit.storage_proxy import Fault, Rule, StorageProxy

pytestmark = pytest.mark.peers


async def test_client_with_a_long_pipeline_does_not_hold_up_another_one(pipeline: Pipeline, relay_files: RelayFiles) -> None:
    """All that it said is in memory already, so nothing that its commands wait for lets the others have their turn."""
    number = 20_000
    async with running_relay(pipeline.services, relay_files, most_errors=10 * number) as relay:
        busy, other = await relay.client(), await relay.client()
        await asyncio.gather(busy.reply(), other.reply())
        serving: Any = relay.server.relay.connections.all[0]
        drinking = asyncio.create_task(busy.reader.read(number * 100))
        await busy.send(b"NOOP\r\n" * number)
        await relay.wait_until(lambda: serving._obeyed > 0, "the first command")
        assert (await other.ask("NOOP")).startswith("250 ")
        assert serving._obeyed < number
        drinking.cancel()


@pytest.mark.parametrize("line", ["NOOP", "RSET", "HELP", "VRFY ann", "EHLO client.test", "HELO client.test"])
async def test_commands_without_a_message_are_a_hundred_at_most(relay: RunningRelay, line: str) -> None:
    client = await relay.greeted()
    await client.send(f"{line}\r\n".encode() * 100)
    said = [await client.reply() for _ in range(100)]  # and EHLO before was one
    assert all(each.startswith("2") for each in said[:99])
    assert said[99].startswith("421 4.7.0 Too many commands without a message")
    assert await client.is_closed()


async def test_message_that_is_kept_makes_room_for_further_commands(relay: RunningRelay) -> None:
    client = await relay.in_data()
    for _ in range(2):
        await client.send(MESSAGE + b".\r\n")
        assert (await client.reply()).startswith("250 2.0.0 Ok: queued")
        for _ in range(70):
            assert (await client.ask("NOOP")).startswith("250 ")
        await client.send(f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<ann@example.test>\r\nDATA\r\n".encode())
        assert [(await client.reply())[:3] for _ in range(3)] == ["250", "250", "354"]


def _full(*_: object, **__: object) -> BinaryIO:
    return cast(BinaryIO, open("/dev/full", "w+b"))


@pytest.mark.parametrize("lines", [0, 20_000], ids=["small", "large"])
async def test_disk_that_is_full_is_told_and_the_connection_goes_on(
    relay: RunningRelay, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, lines: int
) -> None:
    client = await relay.with_recipient()
    with monkeypatch.context() as full:
        full.setattr(protocol.tempfile, "SpooledTemporaryFile", _full)
        assert (await client.ask("DATA")).startswith("354 ")
        await client.send(MESSAGE + b"0123456789\r\n" * lines + b".\r\n")
        assert await client.reply() == "452 4.3.1 There is no room for the message right now: try again later"
    assert (await client.ask("DATA")).startswith("503 ")
    await client.send(f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<ann@example.test>\r\nDATA\r\n".encode() + MESSAGE + b".\r\n")
    assert [(await client.reply())[:3] for _ in range(4)] == ["250", "250", "354", "250"]
    assert len(pipeline.queues.noted) == 1


async def test_messages_that_are_being_received_are_not_in_memory(relay: RunningRelay) -> None:
    """Sixteen at once, of which 6 MB each have come: of server and client, which share this process."""
    clients = [await relay.in_data() for _ in range(16)]
    before = resident()
    for client in clients:
        await client.send(MESSAGE)
        for _ in range(96):
            await client.send((b"x" * 62 + b"\r\n") * 1024)
    served: Any = relay.server.relay.connections.all
    await relay.wait_until(lambda: not any(each._lines._reader._buffer for each in served), "all to be read")
    assert resident() - before < 48 * 1024 * 1024
    for client in clients:
        await client.close()


def resident() -> int:
    """Octets of memory that this process has now."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in text.splitlines() if line.startswith("VmRSS:")).split()[1]) * 1024


@pytest.fixture
async def faulty(azurite: str, relay_files: RelayFiles) -> AsyncIterator[tuple[RunningRelay, Pipeline, StorageProxy]]:
    """A server whose storage fails as told."""
    async with StorageProxy(azurite) as proxy:
        pipeline = await build_pipeline(proxy.connection_string, routes="capture://127.0.0.1:9")
        user, password = await add_user(pipeline)
        async with running_relay(pipeline.services, relay_files) as relay:
            relay.user, relay.password = user, password
            yield relay, pipeline, proxy
        await pipeline.close()


@pytest.mark.parametrize("number", [1, 2])
async def test_each_read_of_a_login_that_fails_is_temporary(
    faulty: tuple[RunningRelay, Pipeline, StorageProxy], number: int
) -> None:
    relay, _, proxy = faulty
    client = await relay.greeted()
    proxy.rules = [Rule("tables.get", Fault.DROPPED, "resources", number=number, times=None)]
    reply = await client.ask(f"AUTH PLAIN {plain(relay.user, relay.password)}")
    assert proxy.rules[0].seen > number  # it was asked for, and again
    assert reply == "454 4.7.0 Temporary authentication failure: try again later"
    proxy.rules = []
    assert (await client.ask(f"AUTH PLAIN {plain(relay.user, relay.password)}")).startswith("235 ")


async def test_read_at_mail_that_fails_is_451_and_mail_can_be_said_again(
    faulty: tuple[RunningRelay, Pipeline, StorageProxy],
) -> None:
    relay, pipeline, proxy = faulty
    client = await relay.logged_in()
    pipeline.clock.advance(120)  # what is known is asked for anew
    proxy.rules = [Rule("tables.get", Fault.DROPPED, "resources", times=None)]
    assert (await client.ask(f"MAIL FROM:<{SENDER}>")).startswith("451 4.3.0 ")
    assert (await client.ask("RCPT TO:<ann@example.test>")) == "503 5.5.1 Send MAIL first"
    proxy.rules = []
    assert (await client.ask(f"MAIL FROM:<{SENDER}>")).startswith("250 ")


@pytest.mark.parametrize(
    ("operation", "name", "lines"),
    [
        ("tables.insert", "messages", 0), ("queues.enqueue", "submissions", 0), ("tables.insert", "messages", 20_000),
        ("content.put", "", 20_000),
    ],
    ids=["row", "item", "row-of-large", "blob"],
)  # fmt: skip
async def test_each_write_of_a_message_that_fails_is_451_and_it_can_be_sent_again(
    faulty: tuple[RunningRelay, Pipeline, StorageProxy], operation: str, name: str, lines: int
) -> None:
    relay, _, proxy = faulty
    client = await relay.in_data()
    message = MESSAGE + b"0123456789\r\n" * lines + b".\r\n"
    proxy.rules = [Rule(operation, Fault.DROPPED, name, times=None)]
    await client.send(message)
    assert (await client.reply()).startswith("451 4.3.0 ")
    assert proxy.rules[0].seen > 0
    proxy.rules = []
    await client.send(f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<ann@example.test>\r\nDATA\r\n".encode() + message)
    assert [(await client.reply())[:3] for _ in range(4)] == ["250", "250", "354", "250"]


async def test_connections_that_have_logged_in_count_for_their_user_and_not_for_their_address(
    pipeline: Pipeline, relay_files: RelayFiles
) -> None:
    user, password = await add_user(pipeline)
    other, other_password = await add_user(pipeline)
    async with running_relay(pipeline.services, relay_files, per_user=3, per_address=2) as relay:
        relay.user, relay.password = user, password
        members = [await relay.logged_in() for _ in range(3)]
        over = await relay.greeted()
        reply = await over.ask(f"AUTH PLAIN {plain(user.upper(), password)}")
        assert reply.startswith("454 4.7.0 Too many connections of this user")
        assert (await over.ask(f"AUTH PLAIN {plain(other, other_password)}")).startswith("235 ")
        await members[0].ask("QUIT")
        await relay.wait_until(lambda: relay.server.relay.connections.members == 3, "the first to be gone")
        relay.user = user
        await relay.logged_in()


async def test_who_goes_on_asking_while_locked_out_is_hung_up_on(relay: RunningRelay, caplog: pytest.LogCaptureFixture) -> None:
    wrong = f"AUTH PLAIN {plain(relay.user, 'wrong')}"
    for _ in range(2):
        client = await relay.greeted()
        for _ in range(5):
            await client.ask(wrong)
        assert await client.reply() == "421 4.7.0 Too many failed log-ins"
    client = await relay.greeted()
    await client.send(f"{wrong}\r\n".encode() * 50)
    said = [await client.reply() for _ in range(6)]
    assert [each[:9] for each in said] == ["454 4.7.0"] * 5 + ["421 4.7.0"]
    assert await client.is_closed()
    assert caplog.text.count("login-refused") == 15


async def test_fault_of_ours_at_login_is_temporary_and_no_failure(
    relay: RunningRelay, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("a detail")

    client = await relay.greeted()
    with monkeypatch.context() as broken:
        broken.setattr("smtp_relay.credentials.Credentials.by_password", fail)
        reply = await client.ask(f"AUTH PLAIN {plain(relay.user, relay.password)}")
        assert reply == "454 4.7.0 Temporary authentication failure: try again later"
    assert "a detail" in caplog.text and relay.password not in caplog.text
    assert (await client.ask(f"AUTH PLAIN {plain(relay.user, relay.password)}")).startswith("235 ")


async def test_who_hangs_up_before_the_reply_to_auth_has_failed_to_log_in(
    relay: RunningRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = asyncio.Event()

    async def hold(*_: object) -> None:
        called.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as held:
        held.setattr("smtp_relay.credentials.Credentials.by_password", hold)
        for _ in range(FREE + 1):
            called.clear()
            client = await relay.greeted()
            await client.send(f"AUTH PLAIN {plain(relay.user, 'wrong')}\r\n".encode())
            await called.wait()
            await client.close()
            await relay.wait_until(lambda: len(relay.server.relay.connections) == 0, "the connection to be forgotten")
    client = await relay.greeted()
    assert (await client.ask(f"AUTH PLAIN {plain(relay.user, relay.password)}")).startswith("454 4.7.0 Too many failed")
