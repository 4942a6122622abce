"""Functions Core Tools as the host, with a `func` that is a script."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from pathlib import Path

import pytest

from local.certificates import Certificates, ensure_certificates
from local.child import Child, ChildFailed
from local.core_tools import CoreToolsMissing, core_tools_command, wait_until_it_answers
from local.ports import free_ports


@pytest.fixture
def files(tmp_path: Path) -> Certificates:
    return ensure_certificates(tmp_path / "tls", {})


def func(folder: Path, script: str = "") -> dict[str, str]:
    """An environment with a `func` on its PATH."""
    path = folder / "bin" / "func"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {"PATH": f"{path.parent}{os.pathsep}{os.environ['PATH']}", "POSTRIDER_LOCAL": "on"}


def test_core_tools_that_are_not_installed_are_told_with_a_remedy(tmp_path: Path, files: Certificates) -> None:
    with pytest.raises(CoreToolsMissing, match="npm install -g azure-functions-core-tools@4"):
        core_tools_command(files, tmp_path, 7443, {"PATH": str(tmp_path)})


def test_core_tools_serve_https_with_our_certificate_and_our_python(tmp_path: Path, files: Certificates) -> None:
    settings = func(tmp_path)
    command, environment = core_tools_command(files, tmp_path / "state", 7443, settings)
    assert command[0] == str(tmp_path / "bin" / "func")
    assert command[1:-1] == [
        "start", "--port", "7443", "--useHttps", "--cert", str(tmp_path / "state" / "server.pfx"), "--password",
    ]  # fmt: skip
    assert (tmp_path / "state" / "server.pfx").stat().st_mode & 0o077 == 0
    assert environment["POSTRIDER_LOCAL"] == "on"
    assert environment["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)


async def start(tmp_path: Path, script: str) -> Child:
    environment = {**os.environ, **func(tmp_path, script)}
    return await Child.start("Functions Core Tools", ["func"], folder=tmp_path, log=tmp_path / "log", environment=environment)


async def test_core_tools_are_ready_when_their_status_page_answers(tmp_path: Path, files: Certificates) -> None:
    (port,) = free_ports(1)
    child = await start(tmp_path, "sleep 60")
    waiting = asyncio.create_task(wait_until_it_answers(child, port, files))
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    async with await asyncio.start_server(answer, "127.0.0.1", port, ssl=context):
        await asyncio.wait_for(waiting, 10)
    assert asked[0] == b"GET /admin/host/status HTTP/1.1\r\n"
    await child.stop(5)


async def test_core_tools_that_end_are_told_with_their_log(tmp_path: Path, files: Certificates) -> None:
    child = await start(tmp_path, "echo no extension bundle; exit 4")
    with pytest.raises(ChildFailed, match="Functions Core Tools ended with exit status 4") as raised:
        await wait_until_it_answers(child, free_ports(1)[0], files)
    assert "no extension bundle" in str(raised.value)
