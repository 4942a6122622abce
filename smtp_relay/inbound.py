"""Port 25: what receivers send back, and nothing else.

A recipient is one of our own addresses with a valid MAC, or it is refused at RCPT: a reverse-path at the platform's bounce
domain or at the MailFrom domain of a verified domain, an unsubscribe token, or the address for feedback reports. What comes is
read, written down and forgotten; no mail is ever sent in answer.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from email_core import maillog
from email_core.administration.unsubscribe import unsubscribe
from email_core.clock import Clock
from email_core.delivery.verp import VerpToken, read_feedback_token, read_reverse_path
from email_core.domains.documents import DomainDocument
from email_core.errors import ConfigurationMissing
from email_core.management.resource_id import DOMAINS
from email_core.returns.arf_report import FeedbackReport
from email_core.returns.bounce_report import BounceReport, Kind
from email_core.returns.late_bounce import LateBounces, Taken
from email_core.returns.mime_parts import MAX_BYTES
from email_core.sealing import Sealer
from email_core.services import Services
from email_core.suppression.unsubscribe_token import PURPOSE, UnsubscribeToken, domain_key, read_address
from smtp_relay import replies
from smtp_relay.allowance import Allowance
from smtp_relay.commands import Path
from smtp_relay.complaint_address import complaint_addresses
from smtp_relay.counters import Counters
from smtp_relay.door import Visit
from smtp_relay.inbound_reading import Came, is_wish, leaver, read_came
from smtp_relay.replies import Reply
from smtp_relay.sealing_check import SealingProof

MAX_RECIPIENTS = 20  # of one message; a report has one
MESSAGES_A_MINUTE = 120  # of one client: a large provider sends its reports from many
REFUSALS_A_MINUTE = 60  # of one client, then it waits: whoever guesses addresses
READ_AT_ONCE = 4  # messages of all clients; the others are files until then
REPORTS_OF_A_MESSAGE = 100  # a day and worker; the timeline takes no more either
# Many servers return the whole message, and its facts stand before it: the first MAX_BYTES are read, the rest is forgotten.
MAX_REPORT = 64 * 1024 * 1024  # octets; twice of the largest message that is sent unless a setting says otherwise
MAX_LINE = 64 * 1024  # octets; what is returned goes nowhere from here, so a line that breaks RFC 5322 breaks nothing

SENDER_OK = Reply(250, "2.1.0", "Ok")
RECIPIENT_OK = Reply(250, "2.1.5", "Ok")
TAKEN = Reply(250, "2.0.0", "Ok: noted")
NOT_OURS = Reply(550, "5.7.1", "Only reports about mail of ours are taken here, at the address that it was sent with")
# Under a sealing key that is not proven to be that of the installation, addresses of ours may look like this.
NOT_KNOWN = Reply(451, "4.3.5", "Whether that address is ours cannot be told right now: try again later")
ENOUGH = Reply(550, "5.7.1", "As many reports about this message were taken as are taken of one")
SLOWER = Reply(450, "4.7.1", "Too much from your address at once: try again in a minute")


@dataclass(frozen=True, slots=True)
class Target:
    """What an address of ours stands for. Neither token: the address for feedback reports."""

    reverse_path: VerpToken | None = None
    unsubscribe: UnsubscribeToken | None = None

    @property
    def name(self) -> str:
        """Whose mail is counted: that of a message, or that of a recipient of a domain. Empty for feedback reports."""
        if self.unsubscribe is not None:
            return f"unsubscribe {self.unsubscribe.domain_key} {self.unsubscribe.recipient}"
        return _name(self.reverse_path) if self.reverse_path is not None else ""


@dataclass(slots=True)
class Inbound:
    """What the connections to port 25 share. Methods raise StorageUnavailable, which is a 451 to the client."""

    services: Services
    bounces: LateBounces
    verp_keys: Mapping[str, bytes]
    unsubscribe_keys: Mapping[str, bytes]
    complaint_addresses: tuple[str, ...]
    counters: Counters = field(default_factory=Counters)
    sealing: SealingProof = field(init=False)
    messages: Allowance = field(init=False)
    refusals: Allowance = field(init=False)
    reports: Allowance = field(init=False)
    reading: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self.reading = asyncio.Semaphore(READ_AT_ONCE)
        clock: Clock = self.services.clock
        self.sealing = SealingProof(self.services.directory, clock)
        self.messages = Allowance(clock, most=MESSAGES_A_MINUTE, seconds=60.0)
        self.refusals = Allowance(clock, most=REFUSALS_A_MINUTE, seconds=60.0)
        self.reports = Allowance(clock, most=REPORTS_OF_A_MESSAGE, seconds=24 * 3600.0)

    async def recipient(self, address: str) -> Target | None:
        """What an address stands for; None when it is none that we made."""
        address = _bare(address)
        domain = address.rpartition("@")[2].lower().rstrip(".")
        if token := read_reverse_path(address, self.verp_keys):
            return Target(reverse_path=token) if await self._is_bounce_domain(token, domain) else None
        if domain != self.services.settings.bounce_domain:
            return None
        if leaver := read_address(address, self.unsubscribe_keys):
            return Target(unsubscribe=leaver)
        known = [hmac.compare_digest(address.lower().encode(), each.encode()) for each in self.complaint_addresses]
        return Target() if any(known) else None

    async def message(self, targets: list[Target], content: BinaryIO, *, request: str = "") -> None:
        """Take a message for the targets. Raises WorkerBusy when one of them cannot be written down now."""
        async with self.reading:
            came = await asyncio.to_thread(read_came, content)
        for target in targets:
            if target.unsubscribe is not None:
                await self._unsubscribe(target.unsubscribe, came, request)
            elif came.feedback is not None:
                await self._complain(target.reverse_path, came.feedback, request)
            elif came.report is not None and target.reverse_path is not None:
                await self._bounce(target.reverse_path, came.report, request)
            else:
                self._tell("-", "nothing", "dropped", request)

    def _tell(self, message: str, kind: str, became: str, request: str, *, reporter: str = "", trouble: str = "") -> None:
        self.counters.add("inbound_total", kind=kind, became=became)
        maillog.inbound(message, kind=kind, became=became, request=request, reporter=reporter, trouble=trouble)

    async def _bounce(self, token: VerpToken, report: BounceReport, request: str) -> None:
        became = str(await self.bounces.take(token, report)) if report.kind is Kind.REPORT else "dropped"
        self._tell(
            _name(token), str(report.kind), became, request, reporter=report.reporting_mta, trouble=report.trouble
        )  # fmt: skip

    async def _complain(self, token: VerpToken | None, report: FeedbackReport, request: str) -> None:
        found = token or next(filter(None, (read_feedback_token(each, self.verp_keys) for each in report.tokens)), None)
        became = str(await self.bounces.complain(found, report)) if found else str(Taken.UNKNOWN)
        name = _name(found) if found else "-"
        self._tell(name, f"feedback {report.feedback}", became, request, reporter=report.reporter)

    async def _unsubscribe(self, token: UnsubscribeToken, came: Came, request: str) -> None:
        address = leaver(token, came, self.unsubscribe_keys)
        domain = await self._domain_of(token) if address is not None and is_wish(came) else None
        if address is None or domain is None:
            self._tell("-", "unsubscribe", "dropped", request)
            return
        new = await unsubscribe(self.services.administration(), domain, address)
        self._tell("-", "unsubscribe", "listed" if new else "known", request)

    async def _domain_of(self, token: UnsubscribeToken) -> str | None:
        for service in await self.services.directory.services():
            for domain in service.linked_domains:
                if domain_key(domain) == token.domain_key:
                    return domain
        # One that no service may send from now is linked again some day, and who left it has left it.
        async for resource in self.services.administration().store.everywhere(DOMAINS, DomainDocument):
            if domain_key(resource.document.id) == token.domain_key:
                return resource.document.id
        return None

    async def _is_bounce_domain(self, token: VerpToken, name: str) -> bool:
        """Whether the service of a token has its reverse-paths at this domain, or had them there for this message."""
        if name == self.services.settings.bounce_domain:
            return True
        for service in await self.services.directory.services():
            if service.key != token.service_key:
                continue
            for resource_id in service.linked_domains:
                last = resource_id.rpartition("/")[2]
                if last.isascii() and not name.endswith(f".{last}"):
                    continue
                try:
                    domain = await self.services.directory.domain(resource_id)
                except ConfigurationMissing:
                    continue
                if domain is not None and domain.verified and domain.mail_from_domain == name:
                    return True
        # A domain may have lost its record, or have been unlinked, after the message was sent from there.
        row = await self.services.spool.read(_name(token), with_content=False)
        return row is not None and row.facts.bounce_domain == name


class InboundDoor:
    """The door of one connection to port 25. See `door.Door`."""

    needs_login = False
    max_bytes = MAX_REPORT
    kept_bytes = MAX_BYTES
    max_line = MAX_LINE

    def __init__(self, inbound: Inbound, visit: Visit) -> None:
        self._inbound = inbound
        self._client = client_name(visit.client)
        self._visit = visit
        self._targets: list[Target] = []

    def reset(self) -> None:
        self._targets = []

    async def mail(self, path: Path) -> Reply:
        """Whoever sends it: most reports have the null reverse-path, and nothing is ever sent back."""
        used_up = self._inbound.refusals.is_used_up(self._client) or self._inbound.messages.is_used_up(self._client)
        return SLOWER if used_up else SENDER_OK

    async def rcpt(self, path: Path) -> Reply:
        if len(self._targets) >= MAX_RECIPIENTS:
            return replies.TOO_MANY_RECIPIENTS
        if self._inbound.refusals.is_used_up(self._client):
            return SLOWER
        target = await self._inbound.recipient(path.address)
        if target is None:
            self._inbound.refusals.take(self._client)
            return NOT_OURS if await self._inbound.sealing.holds() else NOT_KNOWN
        if target.name and self._inbound.reports.is_used_up(target.name):
            return ENOUGH
        self._targets.append(target)
        return RECIPIENT_OK

    async def message(self, content: BinaryIO, size: int) -> Reply:
        if not self._inbound.messages.take(self._client):
            return SLOWER
        await self._inbound.message(self._targets, content, request=self._visit.id)
        for name in {target.name for target in self._targets} - {""}:
            self._inbound.reports.take(name)
        return TAKEN


def build_inbound(services: Services, counters: Counters | None = None) -> Inbound:
    """What port 25 needs, from the services of a worker; it counts in `counters`."""
    # It logs each pattern that it tries, and whole tracebacks of what it can't read.
    logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL + 1)
    sealer = Sealer.from_setting(services.settings.sealing_key)
    return Inbound(
        services,
        LateBounces(services.storage, services.spool, services.settings, services.clock),
        services.deliverer.verp_keys,
        sealer.derived_keys(PURPOSE),
        complaint_addresses(sealer, services.settings.bounce_domain),
        counters or Counters(),
    )


def client_name(address: str) -> str:
    """What counts as one client: an IPv4 address, or the network of an IPv6 one, of which a client has as many as it likes."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))
    return address


def _bare(address: str) -> str:
    """An address without a source route and without quotes, which change nothing (RFC 5321 sections 4.1.1.3 and 4.1.2)."""
    if address.startswith("@"):
        address = address.partition(":")[2]
    local, at, domain = address.rpartition("@")
    return f"{local[1:-1]}{at}{domain}" if local.startswith('"') and local.endswith('"') else address


def _name(token: VerpToken) -> str:
    return f"{token.service_key}:{token.operation_id}"
