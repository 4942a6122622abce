"""Accepting what came by SMTP: the message itself says who sends it, so it is read before anybody can be asked about that.

Then it goes the way of every message: counted, stored and enqueued by `store`, and only then answered with 250.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field
from functools import partial
from typing import BinaryIO

from email_core.delivery.capacity import SMALL
from email_core.delivery.ledger import Entry
from email_core.delivery.rows import MessageFacts
from email_core.delivery.spool import Spool
from email_core.domains.directory import Directory
from email_core.domains.documents import Limit
from email_core.domains.sending import CommunicationService, SendingDomain
from email_core.message.address import Address
from email_core.message.dsn_options import NO_OPTIONS, NOTHING_ASKED, MessageOptions, RecipientOptions, notify_text
from email_core.message.mime_draft import MimeDraft, encode_mime_draft
from email_core.message.mime_intake import Arrival, read_message
from email_core.submission.accept import Accepted, Checked, store
from email_core.submission.limits import Limits, scopes_of

DOOR = "smtp"


@dataclass(frozen=True, slots=True)
class MimeRecipient:
    """A recipient of RCPT with what was asked for it. `address.addr_spec` is the forward-path."""

    address: Address
    options: RecipientOptions = NOTHING_ASKED


@dataclass(frozen=True, slots=True)
class MimeSubmission:
    """A mail transaction that its session has taken up to the final dot.

    `content` is what came after DATA, dots unstuffed, as bytes or as an open file of `size` octets that is read from its
    beginning and left open. `envelope_from` is the address of MAIL, `smtputf8` whether MAIL said so. `user_name` is who logged
    in, `key_limits` that user's limits beside those of the service and the domain. `host_name` is ours, for the trace.
    """

    service: CommunicationService
    envelope_from: Address
    recipients: tuple[MimeRecipient, ...]
    content: bytes | BinaryIO
    size: int
    host_name: str
    options: MessageOptions = NO_OPTIONS
    smtputf8: bool = False
    user_name: str = ""
    key_limits: tuple[Limit, ...] = ()
    operation_id: str = field(default_factory=lambda: str(uuid.uuid4()))


async def accept_mime(
    spool: Spool, directory: Directory, limits: Limits, submission: MimeSubmission, *, now: float, time_to_live: float
) -> Accepted:
    """Read a message, ask whether its senders may send, store it and enqueue it.

    Raises MessageRefused for what is wrong with the message; DomainNotLinked, DomainPaused or SenderUnknown when the sender of
    MAIL or the one of From may not send; LimitReached, LimitTooSmall; ConfigurationMissing; and StorageUnavailable when it
    could not be stored: then nothing was accepted. A message of 30 MB takes three times that in memory for a moment.
    """
    # Before the message is read, because that takes longer; most who are refused are refused here.
    await directory.sending_domain(submission.service, submission.envelope_from)
    arrival = Arrival(
        submission.envelope_from, submission.operation_id, submission.host_name, now, smtputf8=submission.smtputf8
    )
    reading = partial(_read, submission.content, arrival)
    small = submission.size <= SMALL and isinstance(submission.content, bytes)
    draft = reading() if small else await asyncio.to_thread(reading)
    domain = await directory.sending_domain(submission.service, draft.sender)
    return await store(spool, limits, _checked(submission, draft, domain, now, time_to_live))


def _read(content: bytes | BinaryIO, arrival: Arrival) -> MimeDraft:
    if not isinstance(content, bytes):
        content.seek(0)
        content = content.read()
    return read_message(content, arrival)


def _checked(submission: MimeSubmission, draft: MimeDraft, domain: SendingDomain, now: float, time_to_live: float) -> Checked:
    facts = MessageFacts(
        accepted_at=now,
        expires_at=now + (draft.time_to_live or time_to_live),
        door=DOOR,
        sender=draft.sender.addr_spec,
        domain=domain.resource_id,
        size=submission.size,
        # Every transaction is a message of its own: only the row itself has its id.
        request_hash=submission.operation_id,
        submitter=submission.envelope_from.addr_spec,
        ret=submission.options.ret,
        envid=submission.options.envid,
    )
    return Checked(
        service=submission.service,
        operation_id=submission.operation_id,
        facts=facts,
        entries=_entries(submission),
        scopes=scopes_of(submission.service, domain, submission.user_name, submission.key_limits),
        content=encode_mime_draft(draft),
    )


def _entries(submission: MimeSubmission) -> tuple[Entry, ...]:
    """An entry for each different recipient, with the options of its first RCPT. Who is in Cc is nobody's business here."""
    entries: dict[str, Entry] = {}
    for recipient in submission.recipients:
        options = recipient.options
        entry = Entry(recipient.address.addr_spec, notify=notify_text(options.notify), orcpt=options.orcpt)
        entries.setdefault(recipient.address.key, entry)
    return tuple(entries.values())
