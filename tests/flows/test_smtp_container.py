"""The image of the SMTP server, without a container: what its Dockerfile copies, sets and runs is enough, and writes nothing.

The instructions are read from the Dockerfile and done in a folder: a setting, a module or a folder that is missing there fails.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from local.ports import free_ports
from tests.kit.pipeline import SEALING_KEY, Pipeline
from tests.kit.smtp_relay import MESSAGE, SENDER, RawClient, RelayFiles, add_user, plain
from tests.kit.world import ROOT

pytestmark = pytest.mark.peers

DOCKERFILE = (ROOT / "smtp_relay" / "Dockerfile").read_text(encoding="utf-8")
STAGE = DOCKERFILE.rpartition("\nFROM ")[2].replace("\\\n", " ")  # the last one is the image


def instructions(name: str) -> list[str]:
    return re.findall(rf"(?m)^\s*{name}\s+(.+)$", STAGE)


def settings() -> dict[str, str]:
    """What ENV sets."""
    return dict(pair.split("=", 1) for line in instructions("ENV") for pair in line.split())


def image(folder: Path) -> Path:
    """The folder /app of the image."""
    for line in instructions("COPY"):
        if not line.startswith("--from"):
            source, target = line.split()
            shutil.copytree(ROOT / source, folder / target.lstrip("/"), ignore=shutil.ignore_patterns("__pycache__"))
    return folder / "app"


def listing(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_image_runs_as_nobody_that_may_do_anything() -> None:
    assert [line for line in instructions("USER") if line not in ("root", "0")] == ["10001"]
    assert min(int(port) for line in instructions("EXPOSE") for port in line.split()) > 1023
    ports = {value for name, value in settings().items() if name.endswith("_PORT")}
    assert ports == {port for line in instructions("EXPOSE") for port in line.split()}
    assert not [name for name in settings() if re.search("KEY$|PASSWORD|TOKEN|STORAGE", name) and name != "POSTRIDER_SMTP_KEY"]


def test_context_of_the_build_has_what_is_copied_and_nothing_else() -> None:
    lines = (ROOT / "smtp_relay" / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    copied = {each for line in re.findall(r"(?m)^COPY (?!--from)(.+)$", DOCKERFILE) for each in line.split()[:-1]}
    assert {line[1:] for line in lines if line.startswith("!")} == copied
    assert "*" in lines


async def test_what_is_in_the_image_takes_a_message_and_writes_nothing_beside_tmp(
    pipeline: Pipeline, relay_files: RelayFiles, tmp_path: Path
) -> None:
    user, password = await add_user(pipeline)
    app, scratch = image(tmp_path / "image"), tmp_path / "tmp"
    scratch.mkdir()
    names = [name for name in settings() if name.endswith("_PORT")]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    variables = {
        **settings(),
        **{name: str(port) for name, port in ports.items()},
        # The packages are those of this interpreter; the program is that of the image alone.
        "PYTHONPATH": str(app), "PATH": os.environ["PATH"], "HOME": "/nonexistent", "TMPDIR": str(scratch),
        "POSTRIDER_SMTP_CERTIFICATE": str(relay_files.certificate), "POSTRIDER_SMTP_KEY": str(relay_files.key),
        "POSTRIDER_SMTP_HOST": "127.0.0.1", "POSTRIDER_SEALING_KEY": SEALING_KEY,
        "AzureWebJobsStorage": pipeline.services.settings.storage.connection_string,
    }  # fmt: skip
    before = listing(app)
    (entry,) = instructions("ENTRYPOINT")
    server = await asyncio.create_subprocess_exec(
        sys.executable, *json.loads(entry)[1:], cwd=app, env=variables, stdout=subprocess.PIPE
    )
    try:
        assert server.stdout is not None
        async with asyncio.timeout(60):
            assert (await server.stdout.readline()).startswith(b"Ready: ")
        check = instructions("HEALTHCHECK")[0].partition("CMD ")[2]
        done = await asyncio.to_thread(subprocess.run, [sys.executable, *json.loads(check)[1:]], env=variables, timeout=60)
        assert done.returncode == 0
        client = RawClient(
            *await asyncio.open_connection(
                "127.0.0.1", ports["POSTRIDER_SMTP_TLS_PORT"], ssl=relay_files.trusting(), server_hostname="localhost"
            )
        )
        await client.reply()
        await client.ask("EHLO client.test")
        assert (await client.ask(f"AUTH PLAIN {plain(user, password)}")).startswith("235 ")
        for line in (f"MAIL FROM:<{SENDER}>", "RCPT TO:<ann@example.test>", "DATA"):
            await client.ask(line)
        await client.send(MESSAGE + b"0123456789\r\n" * 20_000 + b".\r\n")
        assert (await client.reply()).startswith("250 2.0.0 Ok: queued as ")
        server.send_signal(getattr(signal, instructions("STOPSIGNAL")[0]))
        async with asyncio.timeout(20):
            assert await server.wait() == 0
    finally:
        if server.returncode is None:
            server.kill()
        await server.wait()
    assert listing(app) == before
    assert listing(scratch) == set()
