"""One check of a domain's health: what was found, how good that is, and what its owner does about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from email_core.domains.dns_faults import DnsFault, Finding
from email_core.domains.records import DnsRecord, zone_lines

MOST_FOUND = 4  # values that a check quotes
LONGEST_FOUND = 200  # characters of each

# An SPF record with one of these lets our mail pass all the same: it says too little about the mail of others.
LOOSE_SPF = frozenset({DnsFault.SPF_SOFT_FAIL, DnsFault.SPF_NEUTRAL, DnsFault.SPF_NO_ALL, DnsFault.SPF_OPEN})


class Level(StrEnum):
    """How good something is."""

    GREEN = "green"
    AMBER = "amber"  # mail goes out, and something should be better; or nobody could tell
    RED = "red"  # receivers refuse mail for it, or take it for forged


_ORDER = (Level.GREEN, Level.AMBER, Level.RED)


def worst(levels: Iterable[Level]) -> Level:
    """The worst of them; green when there are none."""
    return max(levels, key=_ORDER.index, default=Level.GREEN)


@dataclass(frozen=True, slots=True)
class Check:
    """One check. `source` is the rule that it follows. What is not `required` does not count in the whole report.

    `unknown`: the DNS could not tell.
    """

    name: str
    level: Level
    found: tuple[str, ...] = ()
    reason: str = ""
    fix: str = ""
    source: str = ""
    required: bool = True
    unknown: bool = False


def level_of(finding: Finding) -> Level:
    """How good the look at one record is. That nobody could tell is no fault of the record."""
    if finding.temporary:
        return Level.AMBER
    if finding.code in LOOSE_SPF:
        return Level.RED if finding.code is DnsFault.SPF_OPEN else Level.AMBER
    return Level.GREEN if finding.verified else Level.RED


def fix_with(remedy: str, record: DnsRecord | None) -> str:
    """What to do, with the record as a line of a zone file when there is one to publish."""
    return f"{remedy} The record: {zone_lines([record])[0]}".strip() if record is not None else remedy


def quoted(values: Iterable[str]) -> tuple[str, ...]:
    """Values as a report holds them: a few, of bounded length."""
    kept = tuple(values)[:MOST_FOUND]
    return tuple(value if len(value) <= LONGEST_FOUND else f"{value[:LONGEST_FOUND]}…" for value in kept)
