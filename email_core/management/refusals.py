"""Every refusal of the management plane: one function per code of Azure Resource Manager, so that each is written once.

The shape is `{"error": {code, message, target, details}}`, that of the data plane too. Where ARM's own sentence is known it
comes first, because people search for it; the rule and the remedy follow.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

from email_core.errors import Fault, RequestRefused

_SHOWN = 64  # characters of a caller's text in a message


def shown(text: str, most: int = _SHOWN) -> str:
    """A caller's text fit for a message: unprintable characters as `?`, cut to `most` characters."""
    cut = "".join(c if c.isprintable() else "?" for c in text[:most])
    return cut if len(text) <= most else f"{cut}..."


def bad_field(target: str, rule: str) -> Fault:
    """A field of the body breaks a rule; `rule` says what to write instead."""
    return Fault("InvalidRequestContent", f"The request content was invalid. {target}: {rule}", target)


def invalid_content(faults: Iterable[Fault]) -> RequestRefused:
    """One or more fields are wrong."""
    return RequestRefused(HTTPStatus.BAD_REQUEST, *faults)


def malformed(rule: str) -> RequestRefused:
    """The body cannot be read at all."""
    return RequestRefused(
        HTTPStatus.BAD_REQUEST,
        Fault("InvalidRequestContent", f"The request content was invalid and could not be deserialized. {rule}"),
    )


def bad_parameter(target: str, rule: str) -> RequestRefused:
    """A query parameter or a header breaks a rule."""
    return RequestRefused(HTTPStatus.BAD_REQUEST, Fault("InvalidParameter", f"{target}: {rule}", target))


def invalid_name(kind: str, name: str, rule: str) -> RequestRefused:
    """A name in the path is none that a resource of that kind may have."""
    text = f"The name '{shown(name)}' is not valid for a resource of type '{kind}'. It must be {rule}."
    return RequestRefused(HTTPStatus.BAD_REQUEST, Fault("InvalidResourceName", text, "name"))


def invalid_scope(rule: str) -> RequestRefused:
    """The subscription or the resource group in the path is none that there can be; `rule` says what it must be."""
    return RequestRefused(HTTPStatus.BAD_REQUEST, Fault("InvalidResourceScope", f"The path is not valid: {rule}.", "scope"))


def too_large(most: int, what: str = "request body") -> RequestRefused:
    """More bytes than are taken."""
    text = f"The {what} is larger than {most} bytes: send less."
    return RequestRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, Fault("RequestContentTooLarge", text))


def missing_api_version(supported: str) -> RequestRefused:
    """No api-version."""
    text = (
        "The api-version query parameter (?api-version=) is required for all requests. "
        f"The supported api-versions are '{supported}'."
    )
    return RequestRefused(HTTPStatus.BAD_REQUEST, Fault("MissingApiVersionParameter", text, "api-version"))


def unsupported_api_version(value: str, supported: str) -> RequestRefused:
    """An api-version that nobody knows, or one that has no such resource type."""
    text = (
        f"No registered resource provider found for API version '{shown(value)}'. The supported api-versions are '{supported}'."
    )
    return RequestRefused(HTTPStatus.BAD_REQUEST, Fault("NoRegisteredProviderFound", text, "api-version"))


def unauthenticated(reason: str) -> RequestRefused:
    """No token, or one that is not taken; why is for the log alone."""
    text = (
        "Authentication failed. Send 'Authorization: Bearer TOKEN' with a token of Microsoft Entra ID for this installation, "
        "or the admin token of a local world."
    )
    return RequestRefused(HTTPStatus.UNAUTHORIZED, Fault("AuthenticationFailed", text, "Authorization"), reason=reason)


def forbidden(who: str, operation: str, scope: str) -> RequestRefused:
    """The caller may not do that there. The same text whether there is such a resource or not."""
    text = (
        f"The client '{shown(who)}' does not have authorization to perform action '{operation}' over scope "
        f"'{shown(scope, 400)}' or the scope is invalid. If access was recently granted, please refresh your credentials."
    )
    return RequestRefused(HTTPStatus.FORBIDDEN, Fault("AuthorizationFailed", text))


def not_found(resource_type: str, name: str, group: str) -> RequestRefused:
    """There is no such resource."""
    text = (
        f"The Resource '{resource_type}/{shown(name)}' under resource group '{shown(group)}' was not found. "
        "For more details please go to https://aka.ms/ARMResourceNotFoundFix"
    )
    return RequestRefused(HTTPStatus.NOT_FOUND, Fault("ResourceNotFound", text))


def parent_not_found(parent_type: str, name: str) -> RequestRefused:
    """A resource below one that is not there."""
    text = f"Can not perform requested operation on nested resource. Parent resource '{parent_type}/{shown(name)}' not found."
    return RequestRefused(HTTPStatus.NOT_FOUND, Fault("ParentResourceNotFound", text))


def no_such_path(path: str) -> RequestRefused:
    """A path that the provider does not have."""
    text = f"The request path '{shown(path, 200)}' is no operation of Microsoft.Communication: docs/api.md has those there are."
    return RequestRefused(HTTPStatus.NOT_FOUND, Fault("InvalidResourceType", text))


def method_not_allowed(method: str, allowed: Iterable[str]) -> RequestRefused:
    """A path that has other methods."""
    text = f"The requested resource does not support http method '{shown(method)}'. It supports {', '.join(sorted(allowed))}."
    return RequestRefused(HTTPStatus.METHOD_NOT_ALLOWED, Fault("HttpMethodNotAllowed", text))


def conflict(code: str, message: str, target: str = "") -> RequestRefused:
    """The state of this or another resource forbids it; the message names the resource and the remedy."""
    return RequestRefused(HTTPStatus.CONFLICT, Fault(code, message, target))


def changed_meanwhile() -> RequestRefused:
    """The ETag of If-Match is not that of the resource any more, or that of If-None-Match is."""
    text = (
        "The condition of If-Match or If-None-Match is not met: the resource was changed, created or deleted meanwhile. "
        "Read it again and repeat the request with its new etag."
    )
    return RequestRefused(HTTPStatus.PRECONDITION_FAILED, Fault("PreconditionFailed", text, "If-Match"))


def met_another_write(reason: str) -> RequestRefused:
    """Another write came between the steps of this one. What exactly is for the log alone."""
    text = "Another request changed something that this one needs at the same time: repeat the request."
    return RequestRefused(HTTPStatus.CONFLICT, Fault("Conflict", text), reason=reason)


def refused(code: str, message: str, target: str = "", *, status: int = HTTPStatus.BAD_REQUEST) -> RequestRefused:
    """A refusal with a code of the provider's own; the message names the rule and the remedy."""
    return RequestRefused(status, Fault(code, message, target))


def too_busy(retry_after: int, reason: str) -> RequestRefused:
    """More requests than this worker takes; whole seconds to wait."""
    text = f"There are too many requests at the moment. Please try again after {retry_after} seconds."
    return RequestRefused(HTTPStatus.TOO_MANY_REQUESTS, Fault("TooManyRequests", text), retry_after=retry_after, reason=reason)


def service_unavailable(retry_after: int, reason: str) -> RequestRefused:
    """Storage, or another part that is needed, is away; whole seconds to wait. Why is for the log alone."""
    text = f"The service is temporarily unavailable. Please try again after {retry_after} seconds: repeating it does no harm."
    fault = Fault("ServiceUnavailable", text)
    return RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, fault, retry_after=retry_after, reason=reason)


def internal_server_error(reason: str) -> RequestRefused:
    """Our own fault. What happened is in the log, under the request id of the answer."""
    text = "The server met an unexpected condition. Tell the operator of this installation the x-ms-request-id of this answer."
    return RequestRefused(HTTPStatus.INTERNAL_SERVER_ERROR, Fault("InternalServerError", text), reason=reason)
