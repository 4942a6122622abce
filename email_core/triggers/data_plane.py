"""The data plane: `POST /emails:send`, `GET /emails/operations/{id}` and its explanation, each as a readable list of steps."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import azure.functions as func
import msgspec

from email_core.auth.scoped_key import check_sender
from email_core.data_plane import operation, refusals
from email_core.data_plane.api_version import check_api_version
from email_core.data_plane.sandbox_limits import DomainKind, Kind
from email_core.data_plane.send_request import parse_send_request
from email_core.delivery.capacity import SMALL
from email_core.delivery.ledger import Entry
from email_core.delivery.rows import MessageFacts, SpooledRow
from email_core.domains.sending import CommunicationService
from email_core.domains.service_choice import service_of_sender
from email_core.errors import Fault
from email_core.services import Services, Worker
from email_core.submission.accept import Submission, accept
from email_core.triggers.callers import READING, SENDING, authenticate
from email_core.triggers.http_exchange import Exchange, answer, json_response

_LOOKS = 16  # services asked at once for an operation, when a token does not say which one it is of
_SHORT_STORY = 50  # events of a timeline, which take some ms to put into words

T = TypeVar("T")


def register(app: func.FunctionApp, worker: Worker) -> None:
    """Register the two operations of the data plane, and our own one that explains."""

    @app.route(route="emails:send", methods=["POST"])
    async def emails_send(req: func.HttpRequest) -> func.HttpResponse:
        return await answer(worker, req, send)

    @app.route(route="emails/operations/{operationId}", methods=["GET"])
    async def emails_get_send_result(req: func.HttpRequest) -> func.HttpResponse:
        return await answer(worker, req, get_send_result)

    @app.route(route="emails/operations/{operationId}/explanation", methods=["GET"])
    async def emails_explain(req: func.HttpRequest) -> func.HttpResponse:
        return await answer(worker, req, explain)


async def send(services: Services, exchange: Exchange) -> func.HttpResponse:
    """`Email_Send` of the ACS data plane."""
    _check_size(exchange, services.settings.max_request_bytes)
    api_version = check_api_version(exchange.query.get("api-version"))
    async with services.admission.place(len(exchange.body)):
        return await _send(services, exchange, api_version)


async def _send(services: Services, exchange: Exchange, api_version: str) -> func.HttpResponse:
    settings = services.settings
    caller = await authenticate(services, exchange, SENDING)
    now = services.clock.now()
    request_hash = await _off_the_loop(exchange.body, lambda body: hashlib.sha256(body).hexdigest())
    draft = await _off_the_loop(exchange.body, partial(parse_send_request, max_recipients=settings.max_recipients))
    service = await service_of_sender(services.directory, caller.services, draft.sender)
    key_name = ""
    if caller.key is not None:
        check_sender(caller.key, draft.sender.domain)
        key_name = caller.key.name
    operation_id = _operation_id(exchange, service, request_hash, now)
    if services.sandbox_limits is not None:
        domain = await services.directory.sending_domain(service, draft.sender)
        _admit(services, Kind.SEND, managed=domain.managed)
    submission = Submission(
        service=service,
        draft=draft,
        operation_id=operation_id,
        request_hash=request_hash,
        size=len(exchange.body),
        door="http",
        api_version=api_version,
        key_name=key_name,
        key_limits=service.key_limits.get(key_name, ()),
    )
    accepted = await accept(
        services.spool, services.directory, services.limits, submission, now=now, time_to_live=settings.time_to_live
    )
    headers = {"Operation-Location": operation.operation_location(exchange.scheme, caller.host, operation_id, api_version)}
    _add_poll_pause(headers, operation.status_of(accepted.status), now - accepted.accepted_at)
    return json_response(202, operation.accepted_body(operation_id), headers)


async def get_send_result(services: Services, exchange: Exchange) -> func.HttpResponse:
    """`Email_GetSendResult` of the ACS data plane, with the recipients' own states as additional fields."""
    row = await _own_row(services, exchange, exchange.target.partition("?")[0].rstrip("/").rpartition("/")[2])
    if services.sandbox_limits is not None:
        domain = await services.directory.domain(row.facts.domain)
        _admit(services, Kind.GET_STATUS, managed=domain is None or domain.managed)
    rows = await services.spool.envelopes(row.message, with_timelines=False, shown=True) if row.facts.envelopes else [row]
    facts = row.facts
    status = operation.status_of(facts.status)
    view = operation.OperationView(
        id=row.operation_id,
        status=status,
        error=_error(facts),
        recipients=tuple(_recipient(spooled, entry) for spooled in rows for entry in spooled.ledger.entries),
    )
    headers: dict[str, str] = {}
    _add_poll_pause(headers, status, services.clock.now() - facts.accepted_at)
    return json_response(200, operation.operation_body(view), headers)


async def explain(services: Services, exchange: Exchange) -> func.HttpResponse:
    """The story of a message in plain words: an operation of ours, for whoever may ask for the message's status."""
    from email_core.explain.story import explain_message  # not at a cold start: few ask for it

    path = exchange.target.partition("?")[0].rstrip("/")
    async with services.explanations.place(0):
        row = await _own_row(services, exchange, path.removesuffix("/explanation").rpartition("/")[2])
        envelopes = await services.spool.envelopes(row.message, shown=True) if row.facts.envelopes else []
        events = sum(len(each.timeline) for each in (row, *envelopes))
        tell = partial(explain_message, row, envelopes, now=services.clock.now())
        # A long story takes as long to tell as many requests take: that must not hold up all others.
        told = await asyncio.to_thread(_encoded, tell) if events > _SHORT_STORY else _encoded(tell)
    return json_response(200, told)


def _encoded(tell: Callable[[], object]) -> bytes:
    return msgspec.json.encode(tell())


async def _own_row(services: Services, exchange: Exchange, name: str) -> SpooledRow:
    """The row of the operation of that name. One that belongs to another service is answered as one that is not there."""
    check_api_version(exchange.query.get("api-version"))
    caller = await authenticate(services, exchange, READING)
    operation_id = operation.canonical_operation_id(name)
    for start in range(0, len(caller.services), _LOOKS) if operation_id else ():
        names = [f"{service.key}:{operation_id}" for service in caller.services[start : start + _LOOKS]]
        looks = (services.spool.shown(message) for message in names)
        row = next(filter(None, await asyncio.gather(*looks)), None)
        if row is not None:
            return row
    raise refusals.operation_not_found(name)


def _check_size(exchange: Exchange, most: int) -> None:
    """Refuse by the declared length, before the body counts: a host may have left a body that is too large unread."""
    declared = exchange.headers.get("content-length", "")
    if len(exchange.body) > most or (declared.isdecimal() and int(declared) > most):
        raise refusals.body_too_large(most)
    if not exchange.body:
        raise refusals.length_required()


async def _off_the_loop(body: bytes, read: Callable[[bytes], T]) -> T:
    """What is read of a body; a large one is read in a thread, or the 50 ms that 10 MB take would hold up all others."""
    return await asyncio.to_thread(read, body) if len(body) > SMALL else read(body)


def _operation_id(exchange: Exchange, service: CommunicationService, request_hash: str, now: float) -> str:
    """The caller's own id; else one that a repetition of the same request finds again; else a new one."""
    header = exchange.headers.get("operation-id")
    if header:
        return operation.check_operation_id(header)
    request_id = exchange.headers.get("x-ms-client-request-id", "")
    return operation.derived_operation_id(service.key, request_id, request_hash, now) or str(uuid.uuid4())


def _admit(services: Services, kind: Kind, *, managed: bool) -> None:
    if services.sandbox_limits is None:
        return
    refusal = services.sandbox_limits.admit(
        kind, DomainKind.MANAGED if managed else DomainKind.CUSTOM, services.clock.monotonic()
    )
    if refusal is not None:
        raise refusal


def _add_poll_pause(headers: dict[str, str], status: operation.OperationStatus, age: float) -> None:
    pause = operation.poll_pause(status, age)
    if pause is not None:
        headers["retry-after"] = str(pause)


def _error(facts: MessageFacts) -> Fault | None:
    match facts.error_code:
        case "":
            return None
        case "EmailDroppedAllRecipientsSuppressed":
            return refusals.all_recipients_suppressed()
        case _:
            return refusals.email_dropped(facts.error_reason)


def _recipient(row: SpooledRow, entry: Entry) -> operation.RecipientView:
    waiting = (
        not entry.status.final and row.ledger.claim_until == 0 and row.ledger.attempt > 0 and row.ledger.next_attempt_at > 0
    )
    return operation.RecipientView(
        address=entry.address,
        status=entry.status,
        attempts=entry.tries,
        last_reply=entry.reply,
        next_attempt=row.ledger.next_attempt_at if waiting else None,
        possible_duplicate=entry.possible_duplicate,
    )
