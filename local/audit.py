"""`./postrider audit`: who changed what, over the management API."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from local.administering import administer, tell
from local.arm_client import DONE, REFUSED, ArmClient, UsageError
from local.domain_view import moment
from local.table import printable, table

_LONGEST_VALUE = 60  # characters shown of a value


def audit(options: argparse.Namespace, root: Path) -> int:
    """The exit status: 0 done (or the log holds), 1 refused (or it does not), 2 a wrong command line, 3 nothing running."""
    return administer(_verify if options.verify else _list, options, root)


def _list(client: ArmClient, options: argparse.Namespace) -> int:
    if options.top < 0:
        raise UsageError("--top is a number of entries, 0 for all of them")
    query = {"resourceId": options.resource} if options.resource else {}
    found = []
    for entry in client.list(f"{client.of_subscription}/auditEvents", **query):
        found.append(entry)
        if len(found) == options.top:
            break
    return tell(options, found, lambda: _lines(found))


def _lines(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not entries:
        yield "There are no entries."
        return
    rows = []
    for entry in entries:
        properties = entry["properties"]
        what = properties["resourceId"].rpartition("/providers/Microsoft.Communication/")[2]
        when, who = moment(properties["timestamp"]), properties["caller"]
        rows.append((when, who, properties["operationName"], what, _told(properties)))
    yield from table(("WHEN", "WHO", "OPERATION", "WHAT", "CHANGED"), rows)


def _told(properties: Mapping[str, Any]) -> str:
    changes = properties.get("changes")
    if properties.get("text") or not isinstance(changes, Mapping):
        return str(properties.get("text") or changes or "")
    return ", ".join(f"{name}: {_short(pair['before'])} -> {_short(pair['after'])}" for name, pair in changes.items())


def _short(value: object) -> str:
    text = "nothing" if value is None else printable(str(value))
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def _verify(client: ArmClient, options: argparse.Namespace) -> int:
    """Read all of the chain, and check here that each entry has the hash of what it says, and names the one before it."""
    if options.resource:
        raise UsageError("--verify looks at all of the log: leave --resource out")
    entries: list[Mapping[str, Any]] = []
    broken: list[int] = []
    verified = True
    for page in client.pages(f"{client.of_subscription}/auditEvents", **{"$top": "1000"}):
        verified = verified and page.get("verified") is True
        for properties in (entry["properties"] for entry in page.get("value", ())):
            entries.append({name: properties[name] for name in ("sequence", "hash", "previousHash")})
            broken += [] if _says_what_is_hashed(properties) else [properties["sequence"]]
    broken += [newer["sequence"] for newer, older in pairwise(entries) if not _follows(newer, older)]
    if entries and entries[-1]["sequence"] != 1:
        broken.append(entries[-1]["sequence"])
    broken = sorted(set(broken), reverse=True)
    holds = verified and not broken
    head = entries[0] if entries else {}
    result = {"verified": holds, "entries": len(entries), "head": head.get("hash"), "broken": broken}
    tell(options, result, lambda: _verdict(result))
    return DONE if holds else REFUSED


_SHOWN = {
    "sequence": "sequence", "at": "timestamp", "principalKind": "callerKind", "principal": "caller",
    "objectId": "callerObjectId", "tenant": "callerTenantId", "operation": "operationName", "resource": "resourceId",
    "requestId": "requestId", "outcome": "outcome", "text": "text", "previous": "previousHash",
}  # fmt: skip


def _says_what_is_hashed(properties: Mapping[str, Any]) -> bool:
    """Whether the hash of an entry is that of the text it comes with, and the text says what is shown."""
    hashed = str(properties.get("hashed", ""))
    if hashlib.sha256(hashed.encode()).hexdigest() != properties["hash"]:
        return False
    members, changes = json.loads(hashed), properties["changes"]
    if isinstance(changes, Mapping):
        changes = json.dumps({name: [pair["before"], pair["after"]] for name, pair in changes.items()}, sort_keys=True)
        members["changes"] = json.dumps(json.loads(members["changes"]), sort_keys=True)
    shown = {**{name: properties[other] for name, other in _SHOWN.items()}, "changes": changes}
    return all(members[name] == value for name, value in shown.items())


def _follows(newer: Mapping[str, Any], older: Mapping[str, Any]) -> bool:
    return bool(newer["previousHash"] == older["hash"] and newer["sequence"] == older["sequence"] + 1)


def _verdict(result: Mapping[str, Any]) -> Iterator[str]:
    if not result["verified"]:
        where = f" at {', '.join(map(str, result['broken']))}" if result["broken"] else ""
        yield f"The log does not hold{where}: entries were changed or taken out by somebody with access to the storage."
        return
    yield f"The log holds: {result['entries']} entries, each of which names the one before it."
    if result["head"]:
        yield f"The newest has the hash {result['head']}; the mail log has it as well, as `audited`, should entries be cut off."
