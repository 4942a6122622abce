"""Memory: the peak for a request of 10 MB above what the process has when idle, as a multiple of the request.

In the parser alone, in a process of its own; and in a functions host from the request until the message is delivered. Each
round has a fresh process, because memory that was needed once is not always given back to the system.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bench.azurite import azurite
from bench.figures import OURS, AtMost, Bench, Contender, ContenderFailed, Figure, Group
from bench.host import functions_host
from bench.process_memory import forget_peak, memory

_REQUEST = 10 * 1024 * 1024  # bytes; the largest that is accepted
_GOAL = AtMost(4.0, "times the request")
_KINDS = {"attachment": "an attachment in base64", "text": "plain text", "html": "HTML without plain text"}
_SENTENCE = "The quick brown fox jumps over the lazy dog while the mail is on its way.\n"
_UNIT = "times the request"


@contextmanager
def _open(bench: Bench) -> Iterator[Sequence[Figure]]:
    with azurite(bench.root, bench.scratch) as connection_string:
        accepted: dict[str, float] = {}

        def in_host(kind: str) -> float:
            accepted[kind], peak = _host_peak(bench, connection_string, kind)
            return peak

        def in_parser(kind: str) -> float:
            return _parser_peak(bench, kind)

        def details(name: str, kind: str) -> list[tuple[str, str]]:
            return [("until the request was accepted, last round", f"{accepted[kind]:.2f}")] if name == "host" else []

        where = {"parser": ("in the parser", in_parser), "host": ("in the functions host", in_host)}
        yield [
            Figure(
                f"memory.{name}-{kind}",
                f"peak above idle {place} for a request of 10 MB: {what}",
                _UNIT,
                [Contender(OURS, lambda measured=measured, kind=kind: measured(kind))],  # type: ignore[misc]
                better="less",
                goals=[_GOAL],
                details=lambda name=name, kind=kind: details(name, kind),  # type: ignore[misc]
            )
            for name, (place, measured) in where.items()
            for kind, what in _KINDS.items()
        ]


def _content(kind: str) -> dict[str, Any]:
    """What a request's body has beside sender and recipients, of about 10 MB."""
    room = _REQUEST - 2048
    if kind == "attachment":
        encoded = base64.b64encode(bytes(range(256)) * (room // 4 * 3 // 256)).decode()
        file = {"name": "report.pdf", "contentType": "application/pdf", "contentInBase64": encoded}
        return {"content": {"subject": "A figure", "plainText": "See the attachment.\n"}, "attachments": [file]}
    if kind == "text":
        return {"content": {"subject": "A figure", "plainText": _SENTENCE * (room // len(json.dumps(_SENTENCE)))}}
    paragraph = f"<p>{_SENTENCE}</p>"
    return {"content": {"subject": "A figure", "html": paragraph * (room // len(json.dumps(paragraph)))}}


def _parser_peak(bench: Bench, kind: str) -> float:
    path = bench.scratch / f"{kind}.json"
    message = {"senderAddress": "a@b.example", "recipients": {"to": [{"address": "c@d.example"}]}, **_content(kind)}
    path.write_text(json.dumps(message))
    command = [sys.executable, "-m", "bench.programs.parse_request", str(path)]
    done = subprocess.run(command, cwd=bench.root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ContenderFailed(f"parse_request failed: {done.stderr.strip()[-500:]}")
    before, peak, size = map(int, done.stdout.split())
    return (peak - before) / size


def _host_peak(bench: Bench, connection_string: str, kind: str) -> tuple[float, float]:
    """Until the request is accepted, and until its message is delivered; both as multiples of the request."""
    with functions_host(bench.root, bench.scratch, connection_string) as host:
        for _ in range(2):  # what a worker makes once
            host.wait_until_delivered(host.send(json.dumps(host.message(plainText="Hello.\n", html="<p>Hello.</p>")).encode()))
        body = json.dumps({**host.message(), **_content(kind)}).encode()
        forget_peak(host.process.pid)
        idle = memory(host.process.pid, "VmRSS")
        operation = host.send(body)
        accepted = (memory(host.process.pid, "VmHWM") - idle) / len(body)
        host.wait_until_delivered(operation)
        return accepted, (memory(host.process.pid, "VmHWM") - idle) / len(body)


GROUP = Group(
    "memory",
    "peak memory for the largest request",
    "Azurite (npm); Linux",
    [f"memory.{place}-{kind}" for place in ("parser", "host") for kind in _KINDS],
    _open,
)
