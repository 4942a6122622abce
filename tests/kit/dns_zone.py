"""A fake DNS: a zone written as a dict, behind the Resolver protocol.

    ZoneResolver({
        "example.invalid": {"MX": [(10, "mx.example.invalid")]},
        "mx.example.invalid": {"A": ["127.0.0.1"]},
        "broken.invalid": SERVFAIL,
    })

A name that is not in the zone does not exist; one that is there without a type has no records of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from email_core.dns.answers import Answer, Found, MxRecord, NoDomain, NoRecords, TemporaryFailure


class Trouble(Enum):
    """What a name server can do instead of answering."""

    SERVFAIL = "SERVFAIL"
    SILENCE = "silence"  # nobody ever answers


SERVFAIL = Trouble.SERVFAIL
SILENCE = Trouble.SILENCE

Zone = Mapping[str, Mapping[str, Sequence[Any] | Trouble] | Trouble]


class ZoneResolver:
    """Answers from a zone, and remembers the questions as `name type`."""

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self.questions: list[str] = []

    async def mx(self, domain: str) -> Answer[MxRecord]:
        answer = await self._records(domain, "MX")
        if isinstance(answer, Found):
            return Found(tuple(MxRecord(preference, host) for preference, host in answer.records), answer.ttl)
        return answer

    async def addresses(self, host: str) -> Answer[str]:
        four, six = await self._records(host, "A"), await self._records(host, "AAAA")
        found = [answer for answer in (four, six) if isinstance(answer, Found)]
        if found:
            return Found(tuple(record for answer in found for record in answer.records), 60.0)
        return six if isinstance(six, TemporaryFailure) else four

    async def txt(self, domain: str) -> Answer[str]:
        return await self._records(domain, "TXT")

    async def _records(self, name: str, kind: str) -> Answer[Any]:
        self.questions.append(f"{name} {kind}")
        entry = self._zone.get(name)
        if entry is None:
            return NoDomain()
        records = entry if isinstance(entry, Trouble) else entry.get(kind, ())
        if records is SILENCE:
            await asyncio.Event().wait()
        if isinstance(records, Trouble):
            return TemporaryFailure(f"{name} {kind}: SERVFAIL")
        return Found(tuple(records), 60.0) if records else NoRecords()
