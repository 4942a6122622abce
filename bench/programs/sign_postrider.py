"""Signs messages as Postrider does: `python -m bench.programs.sign_postrider KEY DOMAIN SELECTOR`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bench.programs.tasks import body_hash, serve
from email_core.signing.dkim import SigningKey, sign

_VALID_SECONDS = 7 * 24 * 3600.0


def main() -> None:
    path, domain, selector = sys.argv[1:]
    private_key = load_pem_private_key(Path(path).read_bytes(), None)
    assert isinstance(private_key, RSAPrivateKey)  # for the type checker
    keys = [SigningKey(domain, selector, private_key)]

    def work_on(message: bytes) -> Callable[[], bytes]:
        return lambda: sign(message, keys, now=time.time(), valid_for=_VALID_SECONDS)

    serve(work_on, body_hash)


if __name__ == "__main__":
    main()
