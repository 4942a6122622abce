"""A Postfix that takes our mail with 250, finds out later that it can't be delivered, and returns it to our own port 25."""

from __future__ import annotations

import asyncio
import io
import smtplib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from email.message import Message
from functools import partial
from typing import BinaryIO, TypeVar

from email_core.delivery.ledger import Entry
from email_core.delivery.rows import SpooledRow
from email_core.message.address import parse_address
from email_core.settings import Settings
from email_core.suppression.unsubscribe_token import PREFIX, make_token
from smtp_relay.commands import Path
from smtp_relay.door import Visit
from smtp_relay.inbound import Inbound, InboundDoor, build_inbound
from smtp_relay.replies import Reply
from tests.kit.free_ports import free_port
from tests.kit.knot import Knot
from tests.kit.pipeline import DOMAIN as SENDING_DOMAIN
from tests.kit.pipeline import Pipeline, build_pipeline
from tests.kit.postfix import HOST, SCRIPTED_REPLIES, Postfix
from tests.kit.requests import message, post
from tests.kit.smtp_relay import SENDER, RelayFiles, RunningRelay, add_user, running_relay

T = TypeVar("T")

DOMAIN = "rcpt.test"
BOUNCE_DOMAIN = "bounce.postrider.test"

_SERVICES = """\
smtp unix - - n - - smtp
verify unix - - n - 1 verify
{host}:{behind} inet n - n - - smtpd
  -o myhostname=behind.rcpt.test
  -o {{ smtpd_recipient_restrictions = check_recipient_access inline:{{ {scripted} }}, permit }}
"""


def returning_postfix(inbound: int, **parameters: str) -> Postfix:
    """A server that leads mail for the bounce domain to the port `inbound`; `parameters` are further lines of main.cf.

    It says no to nobody. user@, other@ and the sender of our mail have mailboxes. The local parts of SCRIPTED_REPLIES are for
    the server behind, which answers so. moved@ is an alias of bounce@, and nobody else is there.
    """
    behind = free_port(HOST)
    led = [f"{{ {local}@{DOMAIN} = smtp:[{HOST}]:{behind} }}" for local in SCRIPTED_REPLIES]
    scripted = ", ".join(f"{{ {local}@ = {reply} }}" for local, reply in SCRIPTED_REPLIES.items())
    mailboxes = ", ".join(f"{{ {address} = Maildir/ }}" for address in (f"user@{DOMAIN}", f"other@{DOMAIN}", SENDER))
    return Postfix(
        DOMAIN, SENDING_DOMAIN,
        parameters={
            "transport_maps": f"inline:{{ {', '.join(led)}, {{ {BOUNCE_DOMAIN} = smtp:[127.0.0.1]:{inbound} }} }}",
            "relay_domains": BOUNCE_DOMAIN,
            "virtual_alias_maps": f"inline:{{ {{ moved@{DOMAIN} = bounce@{DOMAIN} }} }}",
            "virtual_mailbox_maps": f"inline:{{ {mailboxes} }}",
            "smtpd_reject_unlisted_recipient": "no",
            "smtpd_recipient_restrictions": "permit",
            "smtp_tls_security_level": "may",
            "fast_flush_domains": "",
            "delay_warning_time": "1s",
            # What is put off comes again while the test waits for it.
            "queue_run_delay": "1s", "minimal_backoff_time": "1s", "maximal_backoff_time": "1s",
        } | parameters,
        services=_SERVICES.format(host=HOST, behind=behind, scripted=scripted),
    )  # fmt: skip


@dataclass(frozen=True)
class Came:
    """A message that came to our port 25."""

    reverse_path: str
    recipients: tuple[str, ...]
    content: bytes  # as much as we keep
    size: int
    code: int


class NotingDoor(InboundDoor):
    """Our door, with a note of all that came in."""

    def __init__(self, inbound: Inbound, came: list[Came], visit: Visit) -> None:
        super().__init__(inbound, visit)
        self._came = came
        self._path, self._recipients = "", [""]

    async def mail(self, path: Path) -> Reply:
        self._path, self._recipients = path.address, []
        return await super().mail(path)

    async def rcpt(self, path: Path) -> Reply:
        reply = await super().rcpt(path)
        if reply.code < 400:
            self._recipients.append(path.address)
        else:
            self._came.append(Came(self._path, (path.address,), b"", 0, reply.code))
        return reply

    async def message(self, content: BinaryIO, size: int) -> Reply:
        raw = content.read()
        reply = await super().message(io.BytesIO(raw), size)
        self._came.append(Came(self._path, tuple(self._recipients), raw, size, reply.code))
        return reply


@dataclass
class Returning:
    """A pipeline that delivers to a Postfix, which returns some of it to the pipeline's port 25."""

    pipeline: Pipeline
    relay: RunningRelay
    inbound: Inbound
    postfix: Postfix
    came: list[Came] = field(default_factory=list)

    async def send(self, door: str, *recipients: str, notify: str = "", lines: int = 1) -> str:
        """Submit a message by HTTP, or by SMTP with so many lines of text, and deliver it; its operation."""
        if door == "http":
            to = [{"address": address} for address in recipients]
            answer = await post(self.pipeline, message(recipients={"to": to}))
            assert answer.status == 202, answer
            operation = str(answer.body["id"])
        else:
            operation = await self._submit(recipients, notify, b"Hello, world of mail.".ljust(70, b"!") + b"\r\n", lines)
        await self.pipeline.drain()
        return operation

    async def _submit(self, recipients: tuple[str, ...], notify: str, line: bytes, lines: int) -> str:
        client = await self.relay.logged_in()
        assert (await client.ask(f"MAIL FROM:<{SENDER}> SMTPUTF8")).startswith("250 ")
        for address in recipients:
            assert (await client.ask(f"RCPT TO:<{address}>{f' NOTIFY={notify}' if notify else ''}")).startswith("250 ")
        assert (await client.ask("DATA")).startswith("354 ")
        header = f"From: <{SENDER}>\r\nTo: you@{DOMAIN}\r\nSubject: A test\r\n\r\n"
        await client.send(header.encode() + line * lines + b".\r\n")
        reply = await client.reply()
        assert reply.startswith("250 2.0.0 Ok: queued as "), reply
        await client.close()
        return reply.split()[-1]

    async def row(self, operation: str, name: str = "message") -> SpooledRow:
        """A row of a message."""
        row = await self.pipeline.services.spool.read(f"{self.pipeline.service.key}:{operation}", name, with_content=False)
        assert row is not None
        return row

    async def entry(self, operation: str, address: str) -> Entry:
        """What the ledger has about a recipient of a message that was not split."""
        return next(each for each in (await self.row(operation)).ledger.entries if each.address == address)

    async def kinds(self, operation: str) -> list[str]:
        """The events of reports on the timeline."""
        timeline = (await self.row(operation)).timeline
        return [event.kind for event in timeline if event.kind in ("returned", "reported", "complaint")]

    def reverse_path(self, row: SpooledRow) -> str:
        """The reverse-path that the message of a row went out with."""
        said = next(str(event.facts["command"]) for event in row.timeline if "MAIL FROM:<" in str(event.facts.get("command")))
        return said.partition("<")[2].partition(">")[0]

    def unsubscribe_address(self, address: str) -> str:
        """Where a recipient of the sending domain unsubscribes by mail."""
        key_id, key = next(iter(self.inbound.unsubscribe_keys.items()))
        domain_id = self.pipeline.provisioner.domain_id("email", SENDING_DOMAIN)
        token = make_token(domain_id=domain_id, recipient=parse_address(address), key_id=key_id, key=key)
        return f"{PREFIX}{token}@{BOUNCE_DOMAIN}"

    async def until_came(self, count: int = 1, *, code: int = 250) -> list[Came]:
        """What came in and was answered with this code, once there are so many."""

        async def look() -> list[Came] | None:
            found = [each for each in self.came if each.code == code]
            return found if len(found) >= count else None

        return await self.until(look, f"{count} messages at our port 25 that are answered with {code}")

    async def until(self, look: Callable[[], Awaitable[T | None]], what: str) -> T:
        """The first true answer of `look`, within fifteen seconds; TimeoutError with the log of Postfix after that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(15):
                while True:
                    if found := await look():
                        return found
                    await asyncio.sleep(0.02)
        raise TimeoutError(f"{what}\nCame: {self.came}\nLog of Postfix:\n{self.postfix.log()[-5000:]}")

    async def mail(self, reverse_path: str, recipient: str, content: str | bytes | Message) -> None:
        """Hand a message to Postfix, which takes it."""
        raw = content if isinstance(content, bytes) else str(content).replace("\n", "\r\n").encode()

        def hand_over() -> None:
            with smtplib.SMTP(self.postfix.host, self.postfix.port, timeout=20) as client:
                assert client.sendmail(reverse_path, [recipient], raw) == {}

        await asyncio.to_thread(hand_over)


@asynccontextmanager
async def returning(azurite: str, knot: Knot, files: RelayFiles, **parameters: str) -> AsyncIterator[Returning]:
    """All of it, with the mail of the pipeline led to Postfix by the DNS."""
    inbound_port = free_port()
    with returning_postfix(inbound_port, **parameters) as postfix:
        knot.add_records(postfix.dns_records())

        def to_the_world(settings: Settings) -> Settings:
            return replace(settings, dns_server=knot.address, mx_port=postfix.port)

        pipeline = await build_pipeline(azurite, routes="mx", change=to_the_world)
        try:
            assert pipeline.services.settings.bounce_domain == BOUNCE_DOMAIN
            inbound, came = build_inbound(pipeline.services), list[Came]()
            user, password = await add_user(pipeline)
            door = partial(NotingDoor, inbound, came)
            async with running_relay(pipeline.services, files, inbound=door, inbound_port=inbound_port) as relay:
                relay.user, relay.password = user, password
                yield Returning(pipeline, relay, inbound, postfix, came)
        finally:
            await pipeline.close()
