"""The folder of the local world: what a reset removes, and who may use it."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest

from local.folder import AlreadyRunning, Folder, only_one


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def filled(root: Path, *names: str) -> Folder:
    folder = Folder.of_up(root)
    for name in names:
        (folder.base / name).mkdir(parents=True)
        (folder.base / name / "content").write_text("x")
    return folder


def names(folder: Folder) -> set[str]:
    return {entry.name for entry in folder.base.iterdir()}


def test_reset_removes_the_state_and_keeps_the_authority_and_running_commands(tmp_path: Path) -> None:
    folder = filled(tmp_path, "azurite", "outbox", "log", "host", "tls", f"exec-{os.getpid()}")
    key = folder.sealing_key
    (folder.base / "env").write_text("x")
    folder.reset()
    assert names(folder) == {"tls", f"exec-{os.getpid()}"}
    assert folder.sealing_key != key


def test_reset_of_a_folder_that_is_not_there_does_nothing(tmp_path: Path) -> None:
    Folder.of_up(tmp_path).reset()
    assert not (tmp_path / ".local").exists()


def test_leftovers_of_commands_that_were_killed_are_removed(tmp_path: Path) -> None:
    folder = filled(tmp_path, f"exec-{ended_process()}", f"exec-{os.getpid()}", "exec-x", "outbox")
    folder.remove_leftovers()
    assert names(folder) == {f"exec-{os.getpid()}", "outbox"}


def test_sealing_key_is_32_bytes_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    folder = Folder.of_up(tmp_path)
    assert len(base64.b64decode(folder.sealing_key, validate=True)) == 32
    assert folder.sealing_key == folder.sealing_key
    assert (folder.base / "sealing-key").stat().st_mode & 0o077 == 0


def test_run_folder_is_below_the_shared_one_and_goes_with_its_state(tmp_path: Path) -> None:
    folder = Folder.of_run(tmp_path)
    assert folder.tls == tmp_path / ".local" / "tls"
    assert folder.sealing_key
    assert names(folder) == {f"exec-{os.getpid()}"}
    folder.remove_state()
    assert names(folder) == set()


def test_folder_is_for_one_world_at_a_time_and_says_whose(tmp_path: Path) -> None:
    folder = Folder.of_up(tmp_path)
    with only_one(folder):
        with pytest.raises(AlreadyRunning, match=rf"\(process {os.getpid()}\)"), only_one(folder):
            pass
        folder.reset()  # by the one that holds it
        with pytest.raises(AlreadyRunning), only_one(folder):
            pass
    with only_one(folder):
        pass


def test_folder_that_a_dead_world_held_is_free(tmp_path: Path) -> None:
    folder = Folder.of_up(tmp_path)
    code = f"""
import os
from pathlib import Path
from local.folder import Folder, only_one

only_one(Folder.of_up(Path({str(tmp_path)!r}))).__enter__()
os._exit(9)
"""
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=False)
    assert (folder.base / "up.lock").read_text().isdecimal()
    with only_one(folder):
        pass
