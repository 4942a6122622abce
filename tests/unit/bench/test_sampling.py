from __future__ import annotations

from pathlib import Path

import pytest

from bench.sampling import ELSE, EVENT_LOOP, SMTP_STEPS, read_stacks, steps_of, table

ROOT = Path("/srv/postrider")
STEPS = (("email_core/storage/", "storage"), ("aiohttp/", "aiohttp"), ("email_core/signing/", "sign"))
LOOP = "_run_once (/usr/lib/python3.11/asyncio/base_events.py:1922)"
STORE = "insert (/srv/postrider/email_core/storage/tables.py:40)"
CLIENT = "_request (/srv/postrider/.venv/lib/python3.11/site-packages/aiohttp/client.py:819)"


@pytest.mark.parametrize(
    ("frames", "step"),
    [
        ([LOOP, STORE], "storage"),
        ([LOOP, STORE, CLIENT], "aiohttp"),
        ([LOOP, STORE, CLIENT, "write (/usr/lib/python3.11/asyncio/selector_events.py:1066)"], "aiohttp"),
        ([LOOP, STORE, "digest (/usr/lib/python3.11/hmac.py:160)"], "storage"),
        (
            ["main (/srv/postrider/local/functions_host.py:1)", LOOP, "select (/usr/lib/python3.11/selectors.py:468)"],
            EVENT_LOOP,
        ),
        (["_bootstrap (/usr/lib/python3.11/threading.py:1002)"], ELSE),
        (["sign (/elsewhere/email_core/signing/dkim.py:1)"], ELSE),
    ],
)
def test_stack_counts_for_the_step_of_its_innermost_frame_that_has_one(frames: list[str], step: str) -> None:
    assert steps_of({";".join(frames): 3}, ROOT, STEPS) == {step: 3}


def test_samples_of_stacks_with_one_step_are_added() -> None:
    assert steps_of({STORE: 2, f"{LOOP};{STORE}": 5, CLIENT: 1}, ROOT, STEPS) == {"storage": 7, "aiohttp": 1}


def test_thread_that_waits_for_work_is_not_counted() -> None:
    waiting = "_bootstrap (/usr/lib/python3.11/threading.py:1002);_worker (/usr/lib/python3.11/concurrent/futures/thread.py:81)"
    working = f"{waiting};run (/usr/lib/python3.11/concurrent/futures/thread.py:58);{STORE}"

    assert steps_of({waiting: 9, working: 2}, ROOT, STEPS) == {"storage": 2}


def test_smtp_server_is_told_apart_from_the_loop_that_it_runs_in() -> None:
    main = "main (/srv/postrider/smtp_relay/__main__.py:60)"
    session = "message (/srv/postrider/smtp_relay/session.py:90)"

    assert steps_of({f"{main};{LOOP}": 1}, ROOT, SMTP_STEPS) == {EVENT_LOOP: 1}
    assert steps_of({f"{main};{LOOP};{session}": 1}, ROOT, SMTP_STEPS) == {"submission: MAIL, RCPT, message": 1}


def test_raw_stacks_are_read_with_blanks_in_frames() -> None:
    text = f"{LOOP};{STORE} 12\n<module> (<frozen runpy>:88) 1\n"

    assert read_stacks(text) == {f"{LOOP};{STORE}": 12, "<module> (<frozen runpy>:88)": 1}


def test_table_shares_the_cost_of_a_message_among_the_steps_dearest_first() -> None:
    rows = table({"sign": 10, "storage": 30}, milliseconds=2.0)

    assert rows == [("storage", "1.500 ms, 75.0%"), ("sign", "0.500 ms, 25.0%")]
