"""The fields of a delivery status notification: RFC 3464, RFC 6533, and what servers make of them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from email_core.delivery.outcome import Reply
from email_core.delivery.reply import parse_reply, printable
from email_core.message.address import AddressError, parse_address
from email_core.message.status import Action
from email_core.returns.mime_parts import field, read_header

MAX_RECIPIENTS = 100  # of one report; more than any envelope of ours has
MAX_BLOCKS = 3 * MAX_RECIPIENTS  # groups of fields; reading one costs as much as a small message
MAX_DIAGNOSTIC = 1000  # characters


@dataclass(frozen=True, slots=True)
class RecipientReport:
    """What is said of one recipient.

    `enhanced` is the enhanced status code, `code` the SMTP code, empty and 0 when the report has none. `final` and `original`
    are the addresses it names: as they are, lower case in the domain only, and empty when there is none. `mentioned` are those
    in the text of a report that names none; each may be somebody else's.
    """

    action: Action
    enhanced: str = ""
    code: int = 0
    diagnostic: str = ""
    remote_mta: str = ""
    final: str = ""
    original: str = ""
    mentioned: tuple[str, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses that it is about, as the report names them."""
        return tuple(address for address in dict.fromkeys((self.original, self.final)) if address)

    @property
    def reply(self) -> Reply:
        """What was said, as the reply of a server; a code that is missing follows from the class of the other one."""
        code = self.code or (450 if self.enhanced[:1] == "4" or self.action is Action.DELAYED else 550)
        enhanced = self.enhanced if self.enhanced[:1] == str(code)[:1] else ""
        text = self.diagnostic
        for spoken in (str(self.code), enhanced):
            text = text.removeprefix(spoken).lstrip(" -") if spoken else text
        return Reply(code, enhanced, text)


_ACTIONS = (
    ("fail", Action.FAILED), ("error", Action.FAILED),  # OpenSMTPD wrote "error"
    ("delay", Action.DELAYED), ("deliver", Action.DELIVERED), ("relay", Action.RELAYED), ("expand", Action.EXPANDED),
)  # fmt: skip
_BY_CLASS = {"5": Action.FAILED, "4": Action.DELAYED, "2": Action.DELIVERED}
_RECIPIENT_FIELDS = ("final-recipient", "original-recipient", "action", "status", "x-actual-recipient")
_blank = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")
_field_start = re.compile(r"([!-9;-~]{1,100})[ \t]*:")
_enhanced = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.]*\d)", re.ASCII)
_code = re.compile(r"(?<![\d.])([245]\d\d)(?=$|[ \-#:;,\"')\]])", re.ASCII)
_reply_line = re.compile(r"^[^\S\n]*([245]\d\d)(?:[ -](.*))?$", re.ASCII | re.MULTILINE)
_xtext = re.compile(r"\+([0-9A-F]{2})")
_unitext = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")
_VAGUE = re.compile(r"[245]\.0\.0")


def read_status(text: str) -> tuple[dict[str, str], list[RecipientReport]]:
    """The fields of the message and the reports of its recipients. Never raises; what can't be read is left out."""
    message: dict[str, str] = {}
    reports: list[RecipientReport] = []
    for block in islice(_blocks(text), MAX_BLOCKS):
        header = read_header(block)
        fields = {name.lower(): field(header, name) for name in header}
        if any(name in fields for name in _RECIPIENT_FIELDS):
            raw = header.get("Diagnostic-Code")
            report = _report(fields, str(raw) if raw is not None else "")
            if report is not None and len(reports) < MAX_RECIPIENTS:
                reports.append(report)
        for name, value in fields.items():
            if name not in _RECIPIENT_FIELDS:
                message.setdefault(name, value)
    return message, reports


def _blocks(text: str) -> Iterator[str]:
    """The groups of fields; a server that forgets the blank line between recipients begins a field for the second time."""
    for block in _blank.split(text.strip("\n")):
        lines: list[str] = []
        seen: set[str] = set()
        for line in block.split("\n"):
            found = _field_start.match(line)
            name = found[1].lower() if found else ""
            if name in _RECIPIENT_FIELDS:
                if name in seen:
                    yield "\n".join(lines)
                    lines, seen = [], set()
                seen.add(name)
            lines.append(line)
        if lines:
            yield "\n".join(lines)


def _report(fields: Mapping[str, str], diagnostic: str) -> RecipientReport | None:
    spoken, code = _spoken(diagnostic)
    status = enhanced_in(fields.get("status", ""))
    said = enhanced_in(spoken)
    if said and (not status or _VAGUE.fullmatch(status)):
        status = said
    action = _action(fields.get("action", ""), status, code)
    if action is None:
        return None
    return RecipientReport(
        action=action,
        enhanced=status,
        code=code,
        diagnostic=printable(spoken)[:MAX_DIAGNOSTIC],
        remote_mta=_host(fields.get("remote-mta", "")),
        final=typed_address(fields.get("final-recipient", "")),
        original=typed_address(fields.get("original-recipient", "")) or typed_address(fields.get("x-actual-recipient", "")),
    )


def _action(text: str, status: str, code: int) -> Action | None:
    """What was done. Without a word of it the class of the code tells; and nothing, when nothing tells."""
    word = text.strip().lower()
    for start, action in _ACTIONS:
        if word.startswith(start):
            return action
    return _BY_CLASS.get(status[:1] or str(code or "")[:1])


def _spoken(diagnostic: str) -> tuple[str, int]:
    """The text of a diagnostic code without its type, on one line, and the SMTP code that it begins with or holds."""
    kind, separator, text = diagnostic.partition(";")
    if not separator or not re.fullmatch(r"\s*[A-Za-z][A-Za-z0-9_-]{0,40}\s*", kind):
        text = diagnostic
    lines = _reply_line.findall(text)
    if lines and all(code == lines[0][0] for code, _ in lines):
        reply = parse_reply(int(lines[0][0]), [line for _, line in lines])
        if len(lines) > 1:
            return " ".join(str(reply).split()), reply.code
    spoken = " ".join(text.split())
    found = _code.search(spoken[:300])
    return spoken, int(found[1]) if found else 0


def enhanced_in(text: str) -> str:
    """The first enhanced status code of a text; empty when there is none. IP addresses and versions are none."""
    found = _enhanced.search(text[:4000])
    return f"{found[1]}.{int(found[2])}.{int(found[3])}" if found else ""


def code_in(text: str) -> int:
    """The first SMTP code of a text that can be one of a refusal; 0 when there is none."""
    return next((int(found[1]) for found in _code.finditer(text[:4000]) if found[1][0] in "45"), 0)


def typed_address(text: str) -> str:
    """The address of a field such as `rfc822; ann@example.com`; empty when it holds none that mail can be sent to."""
    kind, separator, address = text.partition(";")
    if not separator:
        kind, address = "", text
    if kind.strip().lower() == "utf-8":
        address = _unitext.sub(_character, address)
    address = address.strip().strip("\"'").strip()
    if address.startswith("<") and ">" in address:
        address = address[1 : address.index(">")]
    address = address.partition(" ")[0].rstrip(",;")  # what follows is a comment
    for candidate in (address, _xtext.sub(lambda found: chr(int(found[1], 16)), address)):
        try:
            return parse_address(candidate).addr_spec
        except AddressError:
            continue
    return ""


def _character(found: re.Match[str]) -> str:
    number = int(found[1], 16)
    return chr(number) if number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF else "?"


def _host(text: str) -> str:
    kind, separator, name = text.partition(";")
    words = (name if separator else kind).split()
    return printable(words[0])[:255].strip("().,") if words else ""
