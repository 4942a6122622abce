"""CSV files of suppression lists: every wrong row is told by its line, and what is written reads the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_core.suppression.csv_file import MOST_FAULTS, MOST_ROWS, CsvFaults, guarded, read_csv, unguarded, write_csv
from email_core.suppression.customer_lists import ListedAddress

HEADER = "email,firstName,lastName,notes\r\n"
_texts = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=40)


def faults_of(content: str | bytes) -> list[tuple[int, str]]:
    with pytest.raises(CsvFaults) as raised:
        read_csv(content.encode() if isinstance(content, str) else content)
    return list(raised.value.faults)


def test_read_takes_columns_in_any_order_and_case_with_a_byte_order_mark_and_blank_lines() -> None:
    rows = read_csv("\ufeffNotes,EMAIL\nsaid no, Ann@Fabrikam.test \n\n,bob@fabrikam.test\n".encode())
    assert [(row.line, row.email, row.notes, row.first_name) for row in rows] == [
        (2, "Ann@Fabrikam.test", "said no", None),
        (4, "bob@fabrikam.test", "", None),
    ]


def test_read_tells_each_wrong_row_by_the_line_it_begins_on() -> None:
    content = HEADER + (
        "ann@fabrikam.test,Ann,A,ok\r\n"
        "no-address,,,\r\n"
        'bob@fabrikam.test,Bob,B,"a, quoted note"\r\n'
        "carl@fabrikam.test,Carl\r\n"
        "dora@fabrikam.test,Dora,D,one, two\r\n"
        '"two\nlines@fabrikam.test",,,\r\n'
        "erik@fabrikam.test,,,bell\x07\r\n"
    )
    told = faults_of(content)
    assert [line for line, _ in told] == [3, 5, 6, 7, 9]
    assert [words for _, words in told] == [
        'email has no "@": write it as name@example.com.',
        "It has 2 too few cells: quote those with a comma in them.",
        "It has 1 too many cells: quote those with a comma in them.",
        "email has a line break or another control character: remove it.",
        "notes has a line break or another control character: remove it.",
    ]


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("", 1, "begin with a header row"),
        ("ann@fabrikam.test\n", 1, "must be a header row with a column email"),
        ("email;notes\nann@fabrikam.test;x\n", 1, "commas, not semicolons"),
        ("email,phone\n", 1, "The column 'phone' is none of email, firstName, lastName, notes"),
        ("email,Email\n", 1, "The column email is there more than once"),
        ('email\n"ann@fabrikam.test\n', 2, "close it"),
        ('email\nann@fabrikam.test\n"a"b\n', 3, "It is no CSV"),
        (b"email\nann@fabrikam.test\n\xe4nn@fabrikam.test\n", 3, "It is not UTF-8"),
        ("email,notes\nann@fabrikam.test," + "x" * 1025, 2, "notes has 1025 characters: 1024 are allowed"),
    ],
    ids=["empty", "no header", "semicolons", "unknown column", "column twice", "open quote", "bad quote", "latin-1", "long"],
)
def test_read_of_what_is_no_such_file_names_line_and_remedy(content: str | bytes, line: int, words: str) -> None:
    [(found, told)] = faults_of(content)
    assert (found, words in told) == (line, True), told


def test_read_tells_only_so_many_faults_and_how_many_there_are() -> None:
    with pytest.raises(CsvFaults) as raised:
        read_csv(("email\n" + "nobody\n" * 500).encode())
    assert (len(raised.value.faults), raised.value.count) == (MOST_FAULTS, 500)


def test_read_of_more_rows_than_one_import_takes_is_refused() -> None:
    content = "email\n" + "".join(f"a{number}@fabrikam.test\n" for number in range(MOST_ROWS + 1))
    assert faults_of(content) == [(MOST_ROWS + 2, f"There are more than {MOST_ROWS} rows: import the file in parts.")]


def test_read_of_more_wrong_rows_than_one_import_takes_ends_there() -> None:
    with pytest.raises(CsvFaults) as faults:
        read_csv(b"email\n" + b"a\n" * (MOST_ROWS + 1_000_000))
    assert faults.value.faults[0][0] == MOST_ROWS + 2
    assert "import the file in parts" in str(faults.value)


def test_write_keeps_formulas_from_spreadsheets() -> None:
    listed = ListedAddress("1", "=cmd@fabrikam.test", "+1", "-2", "@SUM(A1)")
    assert write_csv([listed]).decode() == HEADER + "'=cmd@fabrikam.test,'+1,'-2,'@SUM(A1)\r\n"


@pytest.mark.parametrize("cell", ["=1", "'=1", "''=1", "'plain", "plain", "", "'", "-", "a=1"])
def test_guarded_cell_reads_as_it_was(cell: str) -> None:
    assert unguarded(guarded(cell)) == cell
    assert guarded(cell)[:1] not in tuple("=+-@")


@given(_texts, _texts, _texts)
def test_file_that_was_written_reads_the_same(first: str, last: str, notes: str) -> None:
    [row] = read_csv(write_csv([ListedAddress("1", "-x@fabrikam.test", first, last, notes)]))
    assert (row.email, row.first_name, row.last_name, row.notes) == ("-x@fabrikam.test", first, last, notes)
