"""Asking for the verification of a record of a domain, and calling it off. The looking itself is a task of the queue."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from http import HTTPStatus

import msgspec

from email_core.administration.call import Administration, Call, Handler, Reply
from email_core.administration.operation_statuses import SUCCEEDED, begin
from email_core.administration.writing import existing, write
from email_core.domains.documents import (
    AZURE_MANAGED,
    DELETING,
    MAIL_FROM,
    RECORD_STATES,
    DomainDocument,
    StateDocument,
    Status,
)
from email_core.domains.tasks import Reverify, Verify
from email_core.management import refusals
from email_core.management.fields import Fields

RETRY_AFTER = 1  # second; ACS says 60, but the request is taken when it is answered, and the states tell the rest
SURELY_LOST = 60.0  # seconds after which an item that nobody worked is put again when somebody asks
SOON = 10.0  # seconds; who asks for a record whose next look is later than that has it looked for now

UNDER_WAY = (Status.REQUESTED, Status.IN_PROGRESS)
# These are looked for once it is known whose domain it is. What DMARC tells receivers is the owner's affair alone.
AFTER_DOMAIN = ("SPF", "DKIM", "DKIM2", MAIL_FROM)


async def initiate(admin: Administration, call: Call) -> Reply:
    """Domains_InitiateVerification: the record is looked for from now on. Asked for twice, it is looked for once."""
    record = _verification_type(call)
    run, now = uuid.uuid4().hex, admin.clock.now()

    def request(domain: DomainDocument) -> DomainDocument:
        _check_initiation(domain, record)
        state = domain.state(record)
        if state.status is Status.IN_PROGRESS and state.next_check_at - now > SOON:
            # Pauses grow to an hour, and whoever asks has most likely published it now. The item that waits comes to nothing.
            sooner = msgspec.structs.replace(state, next_check_at=now, attempt=state.attempt + 1)
            return _with_state(domain, record, sooner)
        if state.status in (Status.VERIFIED, *UNDER_WAY):
            return domain
        return _with_state(domain, record, StateDocument(status=Status.REQUESTED, run=run, started_at=now))

    domain = await _written(admin, call, request)
    state = domain.state(record)
    due = max(state.next_check_at, state.started_at)
    lost = state.status in UNDER_WAY and now - due > SURELY_LOST
    if state.run == run or lost or (state.status is Status.IN_PROGRESS and state.next_check_at == now):
        await admin.tasks.put(Verify(domain=domain.id, record=record, run=state.run, attempt=state.attempt))
    elif state.lost_since:
        await admin.tasks.put(Reverify(domain=domain.id))  # verified, then lost: whoever asks wants to know whether it is back
    return await _taken(admin, call)


async def cancel(admin: Administration, call: Call) -> Reply:
    """Domains_CancelVerification: the record is not looked for any more, and its state goes back to NotStarted."""
    record = _verification_type(call)

    def request(domain: DomainDocument) -> DomainDocument:
        state = domain.state(record)
        if state.status not in UNDER_WAY:
            return domain
        return _with_state(domain, record, msgspec.structs.replace(state, status=Status.CANCELLATION_REQUESTED))

    domain = await _written(admin, call, request)
    state = domain.state(record)
    if state.status is Status.CANCELLATION_REQUESTED:
        await admin.tasks.put(Verify(domain=domain.id, record=record, run=state.run))
    return await _taken(admin, call)


def _verification_type(call: Call) -> str:
    """Which record the body names. MailFrom is ours."""
    fields = Fields(call.body)
    record = fields.text("verificationType", required=True, choices=RECORD_STATES)
    fields.finish()
    return record or ""


def _check_initiation(domain: DomainDocument, record: str) -> None:
    """Raises RequestRefused for a record that can't be looked for, or not yet."""
    if domain.domain_management == AZURE_MANAGED:
        if record == MAIL_FROM:
            raise _no_mail_from("An Azure-managed domain has none.")
        return
    if record == MAIL_FROM and not domain.mail_from_sender_domain:
        raise _no_mail_from("Set mailFromSubdomain first, with PUT or PATCH of the domain.")
    if record in AFTER_DOMAIN and domain.state("Domain").status is not Status.VERIFIED:
        raise refusals.conflict(
            "DomainOwnershipNotVerified",
            f"{record} can't be verified before the ownership of '{domain.from_sender_domain}' is: publish the TXT record "
            "verificationRecords.Domain, call initiateVerification with verificationType Domain, and wait until "
            "verificationStates.Domain.status is Verified.",
            "verificationType",
        )


def _no_mail_from(remedy: str) -> Exception:
    text = f"The domain has no MAIL FROM domain of its own, so that there is nothing to verify. {remedy}"
    return refusals.refused("MailFromNotConfigured", text, "verificationType")


async def _written(admin: Administration, call: Call, request: Callable[[DomainDocument], DomainDocument]) -> DomainDocument:
    """The domain as it is after the request, which is stored only when it changes something. Raises RequestRefused."""
    before = (await existing(admin, call.resource, DomainDocument)).document
    if before.provisioning_state != DELETING and request(before) is before:
        return before

    def make(current: DomainDocument | None) -> DomainDocument:
        return request(current or before)

    return (await write(admin, call, DomainDocument, make, create=False)).resource.document


def _with_state(domain: DomainDocument, record: str, state: StateDocument) -> DomainDocument:
    return msgspec.structs.replace(domain, verification_states={**domain.verification_states, record: state})


async def _taken(admin: Administration, call: Call) -> Reply:
    """202 without a body: the official clients refuse 200 here, and read nothing."""
    begun = await begin(admin, call, status=SUCCEEDED)
    return Reply(HTTPStatus.ACCEPTED, None, {"Location": begun.result_url, "Retry-After": str(RETRY_AFTER)})


HANDLERS: dict[str, Handler] = {
    "Domains_InitiateVerification": initiate,
    "Domains_CancelVerification": cancel,
}
