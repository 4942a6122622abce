"""What the doctor says of this machine: versions, packages, ports and the disk."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from local.doctor.check import State
from local.doctor.machine import GIB, disk_finding, node_finding, python_finding
from local.doctor.packages import Pin, azurite_package, pins, python_packages
from local.doctor.ports import ancestors, is_of_world, running_world, trouble_with
from local.ports import free_ports, listen


@pytest.mark.parametrize(
    ("version", "state"),
    [((3, 10, 9), "wrong"), ((3, 11, 0), "ok"), ((3, 13, 9), "ok"), ((3, 14, 0), "wrong")],
)
def test_python_is_one_of_those_that_are_tested(version: tuple[int, int, int], state: str) -> None:
    assert python_finding(version).state == state


@pytest.mark.parametrize(
    ("said", "needed", "state"),
    [
        ("v20.20.2", True, "ok"),
        ("v18.0.0", True, "ok"),
        ("v16.20.0", True, "wrong"),
        ("", True, "wrong"),
        ("", False, "notice"),
        ("v16.20.0", False, "notice"),
    ],
)
def test_node_is_wrong_only_where_a_local_world_needs_it(said: str, needed: bool, state: str) -> None:
    assert node_finding(said, needed=needed).state == state


@pytest.mark.parametrize(("free", "state"), [(5 * GIB, "ok"), (GIB // 2, "notice"), (GIB // 20, "wrong")])
def test_disk_with_little_room_is_told(free: int, state: str) -> None:
    finding = disk_finding(Path("/x/.local"), free)
    assert finding.state == state
    assert "/x/.local" in finding.found


def write_requirements(root: Path, local: str, app: str = "", dev: str = "") -> None:
    (root / "requirements.txt").write_text(app)
    (root / "requirements-local.txt").write_text(f"-r requirements.txt\n{local}\n")
    (root / "requirements-dev.txt").write_text(f"-r requirements-local.txt\n{dev}\n")


def test_pins_are_those_of_this_python_and_of_included_files(tmp_path: Path) -> None:
    app = '# ours\nfunctions==1.26.0; python_version < "3.13"\nfunctions==2.3.0; python_version >= "3.13"\n'
    write_requirements(tmp_path, "uvicorn[standard]==0.54.0  # serves", app)
    assert set(pins(tmp_path / "requirements-local.txt", (3, 11))) == {Pin("functions", "1.26.0"), Pin("uvicorn", "0.54.0")}
    assert set(pins(tmp_path / "requirements-local.txt", (3, 13))) == {Pin("functions", "2.3.0"), Pin("uvicorn", "0.54.0")}


@pytest.mark.parametrize(
    ("local", "dev", "state", "words"),
    [
        (f"pytest=={pytest.__version__}", "absent-of-tests==1.0", "ok", ""),
        ("pytest==0.0.1", "", "notice", f"pytest is {pytest.__version__} and not 0.0.1"),
        ("no-such-package==1.0", "pytest==0.0.1", "wrong", "not installed: no-such-package 1.0"),
        ("", "pytest==0.0.1", "notice", "and not 0.0.1"),
    ],
)
def test_packages_are_compared_with_what_is_pinned(tmp_path: Path, local: str, dev: str, state: str, words: str) -> None:
    write_requirements(tmp_path, local, dev=dev)
    finding = python_packages(tmp_path)
    assert finding.state == state
    assert words in finding.found
    assert state == "ok" or f"-m pip install -r {tmp_path / 'requirements-local.txt'}" in finding.remedy


@pytest.mark.parametrize(
    ("installed", "needed", "state"),
    [("3.35.0", True, "ok"), ("3.34.0", True, "notice"), ("", True, "wrong"), ("", False, "notice")],
)
def test_azurite_is_compared_with_the_lock(tmp_path: Path, installed: str, needed: bool, state: str) -> None:
    (tmp_path / "package-lock.json").write_text(json.dumps({"packages": {"node_modules/azurite": {"version": "3.35.0"}}}))
    if installed:
        package = tmp_path / "node_modules" / "azurite" / "package.json"
        package.parent.mkdir(parents=True)
        package.write_text(json.dumps({"version": installed}))
    assert azurite_package(tmp_path, needed=needed).state == state


def test_port_that_is_held_names_its_holder() -> None:
    [port] = free_ports(1)
    assert trouble_with(port) == ""
    held = listen(port)
    try:
        taken = trouble_with(port)
    finally:
        for each in held:
            each.close()
    assert f"port {port} is busy" in taken
    # This very process holds it, so it is that of a world that it is, or that started it.
    assert is_of_world(taken, os.getpid())
    assert is_of_world(taken, os.getppid())
    assert not is_of_world(taken, 2**22 + 1)
    assert not is_of_world(taken, 0)


def test_ancestors_are_read_past_a_name_with_brackets(tmp_path: Path) -> None:
    for process, parent in ((40, 30), (30, 1)):
        (tmp_path / str(process)).mkdir()
        (tmp_path / str(process) / "stat").write_text(f"{process} (a (bad) name) S {parent} 40 40 0 -1")
    assert ancestors(40, tmp_path) == [30, 1]
    assert ancestors(50, tmp_path) == []


@pytest.mark.parametrize(
    ("text", "running"), [("", False), ("4194305", False), (str(os.getpid()), True)], ids=["none", "ended", "ours"]
)
def test_world_that_ended_is_not_running(tmp_path: Path, text: str, running: bool) -> None:
    assert running_world(tmp_path) == 0
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local" / "up.lock").write_text(text)
    assert bool(running_world(tmp_path)) == running


def test_states_are_the_words_of_the_document() -> None:
    assert [str(state) for state in State] == ["ok", "notice", "wrong", "left out"]
