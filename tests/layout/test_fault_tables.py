"""The fault tables of docs/tests.md are those that drive the tests."""

from __future__ import annotations

from tests.kit.fault_tables import PAGE, fault_tables, places, with_tables


def test_fault_tables_on_the_page_are_those_of_the_tests() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert with_tables(page) == page, "run: python -m tests.kit.fault_tables"


def test_fault_tables_of_the_tests_all_have_a_place_on_the_page() -> None:
    tables = list(fault_tables())

    assert sorted(places(PAGE.read_text(encoding="utf-8"))) == sorted(table.name for table in tables)
    assert all(len(row) == len(table.columns) for table in tables for row in table.rows)
