"""`./postrider doctor` as its user runs it, and single checks of it in the test's own process."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.cli import read_command_line
from local.doctor.subject import Subject

ROOT = Path(__file__).parents[2]
NO_STORAGE = "DefaultEndpointsProtocol=http;AccountName=none;AccountKey=bm9uZQ==;EndpointSuffix=localhost.invalid"
_NOT_PASSED_ON = ("POSTRIDER_", "AzureWebJobs", "COMMUNICATION_", "SENDER_", "RECIPIENT_")
_COMMAND = "import sys, pathlib, local.cli; sys.exit(local.cli.main(sys.argv[2:], pathlib.Path(sys.argv[1])))"


@dataclass(frozen=True)
class Examination:
    """What the command said and how it ended; `document` is empty unless it was asked for JSON."""

    status: int
    output: str
    document: Mapping[str, Any]

    def of(self, name: str) -> Mapping[str, str]:
        """The one check of that name; of several, the first."""
        return next(check for check in self.document["checks"] if check["name"] == name)

    def names(self, state: str) -> list[str]:
        """The checks that ended so."""
        return [check["name"] for check in self.document["checks"] if check["state"] == state]


async def examined(root: Path, settings: Mapping[str, str], *arguments: str, under: Sequence[str] = ()) -> Examination:
    """Run the command on the installation of these settings; `under` is a program that runs it, such as faketime."""
    process = await asyncio.create_subprocess_exec(
        *under, sys.executable, "-c", _COMMAND, str(root), "doctor", *arguments,
        cwd=ROOT, env={**_clean_environment(), **settings}, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, errors = await process.communicate()
    assert not errors, errors.decode()  # nothing of what our code logs on the way
    assert process.returncode is not None
    output = out.decode()
    return Examination(process.returncode, output, json.loads(output) if "--json" in arguments else {})


def subject_of(monkeypatch: pytest.MonkeyPatch, root: Path, settings: Mapping[str, str], *arguments: str) -> Subject:
    """What the checks look at: an installation with these settings, and no other one."""
    for name in set(os.environ) - set(_clean_environment()):
        monkeypatch.delenv(name)
    for name, value in {"AzureWebJobsStorage": NO_STORAGE, **settings}.items():
        monkeypatch.setenv(name, value)
    return Subject(options(*arguments), root)


def options(*arguments: str) -> argparse.Namespace:
    """The options of such a command line."""
    return read_command_line(["doctor", *arguments]).options


def _clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_NOT_PASSED_ON)}
