"""`./postrider suppression`: addresses that get no mail, over the management API."""

from __future__ import annotations

import argparse
import csv
import io
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from email_core.message.address import AddressError, parse_address
from email_core.suppression.csv_file import guarded
from local import arm_scope
from local.administering import administer, failed, meant, tell
from local.arm_client import DONE, REFUSED, ArmClient, ServiceRefused, UsageError
from local.domain_view import moment
from local.table import printable, table

_PAGE = "1000"
_LINE = re.compile(r"\bline (\d+):", re.IGNORECASE)


def suppression(options: argparse.Namespace, root: Path) -> int:
    """The exit status: 0 done, 1 refused or not found, 2 a wrong command line, 3 nothing running."""
    actions: dict[str, Callable[[ArmClient, argparse.Namespace], int]] = {
        "list": _list, "add": _add, "remove": _remove, "import": _import, "export": _export, "managed": _managed,
    }  # fmt: skip
    return administer(actions[options.action], options, root)


def _list(client: ArmClient, options: argparse.Namespace) -> int:
    domain = arm_scope.domain(client, options, options.domain)
    if options.list is None:
        lists = list(client.list(f"{domain['id']}/suppressionLists"))
        return tell(options, lists, lambda: _list_lines(lists, options.domain))
    addresses = _addresses(client, f"{domain['id']}/suppressionLists/{options.list}")
    return tell(options, addresses, lambda: _address_lines(addresses))


def _list_lines(lists: Sequence[Mapping[str, Any]], domain: str) -> Iterator[str]:
    if not lists:
        yield f"{domain} has no lists: ./postrider suppression add makes one."
        return
    rows = [(each["name"], each["properties"].get("listName") or "all senders", _changed(each)) for each in lists]
    yield from table(("LIST", "FOR", "CHANGED"), rows)


def _changed(found: Mapping[str, Any]) -> str:
    text = found["properties"].get("lastUpdatedTimeStamp") or found.get("systemData", {}).get("lastModifiedAt", "")
    return moment(text) if text else ""


def _address_lines(addresses: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    rows = []
    for each in addresses:
        properties = each["properties"]
        name = " ".join(part for part in (properties.get("firstName"), properties.get("lastName")) if part)
        rows.append((properties["email"], name, properties.get("notes") or ""))
    yield from table(("ADDRESS", "NAME", "NOTES"), rows) if rows else ("There is nobody on it.",)


def _add(client: ArmClient, options: argparse.Namespace) -> int:
    for word in (*options.addresses, options.notes or "-"):
        if not word.strip() or printable(word) != word:
            raise UsageError(f"{word!r} is empty, or has a line break or another character that nobody sees")
    columns = ["email", *(["notes"] if options.notes is not None else [])]
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    more = [] if options.notes is None else [guarded(options.notes)]  # else an apostrophe at its beginning were taken off
    writer.writerows([guarded(address), *more] for address in options.addresses)
    try:
        return _take_in(client, options, text.getvalue().encode())
    except ServiceRefused as refused:
        if refused.code != "InvalidCsv":
            raise
        # There is no file whose lines would tell anything: the first address stands on the second line of ours.
        told = _LINE.sub(lambda line: f"{options.addresses[int(line[1]) - 2]!r}:", str(refused))
        return failed(told, REFUSED)


def _import(client: ArmClient, options: argparse.Namespace) -> int:
    try:
        content = sys.stdin.buffer.read() if str(options.file) == "-" else options.file.read_bytes()
    except OSError as error:
        raise UsageError(f"{options.file} cannot be read: {error.strerror}") from error
    return _take_in(client, options, content)


def _take_in(client: ArmClient, options: argparse.Namespace, content: bytes) -> int:
    """Addresses as CSV: the service takes all of them or none, and names the lines that are wrong."""
    path = _list_path(client, options)
    answer = client.call("POST", f"{path}/import", raw=content, content_type="text/csv").body
    counts = ", ".join(f"{answer[name]} {words}" for name, words in _COUNTS if name in answer)
    return tell(options, answer, lambda: [f"{options.list}: {counts}"])


_COUNTS = (("imported", "new"), ("updated", "changed"), ("unchanged", "there already"))


def _list_path(client: ArmClient, options: argparse.Namespace) -> str:
    """The list, made when it is absent and the options say for whom."""
    if options.sender and options.whole_domain:
        raise UsageError("a list is for one --sender or for the --whole-domain")
    domain = arm_scope.domain(client, options, options.domain)
    path = f"{domain['id']}/suppressionLists/{options.list}"
    if client.find(path) is None:
        if not options.sender and not options.whole_domain:
            raise arm_scope.NotFound(
                f"there is no list {options.list}: give --sender USERNAME or --whole-domain to make it, "
                f"or see ./postrider suppression list {options.domain}"
            )
        client.put(path, {"properties": {"listName": options.sender} if options.sender else {}})
    return path


def _remove(client: ArmClient, options: argparse.Namespace) -> int:
    domain = arm_scope.domain(client, options, options.domain)
    path = f"{domain['id']}/suppressionLists/{options.list}"
    if not options.addresses:
        meant(options, f"The list {path} will be deleted with all that is on it.")
        if not client.delete(path):
            raise arm_scope.NotFound(f"there is no list {options.list}")
        return tell(options, {"removed": [options.list]}, lambda: [f"{options.list}: removed"])
    wanted = {_normalised(address): address for address in options.addresses}
    found = {_normalised(each["properties"]["email"]): each for each in _addresses(client, path)}
    missing = [address for normalised, address in wanted.items() if normalised not in found]
    if missing:
        raise arm_scope.NotFound(f"not on the list {options.list}: {', '.join(missing)}; nothing was removed")
    for normalised in wanted:
        client.delete(found[normalised]["id"])
    return tell(options, {"removed": list(wanted.values())}, lambda: [f"{address}: removed" for address in wanted.values()])


def _normalised(address: str) -> str:
    """As the service compares addresses."""
    try:
        return parse_address(address).key
    except AddressError:
        return address


def _export(client: ArmClient, options: argparse.Namespace) -> int:
    domain = arm_scope.domain(client, options, options.domain)
    content = client.call("GET", f"{domain['id']}/suppressionLists/{options.list}/export").content
    if options.file is None or str(options.file) == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
        return DONE
    try:
        options.file.write_bytes(content)
    except OSError as error:
        raise UsageError(f"{options.file} cannot be written: {error.strerror}") from error
    number = max(sum(1 for _ in csv.reader(io.StringIO(content.decode(), newline=""))) - 1, 0)
    told = f"{options.file}: {number} address{'' if number == 1 else 'es'}"
    return tell(options, {"file": str(options.file), "addresses": number}, lambda: [told])


def _managed(client: ArmClient, options: argparse.Namespace) -> int:
    wanted = options.remove or options.address
    query = {"address": wanted} if wanted else {"$top": _PAGE}
    entries = list(client.list(f"{client.of_subscription}/managedSuppressions", **query))
    if not options.remove:
        return tell(options, entries, lambda: _managed_lines(entries))
    if not entries:
        raise arm_scope.NotFound(f"{wanted} is not suppressed by the service")
    for entry in entries:
        client.delete(entry["id"])
    return tell(options, {"removed": wanted}, lambda: [f"{printable(wanted)}: mail may go there again"])


def _managed_lines(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not entries:
        yield "Nothing is suppressed."
        return
    rows = []
    for entry in entries:
        properties = entry["properties"]
        why = properties.get("reply") or properties["reason"]
        rows.append((properties["email"], moment(properties["expiresOn"]), properties["bounces"], why))
    yield from table(("ADDRESS", "UNTIL", "BOUNCES", "WHY"), rows)


def _addresses(client: ArmClient, path: str) -> list[dict[str, Any]]:
    try:
        return list(client.list(f"{path}/suppressionListAddresses", **{"$top": _PAGE}))
    except ServiceRefused as refused:
        if refused.status == 404:
            raise arm_scope.NotFound(f"there is no list {path.rpartition('/')[2]}") from refused
        raise
