"""Fault tables: test data that a person can read. The same rows drive tests and stand in docs/tests.md.

A test module that is named in MODULES has TABLES. `python -m tests.kit.fault_tables` writes them into docs/tests.md, between
`<!-- table: NAME -->` and `<!-- end of table -->`; a test sees to it that the page has what the tests have.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tests.md"
MODULES: tuple[str, ...] = (
    "tests.flows.test_smtp_fault_matrix",
    "tests.peers.test_host_killed",
    "tests.flows.test_storage_fault_table",
    "tests.flows.test_queue_fault_table",
    "tests.flows.test_clock_fault_table",
    "tests.flows.test_hostile_content",
    "tests.flows.dns_fault_table",
    "tests.flows.test_hostile_dns",
)
_PLACE = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


@dataclass(frozen=True)
class FaultTable:
    """Rows of text under columns; `name` is its place in docs/tests.md."""

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """The table as it stands on the page."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def fault_tables() -> Iterator[FaultTable]:
    """Those of all modules."""
    for module in MODULES:
        yield from importlib.import_module(module).TABLES


def with_tables(page: str) -> str:
    """The text of the page with every table as the tests have it. Raises KeyError for a place of an unknown table."""
    tables = {table.name: table.markdown() for table in fault_tables()}
    return _PLACE.sub(lambda place: f"{place[1]}\n{tables[place[2]]}\n{place[3]}", page)


def places(page: str) -> list[str]:
    """The names of the tables that have a place on the page."""
    return [name for _, name, _ in _PLACE.findall(page)]


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
