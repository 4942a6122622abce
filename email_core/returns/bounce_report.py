"""A message that came back, read: what it reports of which recipient. Pure.

A delivery status notification says it in fields (RFC 3464). Older servers and some of today say it in words only: then
`bounce_words` looks for them. What is inside of the returned message counts for nothing, or a bounce of a bounce would be taken
for that of its content. Whoever sends such a message is a stranger: nothing here raises, decompresses or takes long.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from email_core.returns.bounce_words import MAX_HUMAN, is_daemon, plain, read_words
from email_core.returns.mime_parts import Part, field, parts_of
from email_core.returns.status_report import MAX_RECIPIENTS, RecipientReport, read_status

__all__ = ["BounceReport", "Kind", "read_bounce", "returned_header"]


class Kind(StrEnum):
    """What a message at one of our reverse-paths is."""

    REPORT = "report"
    AUTO_REPLY = "auto-reply"  # of a person or a mailbox, not of a server about delivery (RFC 3834, RFC 8098)
    UNREADABLE = "unreadable"  # nothing of a report was found


@dataclass(frozen=True, slots=True)
class BounceReport:
    """What a message reports. `source` says how it was read: fields or words; empty when nothing was found. `trouble` is what
    a parser of others could not read, for the log.

    A report without an address names nobody: whoever knows that its message had one recipient may take it for that one.
    """

    kind: Kind
    recipients: tuple[RecipientReport, ...] = ()
    reporting_mta: str = ""
    envelope_id: str = ""
    message_id: str = ""  # of the returned message
    source: str = ""
    trouble: str = ""


MAX_STATUS_PARTS = 3  # of one report, which has one (RFC 6522 section 3)
_STATUS = frozenset({"message/delivery-status", "message/global-delivery-status"})  # RFC 3464, RFC 6533
_REPLY_FIELDS = (
    "X-Autoreply",
    "X-Autorespond",
    "X-Autoreply-From",
    "X-Auto-Reply",
    "X-Vacation",
    "X-MS-Exchange-Inbox-Rules-Loop",
)
_absent = re.compile(
    r"^\W*(?:re: ?)?(?:out of (?:the )?office|automatic reply|auto-?reply|auto-?response|automated (?:reply|response)"
    r"|on (?:vacation|holiday|leave)|vacation|away from|i am away|abwesen|automatische antwort|réponse automatique"
    r"|absence du bureau|respuesta automática|fuera de la oficina|risposta automatica|automatisch antwoord|afwezig"
    r"|odpowiedź automatyczna|automaattinen vastaus|autosvar|automatiskt svar|resposta automática|自動応答|自动回复|автоответ)",
    re.IGNORECASE,
)


def read_bounce(raw: bytes) -> BounceReport:
    """What a message reports. Looks at its first MiB; never raises."""
    parts = parts_of(raw)
    if reports := _from_fields(parts, 0):
        return reports
    if _is_auto_reply(parts):
        return BounceReport(Kind.AUTO_REPLY)
    top = parts[0].header
    # flufl.bounce would look for fields within the returned message as well.
    inner_fields = any(part.content_type in _STATUS for part in parts)
    recipients, trouble = read_words(top, _human(parts), b"" if inner_fields else raw)
    if recipients:
        return BounceReport(Kind.REPORT, recipients, message_id=_returned_id(parts), source="words", trouble=trouble)
    # A gateway, or somebody's rule, sends the report on within a message of its own.
    return _from_fields(parts, 1) or BounceReport(Kind.UNREADABLE, message_id=_returned_id(parts), trouble=trouble)


def returned_header(parts: Sequence[Part], enclosed: int = 0) -> Part | None:
    """The returned message, or its header, in a report that lies within so many messages; None when it has none."""
    inner = next((part for part in parts if part.enclosed == enclosed + 1), None)
    return inner if inner is not None and len(inner.header) else None


def _from_fields(parts: Sequence[Part], enclosed: int) -> BounceReport | None:
    message: dict[str, str] = {}
    recipients: list[RecipientReport] = []
    for part in [each for each in parts if each.content_type in _STATUS and each.enclosed == enclosed][:MAX_STATUS_PARTS]:
        fields, reports = read_status(part.text())
        message = {**fields, **message}
        recipients += reports[: MAX_RECIPIENTS - len(recipients)]
    if not recipients:
        return None
    return BounceReport(
        Kind.REPORT,
        tuple(recipients),
        reporting_mta=message.get("reporting-mta", "").partition(";")[2].strip()[:255],
        envelope_id=message.get("original-envelope-id", "")[:100],
        message_id=_returned_id(parts, enclosed),
        source="fields",
    )


def _returned_id(parts: Sequence[Part], enclosed: int = 0) -> str:
    returned = returned_header(parts, enclosed)
    return field(returned.header, "Message-ID")[:998] if returned else ""


def _human(parts: Sequence[Part]) -> str:
    """What the message says to people, outside of the message that it returns."""
    texts = [part for part in parts if part.is_text and not part.enclosed]
    plain_texts = [part for part in texts if part.content_type == "text/plain" and part.body.strip()]
    return "\n\n".join(part.text() for part in (plain_texts or texts)[:5])[:MAX_HUMAN]


def _is_auto_reply(parts: Sequence[Part]) -> bool:
    """Whether a person's mailbox answered. A report of delivery is written as an answer as well, by a server."""
    header = parts[0].header
    if any(part.content_type == "message/disposition-notification" and not part.enclosed for part in parts):
        return True  # read, or deleted unread: it was delivered
    if field(header, "X-Failed-Recipients"):
        return False
    if _absent.search(plain(field(header, "Subject"))[:300]):
        return True
    if is_daemon(header):
        return False
    submitted = field(header, "Auto-Submitted").lower()
    return (
        submitted.startswith(("auto-replied", "auto-notified"))
        or any(name in header for name in _REPLY_FIELDS)
        or field(header, "Precedence").lower() in ("auto_reply", "auto-reply")
    )
