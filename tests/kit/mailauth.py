"""What a receiver thinks of a message: the verdict of mailauth, a DKIM, SPF, DMARC and ARC implementation that is not ours."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[2]
_SCRIPT = Path(__file__).with_name("verify_mail.mjs")


def missing_reason() -> str:
    """Why mailauth cannot run here; empty when it can."""
    if shutil.which("node") is None:
        return "Node is not installed"
    return "" if (_ROOT / "node_modules" / "mailauth").is_dir() else "mailauth is not installed: npm ci"


def verify(
    message: bytes, *, client_ip: str, helo: str, mail_from: str, dns: tuple[str, int], at: float | None = None
) -> dict[str, Any]:
    """The verdict on a message that came from that client: `dkim` (a list with result, comment, domain, selector, algorithm and
    aligned for each signature), `spf` and `dmarc` (result, comment, domain), `arc` (result, comment, and instance, the number
    of hops), `headers` (Authentication-Results as text).

    All DNS questions go to the server `dns`. `at` is when the receiver looks, in seconds since the epoch, and now otherwise.
    Raises RuntimeError with what the verifier said when it fails.
    """
    command = [
        "node", str(_SCRIPT), "--dns", f"{dns[0]}:{dns[1]}", f"--ip={client_ip}", f"--helo={helo}", f"--sender={mail_from}",
        *([] if at is None else [f"--at={at}"]),
    ]  # fmt: skip
    done = subprocess.run(command, input=message, capture_output=True, timeout=60, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"mailauth ended with {done.returncode}: {done.stderr.decode(errors='replace')}")
    verdict: dict[str, Any] = json.loads(done.stdout)
    return verdict


def seal(message: bytes, *, dns: tuple[str, int], domain: str, selector: str, key: Path) -> bytes:
    """The message with the ARC set of another forwarder before it. `key` is a file with a private key as PEM.

    Raises RuntimeError with what mailauth said when it fails.
    """
    command = [
        "node", str(_SCRIPT.with_name("seal_mail.mjs")), "--dns", f"{dns[0]}:{dns[1]}", f"--domain={domain}",
        f"--selector={selector}", f"--key={key}",
    ]  # fmt: skip
    done = subprocess.run(command, input=message, capture_output=True, timeout=60, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"mailauth ended with {done.returncode}: {done.stderr.decode(errors='replace')}")
    return done.stdout


async def verdict(
    message: bytes, *, client_ip: str, helo: str, mail_from: str, dns: tuple[str, int], at: float | None = None
) -> dict[str, Any]:
    """`verify` for a test whose event loop has to go on meanwhile."""
    return await asyncio.to_thread(verify, message, client_ip=client_ip, helo=helo, mail_from=mail_from, dns=dns, at=at)
