"""Measured programs: the protocol, a program that hangs, and a real one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from bench.figures import ContenderFailed, Stopped
from bench.groups.import_time import spent_on
from bench.peers import missing_library, missing_node_package, missing_program, missing_python_package
from bench.program import Done, Program

ROOT = Path(__file__).parents[3]
ECHO = """
import json, sys
for number, line in enumerate(sys.stdin, 1):
    task = json.loads(line)
    print(json.dumps({"count": number, "seconds": 2.0, "result": open(task["input"]).read()}), flush=True)
"""
Starter = Callable[..., Program]


@pytest.fixture
def started() -> Iterator[Starter]:
    """Starts programs, which end with the test."""
    with ExitStack() as stack:
        yield lambda *command: stack.enter_context(closing(Program(command, ROOT)))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "input"
    path.write_text("content")
    return path


def test_program_is_started_once_and_does_tasks(started: Starter, file: Path) -> None:
    program = started(sys.executable, "-c", ECHO)

    assert program.do(file, 0.5, 10.0) == Done(1, 2.0, "content")
    assert program.do(file, 0.5, 10.0).rate == 1.0


def test_program_that_hangs_is_stopped_and_started_again(started: Starter, file: Path, tmp_path: Path) -> None:
    hanging = f"import sys, pathlib, time\nif not pathlib.Path({str(tmp_path / 'once')!r}).exists():\n"
    hanging += f"    sys.stdin.readline(); pathlib.Path({str(tmp_path / 'once')!r}).touch(); time.sleep(100)\n"
    program = started(sys.executable, "-c", hanging + ECHO)

    with pytest.raises(Stopped, match=r"stopped after 2 s"):
        program.do(file, 0.5, 2.0)
    assert program.do(file, 0.5, 10.0).result == "content"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ('print(\'{"error": "no key"}\', flush=True); input()', "no key"),
        ("input(); raise SystemExit(3)", "ended with exit status 3"),
    ],
)
def test_program_that_fails_says_so(started: Starter, file: Path, code: str, said: str) -> None:
    with pytest.raises(ContenderFailed, match=said):
        started(sys.executable, "-c", code).do(file, 0.5, 10.0)


def test_composing_program_of_ours_makes_messages(started: Starter, tmp_path: Path) -> None:
    request = tmp_path / "request.json"
    request.write_text(
        '{"from":"a@b.example","to":"c@d.example","subject":"s","text":"t","html":"<p>t</p>",'
        '"messageId":"<m@b.example>","date":1795310383.0,"attachments":[]}'
    )
    done = started(sys.executable, "-m", "bench.programs.compose_postrider").do(request, 0.01, 30.0)

    assert done.count >= 1 and done.seconds >= 0.01 and int(done.result) > 500


def test_peers_that_are_not_there_say_how_to_install_them(tmp_path: Path) -> None:
    assert missing_program("python3", "python3") == ""
    assert "apt-get install no-such" in missing_program("no-such-program", "no-such")
    assert "apt-get install no-such" in missing_library("libno-such.so.1", "no-such")
    assert "--install-peers" in missing_python_package(tmp_path, "moto")
    assert missing_node_package(tmp_path, "nodemailer") != ""


def test_import_times_are_summed_by_package() -> None:
    said = """import time: self [us] | cumulative | imported package
import time:      1000 |       1000 |   azure.core.rest
import time:      2000 |       3000 | azure.core
import time:       500 |        500 | json
"""

    assert spent_on(said) == [
        ("azure.core", "3.0 ms, 86%"),
        ("json", "0.5 ms, 14%"),
        ("all together", "3.5 ms, with what watching adds"),
    ]
