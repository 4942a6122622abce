"""The tables of operations in the documentation are those that the code serves, each where the table says."""

from __future__ import annotations

import re
from functools import partial

from email_core.administration.handlers import HANDLERS
from email_core.management.operations import OPERATIONS, Operation
from tests.layout.sources import ROOT

_PREFIXES = {
    "S": "/subscriptions/{}/providers/Microsoft.Communication",
    "B": "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Communication",
    "C": "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Communication/communicationServices/{}",
    "D": "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Communication/emailServices/{}/domains/{}",
}


def rows() -> dict[str, tuple[str, str]]:
    """Request and file of each operation, as docs/specifications.md has them."""
    text = (ROOT / "docs" / "specifications.md").read_text(encoding="utf-8")
    found = re.findall(r"^\|(?: \d+ \|)? `(\w+_\w+)` \| `([A-Z]+ \S+)` \|.*?`(administration/\w+\.py)`", text, re.MULTILINE)
    assert len(found) == len({name for name, _, _ in found}), "an operation is there twice"
    return {name: (request, file) for name, request, file in found}


def numbered() -> list[tuple[int, str]]:
    text = (ROOT / "docs" / "specifications.md").read_text(encoding="utf-8")
    return [(int(number), name) for number, name in re.findall(r"^\| (\d+) \| `(\w+_\w+)` \|", text, re.MULTILINE)]


def request_of(operation: Operation) -> str:
    return f"{operation.method} {re.sub(r'{.*?}', '{}', operation.template)}"


def written_out(request: str) -> str:
    """A request of the table with its abbreviation written out, and without the names of parameters."""
    method, _, path = request.partition(" ")
    first, slash, rest = re.sub(r"{.*?}", "{}", path).partition("/")
    return f"{method} {_PREFIXES.get(first, first)}{slash}{rest}"


def file_of(operation: Operation) -> str:
    handler = HANDLERS[operation.name]
    while isinstance(handler, partial):
        handler = handler.func
    return f"{handler.__module__.removeprefix('email_core.').replace('.', '/')}.py"


def test_operations_of_the_docs_are_those_of_the_code() -> None:
    assert {name: written_out(request) for name, (request, _) in rows().items()} == {
        operation.name: request_of(operation) for operation in OPERATIONS
    }


def test_operations_of_the_docs_are_in_the_files_that_are_named() -> None:
    assert {name: file for name, (_, file) in rows().items()} == {
        operation.name: file_of(operation) for operation in OPERATIONS
    }


def test_operations_of_acs_are_numbered_and_complete() -> None:
    official = [operation.name for operation in OPERATIONS if not operation.ours]
    assert numbered() == list(enumerate(official, start=1))
    assert len(official) == 41
