"""Accepting what came by SMTP: the message itself says who sends it, so it is read before anybody can be asked about that.

Then it goes the way of every message: counted, stored and enqueued by `store`, and only then answered with 250.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from email_core.delivery.capacity import SMALL
from email_core.delivery.ledger import Entry
from email_core.delivery.rows import MessageFacts
from email_core.delivery.spool import Spool
from email_core.domains.directory import Directory
from email_core.domains.documents import Limit
from email_core.domains.sending import CommunicationService, SendingDomain
from email_core.message.address import Address
from email_core.message.ascii_header import may_encode_much
from email_core.message.dsn_options import NO_OPTIONS, NOTHING_ASKED, MessageOptions, RecipientOptions, notify_text
from email_core.message.mime_draft import MimeDraft, encode_mime_draft
from email_core.message.mime_intake import Arrival, read_message
from email_core.message.mime_tree import may_have_many_parts
from email_core.submission.accept import Accepted, Checked, store
from email_core.submission.limits import Credential, Limits, scopes_of
from email_core.submission.repeats import transaction_id

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
    `operation_id` is made of the transaction when it is empty, so that the same one is accepted once.
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
    operation_id: str = ""


async def accept_mime(
    spool: Spool,
    directory: Directory,
    limits: Limits,
    submission: MimeSubmission,
    *,
    now: float,
    time_to_live: float,
    admit: Callable[[SendingDomain], None] = lambda domain: None,
) -> Accepted:
    """Read a message, ask whether its senders may send, store it and enqueue it.

    `admit` is asked last, with the domain of From, and raises what it refuses with.

    Raises MessageRefused for what is wrong with the message; DomainNotLinked, DomainPaused or SenderUnknown when the sender of
    MAIL or the one of From may not send; LimitReached, LimitTooSmall; ConfigurationMissing; and StorageUnavailable when it
    could not be stored: then nothing was accepted. A message of 30 MB takes three times that in memory for a moment.
    """
    # Before the message is read, because that takes longer; most who are refused are refused here.
    await directory.sending_domain(submission.service, submission.envelope_from)
    operation_id, draft = _read(submission, now) if _is_quick(submission) else await asyncio.to_thread(_read, submission, now)
    domain = await directory.sending_domain(submission.service, draft.sender)
    admit(domain)
    return await store(spool, limits, _checked(submission, operation_id, draft, domain, now, time_to_live), sole=True)


def _is_quick(submission: MimeSubmission) -> bool:
    content = submission.content
    if not isinstance(content, bytes) or len(content) > SMALL:
        return False
    return not (may_have_many_parts(content) or may_encode_much(content))


def _read(submission: MimeSubmission, now: float) -> tuple[str, MimeDraft]:
    """The operation and the draft."""
    content = submission.content
    if not isinstance(content, bytes):
        content.seek(0)
        content = content.read()
    operation_id = submission.operation_id or transaction_id(
        submission.service.key, submission.user_name, _envelope(submission), content, now=now
    )
    arrival = Arrival(submission.envelope_from, operation_id, submission.host_name, now, smtputf8=submission.smtputf8)
    return operation_id, read_message(content, arrival)


def _envelope(submission: MimeSubmission) -> Iterator[str]:
    options = submission.options
    yield from (submission.envelope_from.addr_spec, options.ret, options.envid, str(submission.smtputf8))
    for recipient in submission.recipients:
        yield f"{recipient.address.addr_spec} {notify_text(recipient.options.notify)} {recipient.options.orcpt}"


def _checked(
    submission: MimeSubmission, operation_id: str, draft: MimeDraft, domain: SendingDomain, now: float, time_to_live: float
) -> Checked:
    facts = MessageFacts(
        accepted_at=now,
        expires_at=now + (draft.time_to_live or time_to_live),
        door=DOOR,
        sender=draft.sender.addr_spec,
        domain=domain.resource_id,
        size=submission.size,
        # The id stands for the transaction: what has the same one is the same.
        request_hash=operation_id,
        submitter=submission.envelope_from.addr_spec,
        ret=submission.options.ret,
        envid=submission.options.envid,
    )
    return Checked(
        service=submission.service,
        operation_id=operation_id,
        facts=facts,
        entries=_entries(submission),
        scopes=scopes_of(
            submission.service, domain, submission.user_name, submission.key_limits, kind=Credential.SMTP_USERNAME
        ),
        content=encode_mime_draft(draft),
        user_name=submission.user_name,
    )


def _entries(submission: MimeSubmission) -> tuple[Entry, ...]:
    """An entry for each different recipient, with the options of its first RCPT. Who is in Cc is nobody's business here."""
    entries: dict[str, Entry] = {}
    for recipient in submission.recipients:
        options = recipient.options
        entry = Entry(recipient.address.addr_spec, notify=notify_text(options.notify), orcpt=options.orcpt)
        entries.setdefault(recipient.address.mailbox, entry)
    return tuple(entries.values())
