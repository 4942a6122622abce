"""Every refusal of the data plane: one function per ACS code, so that codes and texts are written once.

Where the sentence of ACS is known, it comes first and unchanged, because clients match on it; the rule and the remedy
follow. A fault names one field of the request, a RequestRefused is the whole answer. Which codes are known of ACS and
which are ours is said at each function; ACS publishes no list.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from http import HTTPStatus

from email_core.errors import Fault, RequestRefused

_SHOWN_CHARACTERS = 64  # enough to recognise a value by, too few to fill a log or an error page with


def visible(text: str, most: int = _SHOWN_CHARACTERS) -> str:
    """A caller's text fit for an error message: unprintable characters as `?`, cut to `most` characters."""
    shown = "".join(c if c.isprintable() else "?" for c in text[:most])
    return shown if len(text) <= most else f"{shown}..."


# --- 400: faults of single fields -------------------------------------------------------------------------------------


def bad_property(target: str, rule: str) -> Fault:
    """A field breaks a rule. The first two sentences are those of ACS (`BadRequest`)."""
    return Fault("BadRequest", f"Request body validation error. See property '{target}'. {rule}", target)


def bad_base64(target: str, rule: str) -> Fault:
    """An attachment is not base64. ACS is known to answer with either of the two sentences before the rule."""
    return bad_property(target, f"ContentBytes invalid. Should be base64. {rule}")


def invalid_email_address(target: str, rule: str) -> Fault:
    """An address is not one (`InvalidEmailAddress`, the sentence of ACS first)."""
    return Fault("InvalidEmailAddress", f"Invalid format for email address. See property '{target}'. {rule}", target)


# --- 400: whole answers -----------------------------------------------------------------------------------------------


def faulty_request(faults: Iterable[Fault]) -> RequestRefused:
    """One or more fields are wrong."""
    return RequestRefused(HTTPStatus.BAD_REQUEST, *faults)


def malformed_body(rule: str) -> RequestRefused:
    """The body cannot be read as a request at all."""
    return RequestRefused(HTTPStatus.BAD_REQUEST, Fault("BadRequest", f"Request body validation error. {rule}"))


def missing_api_version(supported: str) -> RequestRefused:
    """Code and first sentence are those of the Azure REST API guidelines."""
    text = (
        "The api-version query parameter (?api-version=) is required for all requests. "
        f"The supported api-versions are '{supported}'."
    )
    return RequestRefused(HTTPStatus.BAD_REQUEST, Fault("MissingApiVersionParameter", text, "api-version"))


def unsupported_api_version(value: str, supported: str) -> RequestRefused:
    """Code and text are those of the Azure REST API guidelines."""
    text = f"Unsupported api-version '{visible(value)}'. The supported api-versions are '{supported}'."
    return RequestRefused(HTTPStatus.BAD_REQUEST, Fault("UnsupportedApiVersionValue", text, "api-version"))


def invalid_operation_id(value: str) -> RequestRefused:
    """The Operation-Id header is not a UUID. The code is ours."""
    text = (
        f"The Operation-Id header must be a UUID such as 7f0b1d6e-4a53-4f0c-9d2b-1c3a5e7f9b11, and is '{visible(value)}'. "
        "Leave the header out to have one made."
    )
    return RequestRefused(HTTPStatus.BAD_REQUEST, Fault("BadRequest", text, "Operation-Id"))


def invalid_sender_user_name(user_name: str) -> RequestRefused:
    """The local part of the sender is no sender username of the domain (`InvalidSenderUserName`)."""
    text = (
        f"Invalid email sender username: '{visible(user_name)}'. "
        "Please use a username from the list of valid usernames configured by your admin."
    )
    return RequestRefused(HTTPStatus.BAD_REQUEST, Fault("InvalidSenderUserName", text, "senderAddress"))


# --- 401 --------------------------------------------------------------------------------------------------------------


def denied(reason: str) -> RequestRefused:
    """The request is not signed with a key of this service (`Denied`). `reason` is for the log alone."""
    text = (
        "Denied by the resource provider. Check the access key, and that the endpoint of the client is the host and port "
        "that this service is reached at: both are part of the signature."
    )
    return RequestRefused(HTTPStatus.UNAUTHORIZED, Fault("Denied", text, "Authorization"), reason=reason)


def clock_skew(reason: str) -> RequestRefused:
    """x-ms-date is more than 5 minutes from our clock. The sentences are those of ACS, the code is not known."""
    text = (
        "The given request could not be resolved. The time difference between the originating client and the server is "
        "greater than the allowed margin of 5 minutes. Set the clock of the client."
    )
    return RequestRefused(HTTPStatus.UNAUTHORIZED, Fault("Denied", text, "x-ms-date"), reason=reason)


def denied_token(reason: str) -> RequestRefused:
    """The bearer token is not taken (`Denied`). `reason` is for the log alone."""
    text = (
        "Denied by the resource provider. Check the token: it must be one of Microsoft Entra ID for this installation, not "
        "expired, with the scope https://communication.azure.com/.default."
    )
    return RequestRefused(HTTPStatus.UNAUTHORIZED, Fault("Denied", text, "Authorization"), reason=reason)


def expired_key(name: str, expired: str) -> RequestRefused:
    """An extra access key of which the time is over (`Denied`). Only who has the key is told; extra keys are ours."""
    text = f"Denied by the resource provider. The access key '{visible(name)}' expired at {expired}: use another one."
    return RequestRefused(HTTPStatus.UNAUTHORIZED, Fault("Denied", text, "Authorization"))


# --- 403 --------------------------------------------------------------------------------------------------------------


def forbidden(rule: str, target: str = "") -> RequestRefused:
    """Who calls is known and may not do that (`Forbidden`, of ACS); `rule` says what it takes."""
    return RequestRefused(HTTPStatus.FORBIDDEN, Fault("Forbidden", f"The request is forbidden. {rule}", target))


def public_network_access_disabled(reason: str) -> RequestRefused:
    """publicNetworkAccess of the service is not Enabled. What ACS answers is not published; the code is ours."""
    text = (
        "Public network access is disabled for this communication service. Call it from the private network, or ask an admin "
        "to set its publicNetworkAccess to Enabled."
    )
    return RequestRefused(HTTPStatus.FORBIDDEN, Fault("PublicNetworkAccessDisabled", text), reason=reason)


# --- 404, 409, 411, 413 -----------------------------------------------------------------------------------------------


def domain_not_linked(domain: str) -> RequestRefused:
    """The sender's domain is not linked to this communication service, or not verified (`DomainNotLinked`).

    ACS answers it with 404 in the best documented case; clients key on the code.
    """
    text = (
        "The specified sender domain has not been linked. "
        f"Ask an admin to verify '{visible(domain)}' and to link it to this communication service."
    )
    return RequestRefused(HTTPStatus.NOT_FOUND, Fault("DomainNotLinked", text, "senderAddress"))


def domain_paused(domain: str, why: str) -> RequestRefused:
    """The sender's domain was verified, and its records are gone since. ACS has no code of its own for it.

    `why` names the record and the remedy.
    """
    text = (
        f"The specified sender domain has not been linked. Sending from '{visible(domain)}' is paused: {visible(why, 600)} "
        "Sending goes on by itself once it is seen again; initiateVerification looks at once."
    )
    return RequestRefused(HTTPStatus.NOT_FOUND, Fault("DomainNotLinked", text, "senderAddress"))


def operation_not_found(operation_id: str) -> RequestRefused:
    """No such operation on this communication service; the same answer when another service has it."""
    text = (
        "Requested message could not be located. "
        f"Couldn't find a record with the messageID: {visible(operation_id)}. "
        "Check the id, and that the client's connection string is that of the service which accepted the message."
    )
    return RequestRefused(HTTPStatus.NOT_FOUND, Fault("NotFound", text, "operationId"))


def operation_id_conflict(operation_id: str) -> RequestRefused:
    """The Operation-Id was used for another request. What ACS answers is not published; status and code are ours."""
    text = (
        f"The Operation-Id '{visible(operation_id)}' was used before, for a request with another body. "
        "Repeat exactly the same request to repeat it safely, and use a new Operation-Id for a new message."
    )
    return RequestRefused(HTTPStatus.CONFLICT, Fault("Conflict", text, "Operation-Id"))


def length_required() -> RequestRefused:
    """A chunked request whose body the Functions host dropped: it copies a body only when Content-Length says one."""
    text = "The request has no body. Send it with a Content-Length header and without Transfer-Encoding: chunked."
    return RequestRefused(HTTPStatus.LENGTH_REQUIRED, Fault("LengthRequired", text, "Content-Length"))


def body_too_large(most: int) -> RequestRefused:
    """The body has more than `most` bytes. What ACS answers is not known; status and code are those of Azure Storage."""
    text = (
        f"The request body is larger than {most} bytes, base64 of attachments included. "
        "Send fewer or smaller attachments, or ask the operator to raise POSTRIDER_MAX_REQUEST_BYTES."
    )
    return RequestRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, Fault("RequestBodyTooLarge", text))


# --- 429 and 5xx ------------------------------------------------------------------------------------------------------


def too_many_requests(window: str, wait: int, rule: str) -> RequestRefused:
    """A rate limit (`TooManyRequests`): `window` is `Minute` or `Hour`, `wait` whole seconds until it is worth trying again."""
    text = f"PerSubscriptionPer{window}LimitExceeded - Please try again after {wait} seconds. {rule}"
    return RequestRefused(HTTPStatus.TOO_MANY_REQUESTS, Fault("TooManyRequests", text), retry_after=wait)


def limit_reached(rule: str, window: str, opens_at: float, retry_after: int) -> RequestRefused:
    """A limit of the operator's is reached (`TooManyRequests`, the sentence of ACS first). `rule` begins a sentence."""
    moment = datetime.fromtimestamp(opens_at, UTC).isoformat().replace("+00:00", "Z")
    text = (
        f"Please try again after {retry_after} seconds. {rule} is used up or does not have enough left for this message. "
        f"The {window} ends at {moment}. Send fewer until then, or ask an administrator to raise the limit."
    )
    return RequestRefused(HTTPStatus.TOO_MANY_REQUESTS, Fault("TooManyRequests", text), retry_after=retry_after)


def limit_too_small(rule: str, number: int, unit: str) -> RequestRefused:
    """A message that a limit allows at no time. It is no 429, for waiting does not help. The code is that of a wrong field."""
    text = f"{rule} does not allow this message at any time: it has {number} {unit}. Ask an administrator to raise the limit"
    if unit != "recipients":
        return RequestRefused(HTTPStatus.BAD_REQUEST, Fault("BadRequest", f"{text}."))
    return RequestRefused(HTTPStatus.BAD_REQUEST, bad_property("recipients", f"{text}, or send it to fewer at once."))


def service_unavailable(retry_after: int, reason: str) -> RequestRefused:
    """Storage or another part that acceptance needs is away. `retry_after` in whole seconds.

    Whether the message is stored is not certain, for only the answer of storage may have been lost.
    """
    text = (
        "The service cannot accept requests right now. "
        f"Try again after {retry_after} seconds with the same Operation-Id, or the same x-ms-client-request-id and body: "
        "should this request have been stored all the same, it is not sent twice."
    )
    fault = Fault("ServiceUnavailable", text)
    return RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, fault, retry_after=retry_after, reason=reason)


def too_busy(retry_after: int, reason: str) -> RequestRefused:
    """More requests at once than a worker takes (`ServiceUnavailable`). `retry_after` in whole seconds; nothing was read."""
    text = (
        "The service has more requests than it can take right now, and nothing of this one was stored. "
        f"Try again after {retry_after} seconds, or send fewer at once."
    )
    fault = Fault("ServiceUnavailable", text)
    return RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, fault, retry_after=retry_after, reason=reason)


def internal_server_error(reason: str) -> RequestRefused:
    """Our own fault. Whether the message was accepted is not known, so the remedy is a repeat with the same Operation-Id."""
    text = (
        "The service failed on this request. Try again with the same Operation-Id: a message that was accepted is not sent "
        "twice. If it fails again, give the operator the x-ms-client-request-id of this answer."
    )
    return RequestRefused(HTTPStatus.INTERNAL_SERVER_ERROR, Fault("InternalServerError", text), reason=reason)


# --- errors of a failed operation -------------------------------------------------------------------------------------


def email_dropped(why: str) -> Fault:
    """The error of an operation that ended without a delivery (`EmailDropped`, the code of the specification's example)."""
    return Fault("EmailDropped", f"Message dropped. {why}")


def all_recipients_suppressed() -> Fault:
    """The error of an operation of which every recipient is on a suppression list; code and first sentence are those of ACS."""
    text = (
        "Message dropped because all recipients were suppressed. The delivery events and the log name each of them "
        "and the list that it is on."
    )
    return Fault("EmailDroppedAllRecipientsSuppressed", text)
