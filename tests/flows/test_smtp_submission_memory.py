"""What the SMTP server keeps of the memory that it needed for a moment."""

from __future__ import annotations

import asyncio
import platform
import re
from pathlib import Path

import pytest

from tests.flows.test_smtp_submission_process import environment, process
from tests.kit.pipeline import Pipeline
from tests.kit.smtp_relay import RawClient, RelayFiles, add_user, plain

pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps large blocks, and only Linux has /proc"),
]

MIB = 1024 * 1024


def resident(pid: int) -> int:
    """Bytes."""
    found = re.search(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) * 1024


async def test_memory_of_log_ins_is_given_back(pipeline: Pipeline, relay_files: RelayFiles) -> None:
    user, password = await add_user(pipeline)
    async with process(environment(pipeline, relay_files)) as (server, ports):

        async def log_in() -> RawClient:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", ports["tls"], ssl=relay_files.trusting(), server_hostname="localhost"
            )
            client = RawClient(reader, writer)
            await client.reply()
            await client.ask("EHLO client.test")
            assert (await client.ask(f"AUTH PLAIN {plain(user, password)}")).startswith("235 ")
            return client

        clients = [await log_in()]
        before = resident(server.pid)
        # As many passwords as are tried at once, several times: each takes 16 MiB while it is tried.
        clients += await asyncio.gather(*(log_in() for _ in range(16)))
        assert resident(server.pid) - before < 32 * MIB
        for client in clients:
            await client.close()
