"""The SMTP server as a process of its own, and in the local world."""

from __future__ import annotations

import asyncio
import base64
import os
import resource
import signal
import smtplib
import ssl
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path

import pytest

from smtp_relay.__main__ import MOST_FILES
from tests.kit.pipeline import SEALING_KEY, Pipeline
from tests.kit.smtp_relay import MESSAGE, SENDER, RawClient, RelayFiles, add_user, plain
from tests.kit.world import ROOT, World

pytestmark = pytest.mark.peers


def environment(pipeline: Pipeline, files: RelayFiles, **changes: str) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("POSTRIDER_", "AzureWebJobs"))}
    return {
        **ours,
        "AzureWebJobsStorage": pipeline.services.settings.storage.connection_string,
        "POSTRIDER_SEALING_KEY": SEALING_KEY,
        "POSTRIDER_SMTP_HOST": "127.0.0.1",
        "POSTRIDER_SMTP_CERTIFICATE": str(files.certificate),
        "POSTRIDER_SMTP_KEY": str(files.key),
        **{f"POSTRIDER_SMTP_{name}_PORT": "0" for name in ("SUBMISSION", "TLS", "INBOUND", "HEALTH")},
        **changes,
    }


@asynccontextmanager
async def process(
    variables: dict[str, str], *, before: Sequence[str] = ()
) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, int]]]:
    """`python -m smtp_relay`, ready, and its ports. `before` is a command that runs it."""
    server = await asyncio.create_subprocess_exec(
        *before, sys.executable, "-m", "smtp_relay", "--any-port", cwd=ROOT, env=variables, stdout=subprocess.PIPE
    )
    assert server.stdout is not None
    try:
        async with asyncio.timeout(60):
            line = (await server.stdout.readline()).decode()
        assert line.startswith("Ready: "), line
        yield server, {name: int(port) for name, port in (each.split("=") for each in line.split()[1:])}
    finally:
        if server.returncode is None:
            server.kill()
        await server.wait()


async def test_process_that_is_told_to_stop_finishes_the_message_and_ends_with_0(
    pipeline: Pipeline, relay_files: RelayFiles
) -> None:
    user, password = await add_user(pipeline)
    async with process(environment(pipeline, relay_files)) as (server, ports):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", ports["tls"], ssl=relay_files.trusting(), server_hostname="localhost"
        )
        client = RawClient(reader, writer)
        await client.reply()
        await client.ask("EHLO client.test")
        assert (await client.ask(f"AUTH PLAIN {plain(user, password)}")).startswith("235 ")
        await client.ask(f"MAIL FROM:<{SENDER}>")
        await client.ask("RCPT TO:<ann@example.test>")
        assert (await client.ask("DATA")).startswith("354 ")
        server.send_signal(signal.SIGTERM)
        await client.send(MESSAGE + b".\r\n")
        reply = await client.reply()
        assert reply.startswith("250 2.0.0 Ok: queued as ")
        assert (await client.reply()).startswith("421 4.3.2 ")
        async with asyncio.timeout(20):
            assert await server.wait() == 0
    row = await pipeline.services.spool.read(f"{pipeline.service.key}:{reply.split()[-1]}", with_content=False)
    assert row is not None


async def test_process_that_is_told_to_stop_twice_does_not_wait_for_transactions(
    pipeline: Pipeline, relay_files: RelayFiles
) -> None:
    async with process(environment(pipeline, relay_files)) as (server, ports):
        reader, writer = await asyncio.open_connection("127.0.0.1", ports["inbound"])
        client = RawClient(reader, writer)
        await client.reply()
        await client.ask("EHLO client.test")
        assert (await client.ask("MAIL FROM:<>")).startswith("250 ")
        server.send_signal(signal.SIGTERM)
        await until_refused(ports["tls"])
        server.send_signal(signal.SIGTERM)
        assert (await client.reply()).startswith("421 4.3.2 ")
        async with asyncio.timeout(20):
            assert await server.wait() == 0


async def until_refused(port: int) -> None:
    """Until nobody listens there."""
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return
            writer.close()
            await asyncio.sleep(0.01)


async def test_process_takes_as_many_files_as_it_may_have(pipeline: Pipeline, relay_files: RelayFiles) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    shell = ["sh", "-c", 'ulimit -S -n 64; exec "$@"', "sh"]
    async with process(environment(pipeline, relay_files), before=shell) as (server, _):
        limits = Path(f"/proc/{server.pid}/limits").read_text(encoding="ascii")
    soft = next(line for line in limits.splitlines() if line.startswith("Max open files")).split()[3]
    assert int(soft) == (MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"POSTRIDER_SMTP_KEY": ""}, "POSTRIDER_SMTP_CERTIFICATE and POSTRIDER_SMTP_KEY must name files in PEM"),
        ({"POSTRIDER_SMTP_KEY": "/nowhere/key.pem"}, "can't be used"),
        ({"POSTRIDER_SMTP_HOST": "192.0.2.1"}, "can't be listened on"),
        ({"POSTRIDER_SMTP_MAX_BYTES": "huge"}, "POSTRIDER_SMTP_MAX_BYTES must be"),
        ({"POSTRIDER_SEALING_KEY": base64.b64encode(b"another installation's one key..").decode()}, "was sealed with key"),
    ],
    ids=["no-key", "no-file", "no-address", "setting", "other-sealing-key"],
)
async def test_process_that_cannot_begin_says_why_and_ends_with_1(
    pipeline: Pipeline, relay_files: RelayFiles, changes: dict[str, str], told: str
) -> None:
    variables = environment(pipeline, relay_files, **changes)
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "smtp_relay", "--any-port"], cwd=ROOT, env=variables, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, told in done.stderr) == (1, True), done.stderr
    assert "Traceback" not in done.stderr


def test_local_world_sends_by_smtp_with_what_its_environment_says(world: World) -> None:
    subject = f"By SMTP {uuid.uuid4().hex}"
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = world.sender, world.recipient, subject
    message.set_content("Hello.\n")
    with smtplib.SMTP(world.env["SMTP_HOST"], int(world.env["SMTP_PORT"]), timeout=30) as client:
        client.starttls(context=ssl.create_default_context(cafile=world.env["SSL_CERT_FILE"]))
        client.login(world.env["SMTP_USERNAME"], world.env["SMTP_PASSWORD"])
        assert client.send_message(message) == {}
    captured = world.wait_for_captured(lambda content: subject.encode() in content)
    assert captured.startswith(b"DKIM-Signature:")
