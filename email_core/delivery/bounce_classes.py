"""What a reply means: its bounce class and what follows for the recipient, by the rules of bounce_classes.toml.

Phrases instead of regular expressions: a rule reads as it looks, and the time to match one is linear in the reply whatever
a hostile server sends.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from email_core.delivery.outcome import Disposition, Reply, Stage
from email_core.delivery.reply import MAX_TEXT, temporary_by_default

RULES_FILE = Path(__file__).with_name("bounce_classes.toml")

# A refusal here is about us or about this host. Another host, or the operator, may set it right, so mail waits: in line
# with what Postfix does about a 5yz greeting.
BEFORE_MAIL = frozenset({Stage.CONNECT, Stage.BANNER, Stage.EHLO, Stage.STARTTLS, Stage.AUTH})

ASKED_FOR_EXTRA = 10.0  # seconds on top of what a receiver asked for: its clock is not ours
ASKED_FOR_LEAST = 60.0
ASKED_FOR_MOST = 4 * 3600.0  # whoever asks for more would make a message expire

_STATUS_PATTERN = re.compile(r"([45x])\.(\d{1,3})\.(\d{1,3}|\*)(?:-(\d{1,3}))?")
_asked_for = re.compile(r"(\d{1,6}) ?(s|m|h)(?:ec|econd|in|inute|our|r)?s?\b", re.ASCII)
_asked_for_clock = re.compile(r"\bin (\d\d):(\d\d):(\d\d)\b", re.ASCII)
# Each of these takes time linear in the text: no two parts of one can match the same characters.
_in_brackets = re.compile(r"<[^<>@]*@[^<>]*>")
_word = re.compile(r"[^\s<>()\[\]{},;:\"'=]+")
_host_name = re.compile(r"[a-z0-9_.-]+")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


class StatusPattern(NamedTuple):
    """Enhanced status codes that a rule is for: a class digit or `x`, a subject, and a range of details."""

    digit: str
    subject: int
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class BounceRule:
    """One rule. Empty conditions hold for every reply; `disposition` is that of a permanent reply."""

    name: str
    bounce_class: str
    disposition: Disposition
    mx: tuple[str, ...] = ()
    text: tuple[tuple[str, ...], ...] = ()
    status: tuple[StatusPattern, ...] = ()
    code: frozenset[int] = frozenset()
    stage: frozenset[Stage] = frozenset()
    unless: tuple[StatusPattern, ...] = ()
    suppress: bool = False
    suppress_after: int = 1
    pause: float = 0.0  # seconds
    retry: bool = False

    def fits(self, reply: Reply | None, text: str, stage: Stage, mx_host: str) -> bool:
        """Whether this rule is for that reply; `text` is the reply's, prepared by `_comparable`."""
        if self.stage and stage not in self.stage:
            return False
        if self.mx and not any(_below(mx_host, suffix) for suffix in self.mx):
            return False
        if not (self.code or self.status or self.text):
            return True
        if reply is None or (self.code and reply.code not in self.code):
            return False
        if self.status and not any(_has_status(reply.enhanced, pattern) for pattern in self.status):
            return False
        if any(_has_status(reply.enhanced, pattern) for pattern in self.unless):
            return False
        return not self.text or any(_has_phrase(text, phrase) for phrase in self.text)


@dataclass(frozen=True, slots=True)
class Classification:
    """What follows from a reply. `retry_after` is in seconds, 0 when neither the receiver nor the rule asks for a pause."""

    bounce_class: str
    rule: str
    disposition: Disposition
    suppress: bool = False
    retry_after: float = 0.0


def classify(reply: Reply | None, *, stage: Stage, mx_host: str = "", recipients: Iterable[str] = ()) -> Classification:
    """What a refusal, or a failure without a reply, means for the recipients (addresses) that it is about."""
    host = mx_host.lower().rstrip(".")
    # What the DNS came to is told in our own words, around names that anybody may have chosen; its codes say it all.
    text = _without_names(_comparable(reply.text), host, recipients) if reply and stage is not Stage.DNS else ""
    rule = next(rule for rule in bounce_rules() if rule.fits(reply, text, stage, host))
    if reply is None and rule.name == "default":
        return Classification("network", "no-reply", Disposition.DEFERRED)
    if temporary_by_default(reply) or stage in BEFORE_MAIL or rule.retry:
        return Classification(rule.bounce_class, rule.name, Disposition.DEFERRED, retry_after=_pause(rule, text))
    # Before RCPT no reply is about one address, whatever its code says.
    suppress = rule.suppress and stage in (Stage.RCPT, Stage.DATA, Stage.FINAL_DOT)
    return Classification(rule.bounce_class, rule.name, rule.disposition, suppress=suppress)


@cache
def bounce_rules() -> tuple[BounceRule, ...]:
    """All rules in the order in which they are tried; the last one fits everything."""
    return load_rules(RULES_FILE.read_bytes().decode())


def bounces_believed(rule: str) -> int:
    """How many bounces by a rule it takes until the address is suppressed; one for a rule that is not there any more."""
    return next((each.suppress_after for each in bounce_rules() if each.name == rule), 1)


def load_rules(text: str) -> tuple[BounceRule, ...]:
    """The rules of a file. Raises ValueError that names the rule and what is wrong with it."""
    document = tomllib.loads(text)
    classes = {name: Disposition(facts["disposition"]) for name, facts in document.pop("class").items()}
    rules = [
        _rule(entry, classes, needs="", mx=tuple(provider["mx"]))
        for provider in document.pop("provider", [])
        for entry in provider["rule"]
    ]
    for section in ("text", "status", "code", "stage"):
        rules += [_rule(entry, classes, needs=section) for entry in document.pop(section, [])]
    if document:
        raise ValueError(f"unknown sections: {', '.join(document)}")
    names = [rule.name for rule in rules]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"more than one rule is called {', '.join(sorted(twice))}")
    return (*rules, BounceRule("default", "unknown", classes["unknown"]))


_CONDITIONS = frozenset({"text", "status", "code", "stage"})
_KEYS = _CONDITIONS | {"name", "unless", "class", "suppress", "suppress_after", "pause", "retry"}


def _rule(entry: Mapping[str, Any], classes: Mapping[str, Disposition], *, needs: str, mx: Sequence[str] = ()) -> BounceRule:
    name = str(entry.get("name", "a rule without a name"))
    if unknown := entry.keys() - _KEYS:
        raise ValueError(f"{name}: unknown keys {', '.join(sorted(unknown))}")
    if entry.get("class") not in classes:
        raise ValueError(f"{name}: its class is not in [class]")
    if (needs and not entry.get(needs)) or not entry.keys() & _CONDITIONS:
        raise ValueError(f"{name}: a rule of [[{needs or 'provider'}]] must name {needs or 'a condition'}")
    disposition = classes[entry["class"]]
    if entry.get("suppress") and disposition is not Disposition.BOUNCED:
        raise ValueError(f"{name}: only a class of bounces says that an address takes no mail")
    return BounceRule(
        name=name,
        bounce_class=entry["class"],
        disposition=disposition,
        mx=tuple(suffix.lower() for suffix in mx),
        text=tuple(_phrase(name, phrase) for phrase in entry.get("text", ())),
        status=tuple(_status_pattern(name, pattern) for pattern in entry.get("status", ())),
        code=frozenset(entry.get("code", ())),
        stage=frozenset(Stage(stage) for stage in entry.get("stage", ())),
        unless=tuple(_status_pattern(name, pattern) for pattern in entry.get("unless", ())),
        suppress=bool(entry.get("suppress", False)),
        suppress_after=int(entry.get("suppress_after", 1)),
        pause=float(entry.get("pause", 0.0)),
        retry=bool(entry.get("retry", False)),
    )


def _phrase(name: str, phrase: str) -> tuple[str, ...]:
    if not phrase.strip() or _comparable(phrase) != phrase.strip():
        raise ValueError(f"{name}: write {phrase!r} in lower case with single blanks, or it never matches")
    return tuple(phrase.split(" * "))


def _status_pattern(name: str, pattern: str) -> StatusPattern:
    found = _STATUS_PATTERN.fullmatch(pattern)
    if not found:
        raise ValueError(f"{name}: {pattern!r} is no status pattern: write 5.1.1, x.1.1, 5.7.606-649 or x.6.*")
    digit, subject, detail, most = found.groups()
    if detail == "*":
        return StatusPattern(digit, int(subject), 0, 999)
    return StatusPattern(digit, int(subject), int(detail), int(most or detail))


def _comparable(text: str) -> str:
    return " ".join(text[: 2 * MAX_TEXT].lower().split())


def _without_names(text: str, host: str, recipients: Iterable[str]) -> str:
    """The text with `@` for every address, and for the names of the host and of the recipients' domains and below.

    A receiver quotes whom it refuses, and `dmarc@example.com` says nothing of DMARC.
    """
    names = {host} - {""}
    for address in sorted((address.lower() for address in recipients), key=len, reverse=True):
        local, _, domain = address.rpartition("@")
        names.add(domain)
        for quoted in (address, f"<{local}>"):
            text = text.replace(quoted, "@")
    text = _in_brackets.sub("@", text.replace("%40", "@"))
    text = _word.sub(lambda word: "@" if "@" in word[0] else word[0], text)
    return _host_name.sub(lambda name: "@" if _is_below_any(name[0].strip("."), names) else name[0], text)


def _is_below_any(name: str, names: set[str]) -> bool:
    labels = name.split(".")
    return any(".".join(labels[start:]) in names for start in range(len(labels)))


def _below(host: str, suffix: str) -> bool:
    return host == suffix or host.endswith(f".{suffix}")


def _has_status(enhanced: str, pattern: StatusPattern) -> bool:
    if not enhanced:
        return False
    digit, subject, detail = enhanced.split(".")
    return pattern.digit in ("x", digit) and int(subject) == pattern.subject and pattern.least <= int(detail) <= pattern.most


def _has_phrase(text: str, pieces: tuple[str, ...]) -> bool:
    position = 0
    for piece in pieces:
        position = text.find(piece, position)
        if position < 0:
            return False
        position += len(piece)
    return True


def _pause(rule: BounceRule, text: str) -> float:
    if rule.bounce_class == "greylisted":
        return _pause_asked_for(text) or rule.pause
    # Who limits our rate names the least; the rule knows what really helps.
    return max(rule.pause, _pause_asked_for(text)) if rule.bounce_class == "rate_limited" else rule.pause


def _pause_asked_for(text: str) -> float:
    if found := _asked_for.search(text):
        seconds = float(found[1]) * _SECONDS[found[2]]
    elif found := _asked_for_clock.search(text):
        seconds = int(found[1]) * 3600.0 + int(found[2]) * 60 + int(found[3])
    else:
        return 0.0
    return min(max(seconds + ASKED_FOR_EXTRA, ASKED_FOR_LEAST), ASKED_FOR_MOST)
