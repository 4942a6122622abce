"""What a storage service answered, and the exceptions that an answer turns into."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from email_core.errors import EntityChanged, EntityExists, EntityMissing, StorageRefused, StorageUnavailable
from email_core.storage.limits import StorageLimit

# A resource that is being deleted can be made again some 40 seconds later.
_PASSING_CODES = frozenset(("TableBeingDeleted", "QueueBeingDeleted", "ContainerBeingDeleted"))
# Only these say that a thing is not there: a 404 from something in between must not make a caller drop its work.
_MISSING = frozenset((
    "ResourceNotFound", "QueueNotFound", "MessageNotFound", "PopReceiptMismatch", "BlobNotFound", "ContainerNotFound",
))  # fmt: skip
_TOO_LARGE = frozenset(("EntityTooLarge", "PropertyValueTooLarge", "RequestBodyTooLarge", "TooManyProperties"))
_THROTTLED = frozenset((408, 429))
_SECONDS = re.compile(r"[0-9]{1,6}", re.ASCII)
_XML_CODE = re.compile(rb"<Code>([A-Za-z0-9]+)</Code>")
_XML_MESSAGE = re.compile(rb"<Message>(.*?)</Message>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, read whole. `retried`: it is not the answer to the first try, which may have taken effect all the same."""

    operation: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    retried: bool = False

    @property
    def etag(self) -> str:
        """The entity tag that the answer names, or the empty string."""
        return self.headers.get("ETag", "")

    @property
    def fault(self) -> tuple[str, str]:
        """Azure's error code and message, either of them empty when the answer has none."""
        if self.status < 300:
            return "", ""  # the body is somebody's content, whatever it looks like
        code = self.headers.get("x-ms-error-code", "")
        if self.body.lstrip()[:1] == b"{":
            found, message = _json_fault(self.body)
        else:
            found, message = _xml_fault(self.body)
        return code or found, message


def unavailable(answer: Answer) -> bool:
    """Whether an answer means that the same request may well succeed later."""
    return (answer.status >= 500 and answer.status != 501) or answer.status in _THROTTLED or answer.fault[0] in _PASSING_CODES


def retry_after(headers: Mapping[str, str]) -> float:
    """The seconds that a service asks to be left alone (RFC 9110 section 10.2.3), 0 when it does not say.

    Azure Storage gives seconds, never a date.
    """
    value = headers.get("Retry-After", "")
    return float(value) if _SECONDS.fullmatch(value) else 0.0


def failure(answer: Answer) -> Exception:
    """The exception for an answer that is not the one that was hoped for; the caller raises it."""
    code, message = answer.fault
    said = f"{answer.operation}: {answer.status} {code}"
    if answer.retried:
        said += " after a retry, so it may have met its own effect"
    if unavailable(answer):
        return StorageUnavailable(f"{said}: {_first_line(message)}", retry_after=retry_after(answer.headers))
    if code in _TOO_LARGE:
        return StorageLimit(f"{said}: {_first_line(message)}")  # a merge may go over a limit that we cannot see
    if code in _MISSING:
        return EntityMissing(said, code)
    if code == "EntityAlreadyExists":
        return EntityExists(said)
    if answer.status == 412:
        return EntityChanged(said)
    return StorageRefused(answer.operation, answer.status, code, _first_line(message))


def _first_line(message: str) -> str:
    # The rest is a request id and a time; for a wrong signature it is the string that should have been signed.
    return message.split("\n", 1)[0][:200]


def _json_fault(body: bytes) -> tuple[str, str]:
    try:
        fault = msgspec.json.decode(body)["odata.error"]
        return fault["code"], fault["message"]["value"]
    except (msgspec.DecodeError, KeyError, TypeError):
        return "", ""


def _xml_fault(body: bytes) -> tuple[str, str]:
    code, message = _XML_CODE.search(body), _XML_MESSAGE.search(body)
    return (code[1].decode() if code else "", message[1].decode(errors="replace") if message else "")
