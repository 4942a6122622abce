"""Feedback reports (ARF, RFC 5965): a mailbox provider tells that a recipient called a message spam, or the contrary. Pure.

Providers redact: often neither the recipient nor the header of the message is what it was. What is left of ours is looked for
everywhere a provider leaves it: in the reverse-path and in Feedback-ID. Whether it is genuine is for the caller to find out, by
its MAC.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.message import Message
from enum import StrEnum

from email_core.returns.mime_parts import Part, field, parts_of, read_header
from email_core.returns.status_report import typed_address

MAX_ADDRESSES = 100
MAX_TOKENS = 20


class Feedback(StrEnum):
    """What a report is about: RFC 5965 section 7.3, RFC 6430, RFC 6591, and opt-out, which some providers send."""

    ABUSE = "abuse"
    FRAUD = "fraud"
    VIRUS = "virus"
    OPT_OUT = "opt-out"
    NOT_SPAM = "not-spam"
    AUTH_FAILURE = "auth-failure"
    OTHER = "other"

    @property
    def unwanted(self) -> bool:
        """Whether the recipient wants no more mail, so that sending again would only harm."""
        return self in (Feedback.ABUSE, Feedback.FRAUD, Feedback.OPT_OUT)


@dataclass(frozen=True, slots=True)
class FeedbackReport:
    """A feedback report.

    `recipients` are the addresses that it names as the original ones, none when they were redacted. `tokens` are texts that may
    be a reverse-path of ours or its local part, the most likely one first. `incidents` is how often it happened.
    """

    feedback: Feedback
    recipients: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    message_id: str = ""
    reporter: str = ""
    user_agent: str = ""
    incidents: int = 1


_WORDS = {each.value: each for each in Feedback} | {"optout": Feedback.OPT_OUT, "opt-out-list": Feedback.OPT_OUT}
_REVERSE_PATHS = (
    "Return-Path", "X-Original-Return-Path", "X-Envelope-From", "Envelope-From", "Errors-To", "X-HmXmrOriginalSender",
)  # fmt: skip
_RECIPIENTS = ("X-HmXmrOriginalRecipient", "X-Original-To", "Delivered-To", "X-Original-Recipient")
_token = re.compile(r"[bf]\+[a-z2-7]\.[a-z2-7]{38}\.[a-z2-7]{16}", re.IGNORECASE)  # as delivery/verp.py makes it
_for = re.compile(r"\bfor\s{1,9}<([^<>\s]{3,254})>")


def read_feedback(raw: bytes) -> FeedbackReport | None:
    """The feedback report that a message is; None when it is none. Looks at its first MiB; never raises."""
    parts = parts_of(raw)
    report = next((part for part in parts if part.content_type == "message/feedback-report" and not part.enclosed), None)
    returned = next((part.header for part in parts if part.enclosed == 1), None)
    if report is not None:
        return _read(read_header(report.text().lstrip("\n")), parts, returned)
    # Microsoft's Junk Mail Reporting Program sends the message alone, with the recipient in a field of its own.
    for header in (parts[0].header, returned):
        if header is not None and "X-HmXmrOriginalRecipient" in header:
            return _read(Message(), parts, returned if returned is not None else header)
    return None


def _read(fields: Message, parts: Sequence[Part], returned: Message | None) -> FeedbackReport:
    top = parts[0].header
    word = field(fields, "Feedback-Type").partition(";")[0].strip().lower()
    inner = returned if returned is not None else Message()
    named = [typed_address(value) for value in _all(fields, ("Original-Rcpt-To", "Removal-Recipient"))]
    named += [typed_address(value) for header in (top, inner) for value in _all(header, _RECIPIENTS)]
    if not any(named):  # a provider that hides it in one place may leave it in another
        named = [typed_address(found) for value in _all(inner, ("Received",)) for found in _for.findall(value)]
    return FeedbackReport(
        feedback=_WORDS.get(word, Feedback.OTHER) if word else Feedback.ABUSE,
        recipients=tuple(dict.fromkeys(address for address in named if address))[:MAX_ADDRESSES],
        tokens=tuple(dict.fromkeys(_tokens(fields, top, inner)))[:MAX_TOKENS],
        message_id=(field(inner, "Message-ID") or field(fields, "Original-Message-ID"))[:998],
        reporter=_reporter(fields, top),
        user_agent=field(fields, "User-Agent")[:200],
        incidents=_number(field(fields, "Incidents")),
    )


def _tokens(fields: Message, top: Message, inner: Message) -> Iterator[str]:
    for header, names in (
        (fields, ("Original-Mail-From", "Original-Envelope-Id")),
        (inner, (*_REVERSE_PATHS, "Feedback-ID", "Message-ID", "Received-SPF", "Authentication-Results", "List-Unsubscribe")),
        (top, ("Feedback-ID", *_REVERSE_PATHS[1:])),
    ):
        for value in _all(header, names):
            yield from (found[0].lower() for found in _token.finditer(value))


def _all(header: Message, names: Sequence[str]) -> Iterator[str]:
    for name in names:
        yield from (" ".join(str(value).split()) for value in header.get_all(name, [])[:MAX_ADDRESSES])


def _reporter(fields: Message, top: Message) -> str:
    """Who reports: the domain of the sender of the report, or the server it names."""
    _, _, domain = typed_address(field(top, "From")[-300:].rpartition("<")[2].strip("<> ")).rpartition("@")
    return domain or field(fields, "Reporting-MTA").partition(";")[2].strip()[:255]


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 and int(text) else 1
