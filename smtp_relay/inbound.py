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
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from email_core import maillog
from email_core.administration.unsubscribe import unsubscribe
from email_core.clock import Clock
from email_core.delivery.arf_report import FeedbackReport, read_feedback
from email_core.delivery.bounce_report import BounceReport, Kind, read_bounce
from email_core.delivery.bounce_words import plain
from email_core.delivery.late_bounce import LateBounces, Taken
from email_core.delivery.mime_parts import MAX_BYTES, parts_of
from email_core.delivery.mime_parts import field as field_of
from email_core.delivery.verp import VerpToken, read_reverse_path
from email_core.errors import ConfigurationMissing
from email_core.message.address import Address, AddressError, parse_address
from email_core.sealing import Sealer
from email_core.services import Services
from email_core.suppression.unsubscribe_token import PURPOSE, UnsubscribeToken, domain_key, read_address
from smtp_relay import replies
from smtp_relay.allowance import Allowance
from smtp_relay.commands import Path
from smtp_relay.complaint_address import complaint_addresses
from smtp_relay.door import Visit
from smtp_relay.replies import Reply

MAX_RECIPIENTS = 20  # of one message; a report has one
MESSAGES_A_MINUTE = 120  # of one client: a large provider sends its reports from many
REFUSALS_A_MINUTE = 60  # of one client, then it waits: whoever guesses addresses
REPORTS_OF_A_MESSAGE = 100  # a day and worker; the timeline takes no more either

SENDER_OK = Reply(250, "2.1.0", "Ok")
RECIPIENT_OK = Reply(250, "2.1.5", "Ok")
TAKEN = Reply(250, "2.0.0", "Ok: noted")
NOT_OURS = Reply(550, "5.7.1", "Only reports about mail of ours are taken here, at the address that it was sent with")
ENOUGH = Reply(550, "5.7.1", "As many reports about this message were taken as are taken of one")
SLOWER = Reply(450, "4.7.1", "Too much from your address at once: try again in a minute")
TOO_LARGE = Reply(552, "5.3.4", f"A report may have {MAX_BYTES} octets: send it without the body of the message")

_mention = re.compile(r"[^\s<>()\[\]{},;:\"=|@]{1,64}@[^\s<>()\[\]{},;:\"=|@]{1,255}")


@dataclass(frozen=True, slots=True)
class Target:
    """What an address of ours stands for. Neither token: the address for feedback reports."""

    reverse_path: VerpToken | None = None
    unsubscribe: UnsubscribeToken | None = None


@dataclass(slots=True)
class Inbound:
    """What the connections to port 25 share. Methods raise StorageUnavailable, which is a 451 to the client."""

    services: Services
    bounces: LateBounces
    verp_keys: Mapping[str, bytes]
    unsubscribe_keys: Mapping[str, bytes]
    complaint_addresses: tuple[str, ...]
    messages: Allowance = field(init=False)
    refusals: Allowance = field(init=False)
    reports: Allowance = field(init=False)

    def __post_init__(self) -> None:
        clock: Clock = self.services.clock
        self.messages = Allowance(clock, most=MESSAGES_A_MINUTE, seconds=60.0)
        self.refusals = Allowance(clock, most=REFUSALS_A_MINUTE, seconds=60.0)
        self.reports = Allowance(clock, most=REPORTS_OF_A_MESSAGE, seconds=24 * 3600.0)

    async def recipient(self, address: str) -> Target | None:
        """What an address stands for; None when it is none that we made."""
        domain = address.rpartition("@")[2].lower().rstrip(".")
        if token := read_reverse_path(address, self.verp_keys):
            return Target(reverse_path=token) if await self._is_bounce_domain(token, domain) else None
        if domain != self.services.settings.bounce_domain:
            return None
        if leaver := read_address(address, self.unsubscribe_keys):
            return Target(unsubscribe=leaver)
        known = [hmac.compare_digest(address.lower().encode(), each.encode()) for each in self.complaint_addresses]
        return Target() if any(known) else None

    async def message(self, targets: list[Target], content: bytes, *, request: str = "") -> None:
        """Take a message for the targets. Raises WorkerBusy when one of them cannot be written down now."""
        # Reading takes some milliseconds for a usual report, and a hostile one makes it longer.
        feedback = await asyncio.to_thread(read_feedback, content)
        report = None if feedback else await asyncio.to_thread(read_bounce, content)
        for target in targets:
            if target.unsubscribe is not None:
                await self._unsubscribe(target.unsubscribe, content, report, request)
            elif feedback is not None:
                await self._complain(target.reverse_path, feedback, request)
            elif report is not None and target.reverse_path is not None:
                await self._bounce(target.reverse_path, report, request)
            else:
                maillog.inbound("-", kind="nothing", became="dropped", request=request)

    async def _bounce(self, token: VerpToken, report: BounceReport, request: str) -> None:
        became = str(await self.bounces.take(token, report)) if report.kind is Kind.REPORT else "dropped"
        maillog.inbound(_name(token), kind=str(report.kind), became=became, request=request, reporter=report.reporting_mta)

    async def _complain(self, token: VerpToken | None, report: FeedbackReport, request: str) -> None:
        found = token or next(filter(None, (read_reverse_path(f"{each}@", self.verp_keys) for each in report.tokens)), None)
        became = str(await self.bounces.complain(found, report)) if found else str(Taken.UNKNOWN)
        name = _name(found) if found else "-"
        maillog.inbound(name, kind=f"feedback {report.feedback}", became=became, request=request, reporter=report.reporter)

    async def _unsubscribe(self, token: UnsubscribeToken, content: bytes, report: BounceReport | None, request: str) -> None:
        address = _leaver(token, content, self.unsubscribe_keys)
        domain = await self._domain_of(token)
        # What a machine answers by itself is nobody's wish.
        if address is None or domain is None or report is None or report.kind is not Kind.UNREADABLE:
            maillog.inbound("-", kind="unsubscribe", became="dropped", request=request)
            return
        new = await unsubscribe(self.services.administration(), domain, address)
        maillog.inbound("-", kind="unsubscribe", became="listed" if new else "known", request=request)

    async def _domain_of(self, token: UnsubscribeToken) -> str | None:
        for service in await self.services.directory.services():
            for domain in service.linked_domains:
                if domain_key(domain) == token.domain_key:
                    return domain
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
    max_bytes = MAX_BYTES

    def __init__(self, inbound: Inbound, visit: Visit) -> None:
        self._inbound = inbound
        self._client = client_name(visit.client)
        self._visit = visit
        self._targets: list[Target] = []

    def reset(self) -> None:
        self._targets = []

    async def mail(self, path: Path) -> Reply:
        """Whoever sends it: most reports have the null reverse-path, and nothing is ever sent back."""
        return SLOWER if self._inbound.refusals.is_used_up(self._client) else SENDER_OK

    async def rcpt(self, path: Path) -> Reply:
        if len(self._targets) >= MAX_RECIPIENTS:
            return replies.TOO_MANY_RECIPIENTS
        if self._inbound.refusals.is_used_up(self._client):
            return SLOWER
        target = await self._inbound.recipient(path.address)
        if target is None:
            self._inbound.refusals.take(self._client)
            return NOT_OURS
        if target.reverse_path is not None and self._inbound.reports.is_used_up(_name(target.reverse_path)):
            return ENOUGH
        self._targets.append(target)
        return RECIPIENT_OK

    async def message(self, content: BinaryIO, size: int) -> Reply:
        if size > MAX_BYTES:
            return TOO_LARGE
        if not self._inbound.messages.take(self._client):
            return SLOWER
        await self._inbound.message(self._targets, content.read(MAX_BYTES), request=self._visit.id)
        for target in self._targets:
            if target.reverse_path is not None:
                self._inbound.reports.take(_name(target.reverse_path))
        return TAKEN


def build_inbound(services: Services) -> Inbound:
    """What port 25 needs, from the services of a worker."""
    # It logs each pattern that it tries, and whole tracebacks of what it can't read.
    logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL + 1)
    sealer = Sealer.from_setting(services.settings.sealing_key)
    return Inbound(
        services,
        LateBounces(services.storage, services.spool, services.settings, services.clock),
        services.deliverer.verp_keys,
        sealer.derived_keys(PURPOSE),
        complaint_addresses(sealer, services.settings.bounce_domain),
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


def _leaver(token: UnsubscribeToken, content: bytes, keys: Mapping[str, bytes]) -> Address | None:
    """The address that the token was made for, which stands in the subject, or is that of the sender."""
    header = parts_of(content)[0].header
    said = " ".join(plain(field_of(header, name))[:2000] for name in ("Subject", "From", "Reply-To", "Sender"))
    for candidate in _mention.findall(said)[:20]:
        try:
            address = parse_address(candidate.strip("'"))
        except AddressError:
            continue
        if token.is_for(address, keys):
            return address
    return None


def _name(token: VerpToken) -> str:
    return f"{token.service_key}:{token.operation_id}"
