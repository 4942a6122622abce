"""Import: how long a fresh worker needs for `import function_app`, and which packages it spends that on."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.figures import OURS, AtMost, Bench, Contender, ContenderFailed, Figure, Group

_LISTED = 15
_LINE = re.compile(r"import time:\s*(\d+) \|\s*(\d+) \| ( *)(\S+)")
# Seconds inside of the process: starting Python is not ours to shorten.
_TIMED = "import time; began = time.perf_counter(); import {}; print(time.perf_counter() - began)"


@contextmanager
def _open(bench: Bench) -> Iterator[Sequence[Figure]]:
    yield [
        Figure(
            "import.function_app",
            "import of function_app in a fresh process",
            "s",
            [
                Contender(OURS, lambda: _seconds(bench.root, "function_app")),
                Contender("azure.functions alone", lambda: _seconds(bench.root, "azure.functions")),
            ],
            better="less",
            goals=[AtMost(0.6, "s")],
            details=lambda: spent_on(_import_times(bench.root)),
        )
    ]


def _seconds(root: Path, module: str) -> float:
    return float(_run(root, "-c", _TIMED.format(module)).stdout)


def _import_times(root: Path) -> str:
    return _run(root, "-X", "importtime", "-c", "import function_app").stderr


def _run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, *arguments], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ContenderFailed(f"import function_app failed: {done.stderr.strip()[-500:]}")
    return done


def spent_on(import_times: str) -> list[tuple[str, str]]:
    """The packages that took most, with their own time in milliseconds: all of their modules, without what those imported.

    `import_times` is what `python -X importtime` writes. A package of `azure` is named by two words, one of ours too.
    """
    own: Counter[str] = Counter()
    for microseconds, _, _, module in _LINE.findall(import_times):
        words = module.split(".")
        own[".".join(words[: 2 if words[0] in ("azure", "email_core") else 1])] += int(microseconds)
    total = sum(own.values())
    lines = [(name, f"{spent / 1000:.1f} ms, {spent / total:.0%}") for name, spent in own.most_common(_LISTED)]
    return [*lines, ("all together", f"{total / 1000:.1f} ms, with what watching adds")]


GROUP = Group("import", "import time of the function app", "nothing", ["import.function_app"], _open)
