"""The loop of the measured programs that are written in Python; those in Perl and JavaScript have the same."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path


def serve(work_on: Callable[[bytes], Callable[[], bytes]], result: Callable[[bytes], str]) -> None:
    """Do tasks until the input ends. `work_on` makes of a file's content what is measured; `result` tells about its outcome."""
    for line in sys.stdin:
        task = json.loads(line)
        work = work_on(Path(task["input"]).read_bytes())
        try:
            outcome = work()  # once before the clock starts: caches, lazy imports
            count, began = 0, time.perf_counter()
            while (seconds := time.perf_counter() - began) < task["seconds"] or not count:
                outcome = work()
                count += 1
            answer = {"count": count, "seconds": seconds, "result": result(outcome)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


def body_hash(signature: bytes) -> str:
    """The bh= of a DKIM-Signature field, which is the same whoever signs a message with the same canonicalization."""
    unfolded = b"".join(signature.split())
    return unfolded.partition(b"bh=")[2].partition(b";")[0].decode()
