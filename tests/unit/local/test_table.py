"""Tables for people: columns that stand below each other, whatever is in them."""

from __future__ import annotations

import pytest

from local.table import table


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        pytest.param("ann", 3, id="ascii"),
        pytest.param("M\u00fcnchen", 7, id="letters"),
        pytest.param("\u6771\u4eac", 4, id="wide"),
        pytest.param("u\u0308ber", 4, id="combining"),
        pytest.param("\uff21", 2, id="fullwidth"),
        pytest.param("a\u202eb\x1b", 4, id="unseen"),
    ],
)
def test_table_pads_by_the_columns_of_a_terminal(text: str, columns: int) -> None:
    heading, row, other = table(("NAME", "X"), [(text, "x"), ("as wide as this", "x")])
    assert heading == f"{'NAME':<15}  X"
    assert other == "as wide as this  x"
    shown = row.removesuffix("x")
    assert len(shown.rstrip()) + shown[::-1].index(shown.rstrip()[-1]) == len(shown)
    assert columns + len(shown) - len(shown.rstrip()) == 17
