"""How many DNS lookups an SPF record costs a receiver (RFC 7208 section 4.6.4), with everything that it includes.

The most that a record can cost: that of mail which nothing in it matches. Names that differ for each mail (macros) are counted
and not asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from email_core.dns.looks import Look, LookStatus
from email_core.domains.spf import SpfRecord, Term, parse_spf, spf_values

MOST_LOOKUPS = 10  # RFC 7208 section 4.6.4
MOST_VOID = 2  # ibid.: lookups that find nothing
LIFETIME = 15.0  # seconds for all together: a server may let us wait for each, and a record is asked for after the one above
_STOP = 40  # lookups after which counting ends: what is wrong is known by then, and a hostile tree has no end
_COUNTED = ("include", "a", "mx", "ptr", "exists", "redirect")
_QUESTIONS = {"a": "A", "mx": "MX", "exists": "A"}

Ask = Callable[[str, str], Awaitable[Look]]


@dataclass(frozen=True, slots=True)
class SpfCount:
    """`includes` are the domains whose senders pass, `void` the names that led to nothing, `broken` includes without a record.

    `loop` is the domain through which the record comes back to itself, `failed` why a lookup could not be made.
    """

    lookups: int
    includes: frozenset[str] = frozenset()
    void: tuple[str, ...] = ()
    broken: str = ""
    loop: str = ""
    failed: str = ""


@dataclass
class _Tally:
    lookups: int = 0
    includes: set[str] = field(default_factory=set)
    void: list[str] = field(default_factory=list)
    broken: str = ""
    loop: str = ""
    failed: str = ""


async def count_lookups(record: SpfRecord, domain: str, ask: Ask) -> SpfCount:
    """Count those of a domain's record. `ask` looks for records of a type at a name, and does not raise."""
    tally = _Tally()
    try:
        async with asyncio.timeout(LIFETIME):
            await _count(record, (domain,), "+", tally, ask)
    except TimeoutError:
        tally.failed = tally.failed or f"the lookups of the SPF record of {domain} take longer than {LIFETIME:g} seconds"
    return SpfCount(
        tally.lookups, frozenset(tally.includes), tuple(tally.void), tally.broken, tally.loop, tally.failed
    )  # fmt: skip


async def _count(record: SpfRecord, path: tuple[str, ...], qualifier: str, tally: _Tally, ask: Ask) -> None:
    # Questions of one record at once, of records below one another in turn: so the limit stops a tree without end.
    terms = [term for term in record.effective if term.name in _COUNTED]
    tally.lookups += len(terms)
    if tally.lookups > _STOP:
        return
    await asyncio.gather(*(_follow(term, path, qualifier, tally, ask) for term in terms))


async def _follow(term: Term, path: tuple[str, ...], qualifier: str, tally: _Tally, ask: Ask) -> None:
    name = term.value or path[-1]
    if "%" in name or term.name == "ptr":
        return
    if term.name in _QUESTIONS:
        _note_void(name, await ask(name, _QUESTIONS[term.name]), tally)
        return
    passes = qualifier if term.name == "redirect" or term.qualifier == "+" else ""
    if name in path:
        tally.loop = tally.loop or name
        return
    look = await ask(name, "TXT")
    if look.failed:
        tally.failed = tally.failed or look.reason
        return
    _note_void(name, look, tally)
    values = spf_values(look.records)
    below = parse_spf(values[0]) if len(values) == 1 else None
    if below is None or below.invalid:
        tally.broken = tally.broken or name
        return
    if passes:
        tally.includes.add(name)
    await _count(below, (*path, name), passes, tally, ask)


def _note_void(name: str, look: Look, tally: _Tally) -> None:
    if look.status in (LookStatus.NO_DOMAIN, LookStatus.NO_RECORDS) and name not in tally.void:
        tally.void.append(name)
    elif look.failed:
        tally.failed = tally.failed or look.reason
