"""The capture sink: an SMTP server on loopback that keeps every message as it came and delivers none.

`python -m local.sink --port 2525 --folder .local/outbox`. Each message is two files whose name sorts by time: `.eml` with the
bytes exactly as received, bare CR and LF included, and `.json` with the envelope. The `.eml` comes last and at once whole,
so who sees it can read both.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import logging
import signal
import ssl
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

SIZE_LIMIT = 100 * 1024 * 1024  # bytes; above anything that the largest request can become
HOST_NAME = "sink.postrider.test"

_log = logging.getLogger("local.sink")


class Outbox:
    """A folder of kept messages."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        folder.mkdir(parents=True, exist_ok=True)

    def keep(self, content: bytes, envelope: dict[str, Any], received: datetime) -> Path:
        """The `.eml` that now holds `content`, with its envelope beside it."""
        # The number keeps messages of one microsecond apart and in order.
        name = f"{received.strftime('%Y%m%dT%H%M%S.%fZ')}-{next(self._numbers):06d}"
        facts = {**envelope, "received_at": received.isoformat(), "size": len(content)}
        self._write(self._folder / f"{name}.json", json.dumps(facts, indent=2, ensure_ascii=False).encode("utf-8") + b"\n")
        return self._write(self._folder / f"{name}.eml", content)

    def _write(self, path: Path, content: bytes) -> Path:
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_bytes(content)
        return fresh.replace(path)


class KeepEverything:
    """The handler of aiosmtpd: takes every sender and recipient."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.original_content or b""
        facts = {
            "mail_from": envelope.mail_from,
            "mail_options": envelope.mail_options,
            "rcpt_tos": envelope.rcpt_tos,
            "peer": session.peer[0] if isinstance(session.peer, tuple) else str(session.peer),
            "helo": session.host_name,
            "tls": session.ssl is not None,
        }
        kept = await asyncio.to_thread(self._outbox.keep, content, facts, datetime.now(UTC))
        _log.info("kept %s, %d bytes for %d recipients", kept.name, len(content), len(envelope.rcpt_tos))
        return f"250 2.0.0 Kept as {kept.name}"

    async def handle_exception(self, error: Exception) -> str:
        _log.error("a message could not be kept", exc_info=error)
        return "451 4.3.0 The message could not be kept; the log of the sink says why"


async def serve(port: int, folder: Path, tls: ssl.SSLContext | None = None) -> None:
    """Listen on 127.0.0.1 until SIGTERM or SIGINT; OSError when the port is taken."""
    handler = KeepEverything(Outbox(folder))
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)

    def protocol() -> SMTP:
        return SMTP(handler, data_size_limit=SIZE_LIMIT, enable_SMTPUTF8=True, hostname=HOST_NAME, tls_context=tls)

    server = await loop.create_server(protocol, "127.0.0.1", port)
    _log.info("Ready: smtp=%d", server.sockets[0].getsockname()[1])
    async with server:
        await stopping.wait()


def main(arguments: Sequence[str]) -> int:
    """0 when stopped by a signal, 1 when the port is taken."""
    parser = argparse.ArgumentParser(prog="python -m local.sink", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 for a free one")
    parser.add_argument("--folder", type=Path, required=True, help="where messages are kept")
    parser.add_argument("--certificate", type=Path, help="PEM chain; offers STARTTLS")
    parser.add_argument("--key", type=Path, help="PEM private key of the certificate")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("mail").setLevel(logging.WARNING)  # aiosmtpd, which tells every command
    tls = None
    if options.certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options.certificate, options.key)
    try:
        asyncio.run(serve(options.port, options.folder, tls))
    except OSError as error:
        _log.error("the sink cannot listen on port %d: %s", options.port, error.strerror)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
