"""What the large receivers demand of a sender, and whether a domain's DNS meets it.

The rules are those for senders of more than 5,000 messages a day. They hold for all, because Gmail never takes the status of
such a sender back and Yahoo does not say where it begins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from email_core.domains.documents import DomainDocument
from email_core.domains.health_check import Check, Level, worst
from email_core.domains.key_rotation import active_slot

_SIGNING = ""  # the name of the check of the key that signs, which is one of two


@dataclass(frozen=True, slots=True)
class Point:
    """A rule that is not met, or not known to be: the check that shows it and the fix of that one."""

    rule: str
    check: str
    level: Level
    fix: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a receiver makes of a domain."""

    provider: str
    level: Level
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rule that a check shows. `judge` says how good it is for that receiver, where that is not the check's own level."""

    text: str
    check: str
    judge: Callable[[Check], Level] = lambda check: check.level


def _works(check: Check) -> Level:
    """Good enough for the receiver: what could be better is the owner's affair."""
    return Level.GREEN if check.level is Level.AMBER and not check.unknown else check.level


_SPF = _Rule("SPF passes for the domain of the reverse-path", "ReversePath")
_DKIM = _Rule("Mail is signed with DKIM, by a key of 2048 bits or more", _SIGNING)
_DMARC = _Rule("There is a DMARC policy, p=none or stricter", "DMARC", _works)
_ALIGNED = _Rule("SPF or DKIM is aligned with the From address", "Alignment", _works)

_RULES: dict[str, tuple[_Rule, ...]] = {
    "gmail": (_SPF, _DKIM, _DMARC, _ALIGNED),
    "yahoo": (_SPF, _DKIM, _DMARC, _ALIGNED),
    "microsoft": (_SPF, _Rule("Mail is signed with DKIM", _SIGNING, _works), _DMARC, _ALIGNED),
}

SOURCES = {
    "gmail": "Email sender guidelines, support.google.com/a/answer/81126",
    "yahoo": "Sender requirements, senders.yahooinc.com/best-practices",
    "microsoft": "Outlook's requirements for high-volume senders, in force since 2025-05-05 (550 5.7.515)",
}

_SPAM = "Spam rate below 0.1 %, and never 0.3 % or more"
_UNSUBSCRIBE = "One-click unsubscribe (RFC 8058) in marketing mail, honoured within two days"
_PTR = "The address that mail leaves from has a PTR whose name leads back to it"
_FORMAT = "Messages follow RFC 5322: one From, one Message-ID that is never used twice, no header doubled"
_WATCH_PTR = "./postrider doctor looks at the routes; a smarthost answers for its own addresses"
_WATCH_FORMAT = "Postrider writes them so; mind the Message-ID when you set your own"
_WATCH_HEADERS = "set List-Unsubscribe and List-Unsubscribe-Post in headers of what people subscribed to"

# What no DNS shows, with what to watch.
NOT_MEASURED: dict[str, tuple[tuple[str, str], ...]] = {
    "gmail": (
        (_SPAM, "Google Postmaster Tools, postmaster.google.com"),
        (_UNSUBSCRIBE, _WATCH_HEADERS),
        (_PTR, _WATCH_PTR),
        ("Mail is handed over by TLS", "the timeline of a message says whether TLS was used"),
        (_FORMAT, _WATCH_FORMAT),
        ("Forwarders and lists add ARC headers and List-Id", "of no concern unless you forward mail"),
    ),
    "yahoo": (
        ("Spam rate below 0.3 %", "Yahoo Sender Hub and its complaint feedback loop, senders.yahooinc.com"),
        (_UNSUBSCRIBE, _WATCH_HEADERS),
        (_PTR, _WATCH_PTR),
        (_FORMAT, _WATCH_FORMAT),
    ),
    "microsoft": (
        ("A working unsubscribe link in mail that people subscribed to", _WATCH_HEADERS),
        ("Complaints and the reputation of the address", "SNDS and JMRP, sendersupport.olc.protection.outlook.com"),
        (_PTR, _WATCH_PTR),
        (_FORMAT, _WATCH_FORMAT),
    ),
}


def verdicts(document: DomainDocument, checks: Mapping[str, Check]) -> list[Verdict]:
    """The verdict of each receiver. A rule whose check is not there says nothing."""
    # What counts is the key that signs; the other slot is for the next rotation.
    signing = "DKIM" if active_slot(document) == 1 else "DKIM2"
    found = []
    for provider, rules in _RULES.items():
        points = []
        for rule in rules:
            check = checks.get(rule.check or signing)
            level = rule.judge(check) if check is not None else Level.GREEN
            if check is not None and level is not Level.GREEN:
                points.append(Point(rule.text, check.name, level, check.fix))
        found.append(Verdict(provider, worst(point.level for point in points), tuple(points)))
    return found
