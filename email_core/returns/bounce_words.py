"""Bounces in words: what a server that writes no status report tells people, read as well as it can be. Pure.

flufl.bounce knows the forms of many old servers and gives addresses only; the codes and the sentence around an address are
found here. It gets little text in short lines, for its patterns take quadratic time in the length of a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from email.errors import MessageError
from email.message import Message
from typing import NamedTuple

from email_core.delivery.reply import printable
from email_core.message.status import Action
from email_core.returns.mime_parts import field
from email_core.returns.status_report import (
    MAX_DIAGNOSTIC,
    MAX_RECIPIENTS,
    RecipientReport,
    code_in,
    enhanced_in,
    read_status,
    typed_address,
)

MAX_SCANNED = 16 * 1024  # characters that flufl.bounce gets
MAX_LINES = 400
MAX_LINE = 200  # characters of each of them
MAX_HUMAN = 16 * 1024  # characters of the part for people
MAX_MENTIONED = 20
MAX_PARAGRAPHS = 3  # behind that of an address, which may have the reason


def _any_of(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE | re.MULTILINE)


_daemon = _any_of(
    r"mailer[-_ ]?daemon", "postmaster", r"mail ?delivery", "mdaemon", r"\bmailer@", r"smtp[-_ ]?daemon", "mail system",
    "bounce", "<>",
)  # fmt: skip
_failed_subject = _any_of(
    "undeliver", "returned mail", r"return(?:ed)? to sender", "failure notice",
    r"deliver\w{0,9} (?:status|fail|problem|incomplete|error|report)", r"mail(?:box)? (?:delivery )?(?:fail|error|unavailable)",
    r"message (?:undeliver|rejected|not deliver|returned)", r"could ?n.t be delivered", "not be delivered", r"non[- ]?delivery",
    "unzustellbar", "nicht zugestellt", "zustellung", "rückläufer", "non remis", "non distribuable", "échec", "echec",
    r"no se (?:puede|pudo|ha podido) entregar", "no entregado", "error de entrega", "non consegn", "mancata consegna",
    "onbestelbaar", "niet bezorgd", "niedostarcz", "olevererbar", "kan inte leverer", r"não (?:entreg|foi)", "недостав",
    "не удалось доставить", "配信", "送信できません", "无法", "退信", "전송 실패",
)  # fmt: skip
_delayed = _any_of(
    r"(?:delivery|message|mail)\W{1,9}(?:\w{1,20}\W{1,9}){0,4}?delayed", r"delayed\s?:", "not yet been delivered",
    "will be retried", "will retry", "no action is required", r"has not been (?:delivered|collected)",
    r"still (?:being )?(?:retr|try)", "keep trying", r"continue to (?:try|be retried)", r"warning: (?:could not send|message)",
    "warning message only", "delivery attempts will continue", r"temporarily (?:deferred|delayed|unable)",
    "wird weiter versucht", "verzögert",
)  # fmt: skip
_given_up = _any_of(
    r"giv(?:ing|en) up", "gave up", "permanent", "could not be delivered", "returned", "failed", "undeliverable"
)  # fmt: skip
_failed = _any_of(
    r"user (?:is )?unknown", r"unknown (?:user|recipient|address|mailbox)",
    r"no such (?:user|person|recipient|address|mailbox|domain)",
    r"(?:could|was|can|is) ?(?:no|n.)t (?:be )?(?:deliver|found|reach|exist|accept)", r"does(?: not|n.t) exist",
    "undeliverable", "unable to deliver", "not delivered",
    r"delivery (?:to the following\W{1,9})?(?:\w{1,20}\W{1,9}){0,4}?fail",
    r"mailbox (?:is )?(?:full|unavailable|disabled)", r"(?:over|exceed\w{0,5}) (?:its |the )?quota",
    r"permanent (?:fatal )?error", "fatal errors", "not found", "rejected", "address not", "host unknown", "failed",
)  # fmt: skip
# Where the copy of the message begins: an address or a code behind it says nothing of why it came back.
_copy = _any_of(
    r"^[^\w\n]{0,20}(?:below this line|this|here|included|following|what follows) is (?:a |the )?"
    r"(?:copy|your|original|returned)",
    r"^[^\w\n]{0,20}-{2,9} ?(?:start of |begin )?(?:original|returned|forwarded|unsent|undelivered|your)[\w ]{0,30}"
    r"(?:message|mail|header)",
    r"^[^\w\n]{0,20}(?:original|returned|unsent|undelivered) (?:message|mail)(?: headers?| follows?)?[^\w\n]{0,20}$",
    r"^[^\w\n]{0,20}(?:message headers follow|a copy of (?:your|the) (?:original )?message|ursprüngliche nachricht)",
    r"^[^\w\n]{0,20}-{3,9} ?returned",
)  # fmt: skip
_header_of_copy = re.compile(r"^(?:Return-Path: ?<|Received: (?:from|by) )", re.MULTILINE)
_mention = re.compile(r"[^\s<>()\[\]{},;:\"'=|@]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")
# What flufl.bounce and the parser of the standard library raise on broken messages, and what their kind of code can. What was
# seen: TypeError for a boundary in pieces of which one has no number, which they want to sort (RFC 2231 section 3). A bounce
# that is read without them is worth more than none; what was raised is told in the log.
_FAULTS = (
    MessageError, ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError, NotImplementedError,
    OSError,
)  # fmt: skip


class Words(NamedTuple):
    """What words say. `trouble` is what flufl.bounce could not read, for the log; empty as a rule."""

    reports: tuple[RecipientReport, ...] = ()
    trouble: str = ""


class _Found(NamedTuple):
    """Addresses that wait, and that failed."""

    later: Sequence[str] = ()
    failed: Sequence[str] = ()
    trouble: str = ""


def is_daemon(header: Message) -> bool:
    """Whether the sender says that it is a mail server."""
    return _daemon.search(field(header, "From")[:300] or "<>") is not None


def read_words(header: Message, text: str, raw: bytes) -> Words:
    """The reports of a message in words; `text` is what it says to people, `raw` all of it. Empty when it is no bounce."""
    text = _without_copy(text)
    if re.search(r"^[ \t]{0,9}Final-Recipient[ \t]{0,9}:", text, re.IGNORECASE | re.MULTILINE):
        _, reports = read_status(text)  # the fields are there, in a part of the wrong type
        if reports:
            return Words(tuple(reports))
    subject = plain(field(header, "Subject"))
    named = _addresses(field(header, "X-Failed-Recipients").split(","))  # Exim
    if named:
        return Words(_reports(named, Action.FAILED, text))
    waits = _is_delay(subject, text)
    later, failed, trouble = _scanned(header, text, raw)
    if failed or later:
        action = Action.DELAYED if waits else Action.FAILED
        waiting = _reports([each for each in later if each not in failed], Action.DELAYED, text)
        return Words((*_reports(failed, action, text), *waiting), trouble)
    looks_so = _failed_subject.search(subject[:300]) is not None or waits
    if not (is_daemon(header) or looks_so) or not (_failed.search(text) or enhanced_in(text) or waits):
        return Words(trouble=trouble)
    if not looks_so and not enhanced_in(text) and not code_in(text):
        return Words(trouble=trouble)  # a postmaster who writes to people writes such words as well
    return Words((_report("", Action.DELAYED if waits else Action.FAILED, text, text),), trouble)


def _is_delay(subject: str, text: str) -> bool:
    """Whether the message only says that it takes longer."""
    if _delayed.search(subject[:300]):
        return True
    return _delayed.search(text) is not None and not _failed_subject.search(subject[:300]) and not _given_up.search(text)


def _reports(addresses: Iterable[str], action: Action, text: str) -> tuple[RecipientReport, ...]:
    return tuple(_report(address, action, _around(address, text), text) for address in addresses)


def _report(address: str, action: Action, excerpt: str, text: str) -> RecipientReport:
    enhanced, code = enhanced_in(excerpt), code_in(excerpt)
    if not enhanced and not code:
        enhanced, code = enhanced_in(text), code_in(text)
    return RecipientReport(
        action=action,
        enhanced=enhanced,
        code=code,
        diagnostic=_sentence(excerpt or text),
        final=address,
        mentioned=() if address else tuple(_addresses(_mention.findall(text[:MAX_HUMAN])))[:MAX_MENTIONED],
    )


def _around(address: str, text: str) -> str:
    """What stands at an address: from its line to the next blank one, or to the end of the paragraph behind that has a code."""
    place = text.lower().find(address.lower())
    if place < 0:
        return ""
    start = text.rfind("\n", 0, place) + 1
    end = text.find("\n\n", place)
    excerpt = text[start : end if end >= 0 else len(text)]
    for _ in range(MAX_PARAGRAPHS):
        if end < 0 or enhanced_in(excerpt) or code_in(excerpt):
            break
        begin, end = end, text.find("\n\n", end + 2)
        paragraph = text[begin : end if end >= 0 else len(text)]
        if any(each.lower() != address.lower() for each in _mention.findall(paragraph[:MAX_DIAGNOSTIC])):
            break  # it is about somebody else
        excerpt += paragraph
    return excerpt[:MAX_DIAGNOSTIC]


def _sentence(text: str) -> str:
    """The part of a text that says why, on one line: from the first code on, or from its beginning."""
    text = " ".join(printable(text[: 4 * MAX_DIAGNOSTIC]).split())
    found = re.search(r"(?<![\d.])[45]\d\d[ \-][45]?|(?<![\d.])[45]\.\d{1,3}\.\d{1,3}", text)
    if found is None or not re.search(r"[^\W\d]", text[found.end() :]):  # qmail has the code behind the sentence
        return text[:MAX_DIAGNOSTIC]
    return text[found.start() :][:MAX_DIAGNOSTIC]


def _scanned(header: Message, text: str, raw: bytes) -> _Found:
    """What flufl.bounce finds."""
    from email import message_from_bytes

    from flufl.bounce import all_failures  # 20 ms that only a bounce in words needs

    came = raw[:MAX_SCANNED].decode("ascii", "replace").replace("\r\n", "\n").replace("\r", "\n")
    subject = field(header, "Subject")[:MAX_LINE]
    sender = [*_mention.findall(field(header, "From")[:300]), "mailer-daemon@invalid"][0]
    trouble = ""
    for content in (came, f"Subject: {subject}\n\n{text}"):  # the form of the parts tells, and so does the text
        try:
            message = message_from_bytes(_shortened(content).encode("ascii", "replace"))
            del message["From"]
            message["From"] = sender
            later, failed = all_failures(message)
        except _FAULTS as fault:
            trouble = type(fault).__name__  # what it says may quote the message
            continue
        if later or failed:
            return _Found(_addresses(_texts(later)), _addresses(_texts(failed)), trouble)
    return _Found(trouble=trouble)


def _shortened(text: str) -> str:
    return "\n".join(line[:MAX_LINE] for line in text.split("\n", MAX_LINES)[:MAX_LINES])[:MAX_SCANNED]


def _texts(found: Iterable[bytes | str]) -> list[str]:
    return sorted(each.decode("ascii", "replace") if isinstance(each, bytes) else each for each in found)


def _addresses(candidates: Sequence[str]) -> list[str]:
    read = (typed_address(candidate) for candidate in candidates[: 4 * MAX_RECIPIENTS])
    return [address for address in dict.fromkeys(read) if address][:MAX_RECIPIENTS]


def _without_copy(text: str) -> str:
    ends = [found.start() for found in (_copy.search(text), _header_of_copy.search(text)) if found and found.start() > 40]
    return text[: min(ends, default=len(text))][:MAX_HUMAN]


def plain(subject: str) -> str:
    """A subject without encoded words (RFC 2047); one that can't be decoded stays as it is."""
    from email.header import decode_header, make_header

    if "=?" not in subject:
        return subject
    try:
        return str(make_header(decode_header(subject[:600])))
    except (MessageError, ValueError, LookupError):  # CharsetError is a MessageError and no ValueError
        return subject
