"""Where a Python process spends its CPU, by steps of our own naming: stacks from py-spy, each counted for one step.

A stack counts for the step of its innermost frame that has one. What an event loop, a codec or a library does for a step is so
counted for it, and what nobody asked for is the event loop's own.
"""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.figures import ContenderFailed
from tests.kit.waiting import wait_until

_RATE = 400  # samples a second; a sample stops the process for less than a millisecond
_START_SECONDS = 30.0
# A thread of a pool that waits for work, which py-spy does not always know to be idle.
_WAITING = re.compile(r"_worker \([^;]*concurrent/futures/thread\.py:\d+\)$")
_INSTALLED = re.compile(r".*/lib/python[\d.]+/(?:site-packages/)?")
EVENT_LOOP, ELSE = "event loop", "anything else"

# By the beginning of the frame's path in its installation; the first that fits, so the narrower ones come first.
STEPS: Sequence[tuple[str, str]] = (
    ("uvicorn/", "HTTP server: uvicorn, httptools"),
    ("local/http_", "HTTP server: our host"),
    ("local/routes", "HTTP server: our host"),
    ("local/queue_listener", "queue listener of our host"),
    ("local/timer_listener", "timers of our host"),
    ("local/invocation", "invoking functions"),
    ("azure/functions/", "invoking functions"),
    ("email_core/auth/", "authenticate"),
    ("email_core/data_plane/send_request", "parse the request"),
    ("email_core/data_plane/", "answer the request"),
    ("email_core/triggers/", "triggers"),
    ("email_core/submission/accept", "accept"),
    ("email_core/submission/prepare", "prepare"),
    ("email_core/domains/", "directory of services and domains"),
    ("email_core/message/compose", "compose the message"),
    ("email_core/signing/", "sign the message"),
    ("email_core/delivery/smtp_", "SMTP"),
    ("email_core/delivery/dialler", "SMTP"),
    ("email_core/delivery/attempt", "SMTP"),
    ("email_core/delivery/transcript", "SMTP"),
    ("email_core/delivery/reply", "SMTP"),
    ("email_core/delivery/settle", "settle"),
    ("email_core/delivery/ledger", "rows: ledger, timeline, facts"),
    ("email_core/delivery/rows", "rows: ledger, timeline, facts"),
    ("email_core/delivery/spool", "rows: ledger, timeline, facts"),
    ("email_core/delivery/claim", "claim"),
    ("email_core/delivery/", "delivery, the rest of it"),
    ("email_core/insights/", "activity log"),
    ("email_core/storage/", "storage: our clients"),
    ("azure/core/", "storage: azure-core"),
    ("aiohttp/", "storage: aiohttp"),
    ("yarl/", "storage: aiohttp"),
    ("multidict/", "storage: aiohttp"),
    ("email_core/maillog", "mail log"),
    ("logging/", "mail log"),
)

# The same for the SMTP server.
SMTP_STEPS: Sequence[tuple[str, str]] = (
    ("asyncio/sslproto", "TLS"),
    ("ssl.py", "TLS"),
    ("smtp_relay/__main__", EVENT_LOOP),  # which everything is below
    ("smtp_relay/dot_stream", "find the final dot"),
    ("smtp_relay/message_reading", "keep what comes after DATA"),
    ("tempfile.py", "keep what comes after DATA"),
    ("smtp_relay/session", "submission: MAIL, RCPT, message"),
    ("smtp_relay/", "SMTP: commands and replies"),
    ("aiosmtpd/", "SMTP: commands and replies"),
    ("email_core/message/address", "addresses"),
    ("email_core/message/mailbox", "addresses"),
    ("email_core/message/", "read and mend the message"),
    ("email_core/submission/", "accept"),
    *STEPS,
)


def steps_of(stacks: Mapping[str, int], root: Path, steps: Sequence[tuple[str, str]] = STEPS) -> Counter[str]:
    """Samples by step. A stack is py-spy's: `function (path:line)`, outermost first, joined by semicolons.

    Paths are whole; ours are below `root`.
    """
    counted: Counter[str] = Counter()
    for stack, samples in stacks.items():
        if _WAITING.search(stack):
            continue
        paths = [_short(frame.rpartition(" (")[2], f"{root}/") for frame in stack.split(";")]
        counted[_step_of(paths, steps)] += samples
    return counted


def _short(path: str, ours: str) -> str:
    """`aiohttp/client.py:819` of a package or a standard module, wherever it is installed, and such a path of ours."""
    installed = _INSTALLED.match(path)
    return path[installed.end() :] if installed else path.removeprefix(ours)


def _step_of(paths: Sequence[str], steps: Sequence[tuple[str, str]]) -> str:
    for path in reversed(paths):
        for beginning, step in steps:
            if path.startswith(beginning):
                return step
    return EVENT_LOOP if any(path.startswith("asyncio/") for path in paths) else ELSE


def read_stacks(text: str) -> Counter[str]:
    """The stacks of py-spy's raw format: each line a stack, a blank and how many samples had it."""
    stacks: Counter[str] = Counter()
    for line in text.splitlines():
        stack, _, samples = line.rpartition(" ")
        stacks[stack] += int(samples)
    return stacks


def table(steps: Mapping[str, int], milliseconds: float) -> list[tuple[str, str]]:
    """The steps in order of their cost; `milliseconds` is that of all of them together, for one message."""
    samples = sum(steps.values())
    ordered = sorted(steps.items(), key=lambda item: -item[1])
    return [(step, f"{milliseconds * count / samples:.3f} ms, {count / samples:.1%}") for step, count in ordered]


def missing_py_spy(root: Path) -> str:
    """Why there can be no profile; empty when there can."""
    return "" if _py_spy(root).exists() else "py-spy is not installed: ./postrider bench --install-peers"


def sampled(root: Path, scratch: Path, process: int, work: Callable[[], object]) -> Counter[str]:
    """The stacks of a process while it does the work. Raises ContenderFailed when py-spy may not look into it."""
    output = scratch / "stacks"
    with _recording(root, scratch, process, output):
        work()
    return read_stacks(output.read_text())


@contextmanager
def _recording(root: Path, scratch: Path, process: int, output: Path) -> Iterator[None]:
    log = scratch / "py-spy.log"
    command = [
        str(_py_spy(root)), "record", "--pid", str(process), "--rate", str(_RATE), "--format", "raw",
        "--full-filenames", "--output", str(output),
    ]  # fmt: skip
    with log.open("wb") as out:
        recorder = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, process_group=0)

    def began() -> bool:
        if recorder.poll() is not None:
            raise ContenderFailed(f"py-spy said: {log.read_text(errors='replace').strip()[-300:]}")
        return "Sampling process" in log.read_text(errors="replace")

    try:
        wait_until(began, timeout=_START_SECONDS, what="the start of py-spy")
        yield
        recorder.send_signal(signal.SIGINT)  # it writes what it has
        recorder.wait(_START_SECONDS)
    except (TimeoutError, subprocess.TimeoutExpired) as error:
        raise ContenderFailed(f"py-spy: {error}") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            recorder.kill()
        recorder.wait()


def _py_spy(root: Path) -> Path:
    return root / "bench" / ".venv" / "bin" / "py-spy"
