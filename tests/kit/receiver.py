"""A real SMTP server (aiosmtpd) in the test's own loop that keeps what it is given and answers recipients as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass(frozen=True)
class Received:
    """A message as it arrived."""

    reverse_path: str
    recipients: tuple[str, ...]
    content: bytes


@dataclass
class Receiver:
    """Keeps what it is given. `replies` maps a recipient to the answers that its RCPTs get, in order.

    The last answer repeats; recipients that are not named are taken.
    """

    port: int = 0
    replies: dict[str, list[str]] = field(default_factory=dict)
    data_seconds: float = 0.0  # how long it takes to answer the final dot
    received: list[Received] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        self.asked.append(address)
        answers = self.replies.get(address, [])
        answer = answers.pop(0) if len(answers) > 1 else (answers[0] if answers else "250 2.1.5 taken")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        await asyncio.sleep(self.data_seconds)
        content = envelope.original_content
        assert content is not None
        self.received.append(Received(str(envelope.mail_from), tuple(envelope.rcpt_tos), content))
        return "250 2.0.0 taken"


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver on a free port of 127.0.0.1."""
    sink = Receiver()
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(sink, enable_SMTPUTF8=True, hostname="receiver.test"), "127.0.0.1", 0
    )
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        server.close()
        await server.wait_closed()
