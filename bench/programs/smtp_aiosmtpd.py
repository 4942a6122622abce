"""aiosmtpd that takes every message and stores none: `python -m bench.programs.smtp_aiosmtpd CERTIFICATE KEY`.

It wants TLS and a log-in, and takes any password. It listens on a free port of 127.0.0.1. To each line on its input it answers
with how many messages have come until then, and as the result the port and the id of the process.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import ssl
import sys
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult


class Handler:
    """The handler of aiosmtpd."""

    def __init__(self) -> None:
        self.count = 0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.count += bool(envelope.content)
        return "250 2.0.0 Taken"


def _anybody(*_: object) -> AuthResult:
    return AuthResult(success=True)


async def serve(certificate: str, key: str) -> None:
    """Until the input ends."""
    logging.getLogger("mail").setLevel(logging.ERROR)  # aiosmtpd's own, which tells every command and its own deprecations
    loop = asyncio.get_running_loop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    handler = Handler()

    def session() -> SMTP:
        return SMTP(
            handler, hostname="floor.test", tls_context=context, require_starttls=True, auth_required=True,
            authenticator=_anybody, loop=loop,
        )  # fmt: skip

    server = await loop.create_server(session, "127.0.0.1", 0, backlog=512)
    result = json.dumps({"port": server.sockets[0].getsockname()[1], "process": os.getpid()})
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with server:
        while await lines.readline():
            print(json.dumps({"count": handler.count, "seconds": 0.0, "result": result}), flush=True)
        server.close()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started us ends us, by ending our input
    asyncio.run(serve(*sys.argv[1:3]))
