"""One HTTP exchange: what a function reads of a request, and how answers and refusals are written.

Every data-plane function goes through `answer`: it echoes the request id and is the one place that turns refusals and
faults into ACS's error body. The steps between are the function's own, one readable list each.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import azure.functions as func

from email_core import maillog
from email_core.auth.client_address import client_address
from email_core.data_plane import refusals
from email_core.data_plane.error_body import error_body, error_headers
from email_core.errors import (
    DomainNotLinked,
    DomainPaused,
    LimitReached,
    LimitTooSmall,
    OperationReused,
    RequestRefused,
    SenderUnknown,
    StorageUnavailable,
    WorkerBusy,
)
from email_core.services import Services, Worker

BUSY_SECONDS = 5  # what a client is told to wait when storage does not answer, and does not say for how long
LONGEST_BUSY_SECONDS = 60  # whatever storage says: the official clients do wait that long
SHED_SECONDS = (2, 8)  # what clients are told to wait whose requests were too many: not all of them the same

_default_port = re.compile(r":(?:443|80)\Z")


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request as the client sent it. `target` is path and query as on the wire.

    `hosts` are the public names that the client may have used, the most trusted first, spelled as sent, for so they are signed.
    `client_address` is the IP address of the client, empty when it is not known.
    """

    method: str
    scheme: str
    target: str
    hosts: tuple[str, ...]
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    client_address: str = ""

    @property
    def host_names(self) -> frozenset[str]:
        """The hosts for comparing: in lower case, and without a port that clients leave out as well (443 and 80)."""
        return frozenset(_default_port.sub("", host.lower()) for host in self.hosts)


Handler = Callable[[Services, Exchange], Awaitable[func.HttpResponse]]


async def answer(worker: Worker, request: func.HttpRequest, handle: Handler) -> func.HttpResponse:
    """Answer a request: no exception leaves, for the Functions host would make an empty 500 of it."""
    request_id = request.headers.get("x-ms-client-request-id", "")
    try:
        services = await worker.services()
        exchange = read_exchange(request, services.settings.public_host, services.settings.client_address_hops)
        response = await handle(services, exchange)
    except RequestRefused as refusal:
        response = _refused(refusal, request_id)
    except DomainNotLinked as error:
        response = _refused(refusals.domain_not_linked(str(error)), request_id)
    except DomainPaused as error:
        response = _refused(refusals.domain_paused(*error.args), request_id)
    except SenderUnknown as error:
        response = _refused(refusals.invalid_sender_user_name(str(error)), request_id)
    except OperationReused as error:
        response = _refused(refusals.operation_id_conflict(str(error)), request_id)
    except LimitReached as error:
        limit = refusals.limit_reached(error.rule, error.window, error.opens_at, error.retry_after)
        response = _refused(limit, request_id)
    except LimitTooSmall as error:
        response = _refused(refusals.limit_too_small(error.rule, error.number, error.unit), request_id)
    except StorageUnavailable as error:
        response = _refused(refusals.service_unavailable(busy_seconds(error), str(error)), request_id)
    except WorkerBusy as error:
        response = _refused(refusals.too_busy(random.randint(*SHED_SECONDS), str(error)), request_id)  # noqa: S311
    except Exception as error:
        maillog.fault("http", error=error, request=request_id)
        response = _refused(refusals.internal_server_error(repr(error)), request_id)
    if request_id:
        response.headers["x-ms-client-request-id"] = request_id
    return response


def read_exchange(request: func.HttpRequest, public_host: str, hops: int = 0) -> Exchange:
    """What both planes need of a request. Headers come with lower-case names, as the Functions host hands them over.

    `hops` is how many proxies of ours append to X-Forwarded-For.
    """
    scheme, _, rest = request.url.partition("://")
    host, slash, target = rest.partition("/")
    headers = {name.lower(): value for name, value in request.headers.items()}
    names = (
        public_host,
        headers.get("x-forwarded-host", ""),
        headers.get("x-original-host", ""),
        headers.get("host", ""),
        host,
    )
    # A proxy that adds to a list of hosts puts the one that the client used first.
    hosts = tuple(dict.fromkeys(filter(None, (name.partition(",")[0].strip() for name in names))))
    forwarded = headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
    return Exchange(
        method=request.method.upper(),
        scheme=forwarded if forwarded in ("http", "https") else scheme,
        target=f"{slash}{target}" or "/",
        hosts=hosts,
        headers=headers,
        query=request.params,
        body=request.get_body(),
        client_address=client_address(headers.get("x-forwarded-for", ""), hops),
    )


def json_response(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> func.HttpResponse:
    """An answer with a JSON body."""
    return func.HttpResponse(body, status_code=status, mimetype="application/json", headers=dict(headers or {}))


def busy_seconds(error: StorageUnavailable) -> int:
    """What storage asked for, within bounds."""
    return min(max(math.ceil(error.retry_after), 1), LONGEST_BUSY_SECONDS) if error.retry_after else BUSY_SECONDS


def _refused(refusal: RequestRefused, request_id: str) -> func.HttpResponse:
    fault = refusal.faults[0]
    maillog.refused(
        door="http", status=refusal.status, code=fault.code, reason=refusal.reason or fault.message, request=request_id
    )
    return json_response(refusal.status, error_body(refusal), error_headers(refusal))
