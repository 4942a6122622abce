"""The frame of the doctor: what a check may find, what becomes of one that fails, and the report."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from email_core.errors import StorageRefused, StorageUnavailable
from local.doctor.check import Check, Finding, State, left_out, notice, ok, shown_time, wrong
from local.doctor.report import document, lines_of, summary_line
from local.doctor.run import CHECKS, _examine, findings_of
from local.doctor.subject import LeftOut, Subject
from tests.kit.doctor import ROOT, subject_of

PASSWORD = "a-password-of-a-relay"


@pytest.fixture
def subject(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Subject:
    routes = f"smarthost://user:{PASSWORD}@relay.example.test"
    return subject_of(monkeypatch, tmp_path, {"POSTRIDER_ROUTES": routes}, "--offline", "--time-server", "")


@pytest.mark.parametrize("state", [State.WRONG, State.NOTICE])
@pytest.mark.parametrize("remedy", ["", "  "])
def test_finding_that_is_wrong_without_a_remedy_cannot_be_made(state: State, remedy: str) -> None:
    with pytest.raises(ValueError, match="needs a remedy"):
        Finding("disk", state, "full", remedy)


@pytest.mark.parametrize(
    ("error", "of_storage", "state", "words"),
    [
        (LeftOut("no key"), False, State.LEFT_OUT, "no key"),
        (StorageUnavailable("no answer"), True, State.LEFT_OUT, "see the lines of storage"),
        (StorageRefused("get", 403, "AuthenticationFailed", "no"), True, State.LEFT_OUT, "see the lines of storage"),
        (StorageRefused("query", 400, "InvalidInput", "a filter"), True, State.WRONG, "failed with StorageRefused"),
        (
            ValueError(f"quotes {PASSWORD}"),
            False,
            State.WRONG,
            "the check itself failed with ValueError at test_doctor_run.py:",
        ),
    ],
)
async def test_check_that_raises_is_a_line_and_quotes_nothing(
    subject: Subject, error: Exception, of_storage: bool, state: State, words: str
) -> None:
    async def raises(_: Subject) -> Finding:
        raise error

    [found] = await findings_of(Check("A group", "a check", raises, of_storage=of_storage), subject)
    assert (found.name, found.state) == ("a check", state)
    assert words in found.found
    assert PASSWORD not in repr(found)


@pytest.mark.parametrize(("of_storage", "state"), [(False, State.WRONG), (True, State.LEFT_OUT)])
async def test_check_that_takes_too_long_is_ended(subject: Subject, of_storage: bool, state: State) -> None:
    async def waits(_: Subject) -> Finding:
        await asyncio.Event().wait()
        return ok("a check", "never")

    [found] = await findings_of(Check("A group", "a check", waits, of_storage=of_storage, seconds=0.01), subject)
    assert found.state is state
    assert "0.01 s" in found.found


async def test_examination_goes_on_after_a_check_that_fails_and_keeps_its_order(
    subject: Subject, capsys: pytest.CaptureFixture[str]
) -> None:
    ready = asyncio.Event()

    async def slow(_: Subject) -> Finding:
        await ready.wait()
        return ok("first", "slow")

    async def fails(_: Subject) -> Finding:
        raise RuntimeError

    async def quick(_: Subject) -> list[Finding]:
        ready.set()  # so that the first one can only end when all run at once
        return [ok("third", "quick"), wrong("fourth", f"is {PASSWORD}", f"not {PASSWORD}")]

    checks = [Check("One", "first", slow), Check("One", "second", fails), Check("Two", "others", quick)]
    findings = await _examine(subject, checks)
    assert [finding.name for finding in findings] == ["first", "second", "third", "fourth"]
    out = capsys.readouterr().out
    assert out.index("One") < out.index("first") < out.index("second") < out.index("Two") < out.index("third")
    assert PASSWORD not in out
    assert "is ***" in out


def test_check_names_are_different_in_their_group() -> None:
    names = [(check.group, check.name) for check in CHECKS]
    assert len(set(names)) == len(names)
    groups = list(dict.fromkeys(check.group for check in CHECKS))
    assert groups == [group for number, (group, _) in enumerate(names) if number == 0 or names[number - 1][0] != group]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0042, "4 ms"), (3.21, "3.2 s"), (59.6, "60 s"), (600, "10 min"), (7200, "2 h"), (259_200, "3 days")],
)
def test_time_is_shown_for_people(seconds: float, shown: str) -> None:
    assert shown_time(seconds) == shown


def test_lines_have_a_mark_without_colour_and_the_remedy_below() -> None:
    first, *below = lines_of(wrong("disk", "0.0 GiB free\nfor .local", "make " + "much " * 30 + "room"), colour=False, width=60)
    assert first.startswith("  WRONG disk ")
    assert first.endswith("0.0 GiB free for .local")
    assert below[0].startswith("        > make much")
    assert below[-1].endswith("room")
    assert all(len(line) <= 60 for line in below)


def test_lines_with_colour_say_the_same() -> None:
    for finding in (ok("a", "b"), notice("a", "b", "c"), wrong("a", "b", "c"), left_out("a", "b")):
        plain = lines_of(finding, colour=False, width=80)
        coloured = "\n".join(lines_of(finding, colour=True, width=80))
        assert "\x1b[" in coloured
        assert [line.strip() for line in plain if line not in coloured] == [plain[0].strip()]


def test_summary_counts_what_there_is() -> None:
    findings = [ok("a", "b"), ok("c", "d"), left_out("e", "f")]
    assert summary_line(findings) == "Nothing is wrong: 2 ok, 1 left out."
    findings += [notice("g", "h", "i"), wrong("j", "k", "l")]
    assert summary_line(findings) == "Something is wrong: 2 ok, 1 notice, 1 wrong, 1 left out."


def test_document_has_every_check_with_its_group() -> None:
    groups = [("Storage", ok("tables", "there")), ("Storage", wrong("queues", "absent", "make them"))]
    assert json.loads(document(groups, machine="a machine", installation="the environment")) == {
        "format": 1,
        "machine": "a machine",
        "installation": "the environment",
        "summary": {"ok": 1, "notice": 0, "wrong": 1, "left out": 0},
        "checks": [
            {"group": "Storage", "name": "tables", "state": "ok", "found": "there", "remedy": ""},
            {"group": "Storage", "name": "queues", "state": "wrong", "found": "absent", "remedy": "make them"},
        ],
    }


def test_checks_import_what_an_installation_needs_only_when_there_is_one() -> None:
    code = "import sys, local.doctor.run; print(*[name for name in sys.argv[1:] if name in sys.modules])"
    heavy = ("azure.core", "aiohttp", "dns", "aiosmtplib", "trustme", "msgspec")
    done = subprocess.run([sys.executable, "-c", code, *heavy], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
