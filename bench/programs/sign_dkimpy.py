"""Signs messages with dkimpy: `python -m bench.programs.sign_dkimpy KEY DOMAIN SELECTOR`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import dkim

from bench.programs.tasks import body_hash, serve


def main() -> None:
    path, domain, selector = sys.argv[1:]
    key = Path(path).read_bytes()

    def work_on(message: bytes) -> Callable[[], bytes]:
        canonicalize = (b"relaxed", b"relaxed")
        return lambda: bytes(dkim.sign(message, selector.encode(), domain.encode(), key, canonicalize=canonicalize))

    serve(work_on, body_hash)


if __name__ == "__main__":
    main()
