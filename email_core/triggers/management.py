"""The management plane: everything below `/subscriptions/` and `/providers/`, one readable list of steps.

The Functions host takes the first route that fits in the order of function names, and answers 404 to a method that a function
does not declare. So two functions take all paths and all methods, and the table of `management/operations.py` decides.
"""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import azure.functions as func
import msgspec

from email_core import maillog
from email_core.auth.principal import Grant, Principal
from email_core.auth.token_refused import IssuerUnavailable, TokenRefused
from email_core.data_plane.error_body import error_body, error_headers
from email_core.errors import EntityChanged, EntityExists, EntityMissing, RequestRefused, StorageUnavailable, WorkerBusy
from email_core.management import refusals
from email_core.management.api_version import check_api_version
from email_core.management.operations import Match, Operation, check_names, match, scope_of, target_of
from email_core.services import Services, Worker
from email_core.triggers.http_exchange import BUSY_SECONDS, SHED_SECONDS, Exchange, busy_seconds, json_response, read_exchange

if TYPE_CHECKING:
    from email_core.administration.call import Reply

METHODS = ("GET", "PUT", "PATCH", "POST", "DELETE", "HEAD", "OPTIONS")

MOST_JSON = 256 * 1024  # bytes; the largest resource has some 30 KiB
MOST_CSV = 4 * 1024 * 1024

_correlation_id = re.compile(r"[\w-]{1,128}", re.ASCII)
_object = msgspec.json.Decoder(dict[str, Any])


def register(app: func.FunctionApp, worker: Worker) -> None:
    """Register the functions of the management plane."""

    @app.route(route="subscriptions/{*path}", methods=METHODS)
    async def management_subscriptions(req: func.HttpRequest) -> func.HttpResponse:
        return await answer(worker, req)

    @app.route(route="providers/{*path}", methods=METHODS)
    async def management_providers(req: func.HttpRequest) -> func.HttpResponse:
        return await answer(worker, req)


async def answer(worker: Worker, request: func.HttpRequest) -> func.HttpResponse:
    """Answer a request: no exception leaves, for the Functions host would make an empty 500 of it."""
    request_id = str(uuid.uuid4())
    try:
        services = await worker.services()
        exchange = read_exchange(request, services.settings.public_host)
        response = await manage(services, exchange, request_id)
    except RequestRefused as refusal:
        response = _refused(refusal, request_id)
    except TokenRefused as error:
        response = _refused(refusals.unauthenticated(error.reason), request_id)
    except IssuerUnavailable as error:
        response = _refused(refusals.service_unavailable(BUSY_SECONDS, str(error)), request_id)
    except StorageUnavailable as error:
        response = _refused(refusals.service_unavailable(busy_seconds(error), str(error)), request_id)
    except WorkerBusy as error:
        response = _refused(refusals.too_busy(random.randint(*SHED_SECONDS), str(error)), request_id)  # noqa: S311
    except (EntityChanged, EntityExists, EntityMissing) as error:
        maillog.fault("management", error=error, request=request_id)
        response = _refused(refusals.met_another_write(repr(error)), request_id)
    except Exception as error:
        maillog.fault("management", error=error, request=request_id)
        response = _refused(refusals.internal_server_error(repr(error)), request_id)
    return _identified(response, request, request_id)


async def manage(services: Services, exchange: Exchange, request_id: str) -> func.HttpResponse:
    """Do what a request asks for, step by step. Raises RequestRefused and whatever `answer` makes an answer of."""
    query = {name.lower(): value for name, value in exchange.query.items()}
    found = match(exchange.method, _path(exchange))
    if not isinstance(found, Match):
        return _no_operation(exchange, found, request_id)
    api_version = check_api_version(query.get("api-version"), found.operation)
    principal = await services.authenticator.bearer(exchange.headers.get("authorization", ""), services.clock.now())
    _authorise(principal, found)
    check_names(found.values)
    _check_size(exchange, MOST_CSV if found.operation.csv else MOST_JSON)

    from email_core.administration.call import Call
    from email_core.administration.perform import perform

    call = Call(
        operation=found.operation,
        target=target_of(found.values),
        values=found.values,
        body={} if found.operation.csv else _json_object(exchange.body, found.operation),
        query=query,
        principal=principal,
        origin=f"{exchange.scheme}://{exchange.hosts[0]}",
        api_version=api_version,
        raw_body=exchange.body,
        content_type=exchange.headers.get("content-type", ""),
        path=_path(exchange),
        request_id=request_id,
        if_match=exchange.headers.get("if-match", ""),
        if_none_match=exchange.headers.get("if-none-match", ""),
    )
    return _response(await perform(services.administration(), call))


def _path(exchange: Exchange) -> str:
    return exchange.target.partition("?")[0]


def _no_operation(exchange: Exchange, allowed: frozenset[str], request_id: str) -> func.HttpResponse:
    """The path has other methods (405 with Allow, RFC 9110 section 15.5.6), or there is none like it (404)."""
    if not allowed:
        return _refused(refusals.no_such_path(_path(exchange)), request_id)
    response = _refused(refusals.method_not_allowed(exchange.method, allowed), request_id)
    response.headers["Allow"] = ", ".join(sorted(allowed))
    return response


def _authorise(principal: Principal, found: Match) -> None:
    """Nothing is read before this, so that the answer is the same whether there is such a resource or not."""
    operation, scope = found.operation, scope_of(found.values)
    allowed = _has_anywhere(principal, operation) if operation.anywhere else principal.may(operation.role, scope)
    if not allowed:
        raise refusals.forbidden(principal.name, operation.name, scope or "/")


def _has_anywhere(principal: Principal, operation: Operation) -> bool:
    grants = tuple(Grant(grant.role) for grant in principal.grants)
    return Principal(principal.kind, grants=grants).may(operation.role, "/")


def _check_size(exchange: Exchange, most: int) -> None:
    """Refuse by the declared length first: a host may have left a body that is too large unread."""
    declared = exchange.headers.get("content-length", "")
    if len(exchange.body) > most or (declared.isdecimal() and int(declared) > most):
        raise refusals.too_large(most)


def _json_object(body: bytes, operation: Operation) -> Mapping[str, Any]:
    """The JSON object of a body. None is needed for a POST, which often has nothing to say. Raises RequestRefused (400)."""
    if not body.strip():
        if operation.method in ("PUT", "PATCH"):
            rule = "The body is empty: send a JSON object. The Functions host drops the body of a chunked request."
            raise refusals.malformed(rule)
        return {}
    try:
        return _object.decode(body)
    except msgspec.ValidationError as error:
        raise refusals.malformed(f"The body must be a JSON object. {error}.") from None
    except msgspec.DecodeError as error:
        # What msgspec says holds positions and names of JSON's own parts, nothing of the body.
        raise refusals.malformed(f"The body is not valid JSON in UTF-8. {error}.") from None
    except RecursionError:
        raise refusals.malformed("Its arrays and objects are nested too deeply.") from None
    except ValueError:  # UnicodeDecodeError, of a member's name
        raise refusals.malformed("The body is not valid UTF-8.") from None


def _response(reply: Reply) -> func.HttpResponse:
    headers = dict(reply.headers)
    if reply.body is None:
        return func.HttpResponse(b"", status_code=reply.status, headers=headers)
    if isinstance(reply.body, bytes):
        content_type = headers.pop("Content-Type", "application/octet-stream")
        return func.HttpResponse(reply.body, status_code=reply.status, headers=headers, mimetype=content_type)
    return json_response(reply.status, msgspec.json.encode(reply.body), headers)


def _identified(response: func.HttpResponse, request: func.HttpRequest, request_id: str) -> func.HttpResponse:
    """The ids of ARM: ours, that of a chain of requests, and the client's own."""
    chain = request.headers.get("x-ms-correlation-request-id", "")
    response.headers["x-ms-request-id"] = request_id
    response.headers["x-ms-correlation-request-id"] = chain if _correlation_id.fullmatch(chain) else request_id
    if client_id := request.headers.get("x-ms-client-request-id", ""):
        response.headers["x-ms-client-request-id"] = client_id
    return response


def _refused(refusal: RequestRefused, request_id: str) -> func.HttpResponse:
    fault = refusal.faults[0]
    reason = refusal.reason or fault.message
    maillog.refused(door="management", status=refusal.status, code=fault.code, reason=reason, request=request_id)
    headers = error_headers(refusal)
    if refusal.status == 401:
        headers["www-authenticate"] = "Bearer"  # RFC 6750 section 3; with parameters, clients would ask Entra for more claims
    return json_response(refusal.status, error_body(refusal), headers)
