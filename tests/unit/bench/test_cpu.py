from __future__ import annotations

import subprocess
import sys

import pytest

from bench.cpu import ProcessTimes, cpu_seconds, parse_stat, tree_seconds

# utime 250, stime 50, cutime 30, cstime 20, in hundredths of a second
STAT = "42 (smtpd (a) b) S 7 42 42 0 -1 4194560 900 80 0 0 250 50 30 20 20 0 1 0 99 1000 200 18446744073709551615"


def test_stat_of_a_process_whose_name_has_blanks_and_brackets_is_read() -> None:
    assert parse_stat(42, STAT, ticks=100) == ProcessTimes(42, parent=7, own=3.0, ended_children=0.5)


def test_seconds_of_a_tree_are_of_its_processes_and_of_their_children_that_have_ended() -> None:
    master = ProcessTimes(10, parent=1, own=1.0, ended_children=4.0)
    smtpd = ProcessTimes(11, parent=10, own=2.0, ended_children=0.0)
    helper = ProcessTimes(12, parent=11, own=0.5, ended_children=0.25)
    stranger = ProcessTimes(13, parent=1, own=100.0, ended_children=0.0)

    assert tree_seconds([10], [stranger, helper, smtpd, master]) == 7.75


def test_seconds_of_two_trees_count_a_shared_process_once() -> None:
    master = ProcessTimes(10, parent=1, own=1.0, ended_children=0.0)
    smtpd = ProcessTimes(11, parent=10, own=2.0, ended_children=0.0)

    assert tree_seconds([10, 11], [master, smtpd]) == 3.0


def test_seconds_of_a_process_that_is_gone_are_none() -> None:
    assert tree_seconds([99], [ProcessTimes(10, parent=1, own=1.0, ended_children=0.0)]) == 0.0


def test_seconds_of_a_process_that_runs_are_those_that_the_system_tells_it() -> None:
    busy = "import os, sys; sum(range(10**7)); print(sum(os.times()[:4]), flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        used = float(running.stdout.readline())
        assert cpu_seconds(running.pid) == pytest.approx(used, abs=0.1)
        running.stdin.close()
