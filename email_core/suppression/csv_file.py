"""A customer list as a CSV file (RFC 4180): read with every wrong row told by its line, and written so that it reads the same.

A cell that a spreadsheet would take for a formula gets an apostrophe before it, which is taken off again when it is read.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from email_core.message.address import Address, AddressError, parse_address
from email_core.suppression.customer_lists import ListedAddress

MOST_BYTES = 4 * 1024 * 1024
MOST_ROWS = 50_000  # what a request can import before its caller gives up
MOST_FAULTS = 50  # told in one answer
MOST_NAME = 256  # characters
MOST_NOTES = 1024  # characters
EMAIL = "email"
COLUMNS = (EMAIL, "firstName", "lastName", "notes")

_MOST = {EMAIL: 320, "firstName": MOST_NAME, "lastName": MOST_NAME, "notes": MOST_NOTES}
_formula = re.compile(r"'*[=+\-@\t\r]")  # what OWASP names as the beginning of a formula, behind apostrophes or not
_control = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class CsvRow:
    """A row. What has no column is None: an import leaves it as it is."""

    line: int
    email: str
    address: Address
    first_name: str | None = None
    last_name: str | None = None
    notes: str | None = None


class CsvFaults(ValueError):
    """A file that can't be imported. `faults` are line and reason, the first of them; `count` is how many there are."""

    def __init__(self, faults: Sequence[tuple[int, str]], count: int = 0) -> None:
        super().__init__("; ".join(f"line {line}: {why}" for line, why in faults))
        self.faults = tuple(faults)
        self.count = count or len(self.faults)


def read_csv(content: bytes) -> list[CsvRow]:
    """The rows of a file: UTF-8 with or without a byte order mark, commas, a header row. Raises CsvFaults for any wrong row."""
    records = _records(_decoded(content))
    header = 0
    columns: list[str] = []
    rows: list[CsvRow] = []
    faults: list[tuple[int, str]] = []
    count = 0
    for line, cells in records:
        if not columns:
            header, columns = line, _columns(line, cells)
            continue
        found = _row(line, dict(zip(columns, cells, strict=False)), len(cells) - len(columns))
        if isinstance(found, CsvRow):
            rows.append(found)
        else:
            count += 1
            faults += [(line, found)] * (len(faults) < MOST_FAULTS)
        if len(rows) + count > MOST_ROWS:
            raise CsvFaults([(line, f"There are more than {MOST_ROWS} rows: import the file in parts.")])
    if not header:
        raise CsvFaults([(1, f"The file is empty: begin with a header row, {','.join(COLUMNS)}.")])
    if faults:
        raise CsvFaults(faults, count)
    return rows


def write_csv(addresses: Iterable[ListedAddress]) -> bytes:
    """The file of a list: UTF-8 without a byte order mark, CRLF, all columns."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for listed in addresses:
        writer.writerow(map(guarded, (listed.email, listed.first_name, listed.last_name, listed.notes)))
    return text.getvalue().encode()


def guarded(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if _formula.match(cell) else cell


def unguarded(cell: str) -> str:
    """The cell as it was before `guarded`."""
    return cell[1:] if cell[:1] == "'" and _formula.match(cell) else cell


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise CsvFaults([(line, "It is not UTF-8: save the file as CSV UTF-8.")]) from error


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    """Records with the line that each begins on. Raises CsvFaults where the quotes are wrong."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise CsvFaults(
                [(line, f"It is no CSV ({error}): double the quotes within a quoted cell, and close it.")]
            ) from error
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield line, cells
        line = reader.line_num + 1


def _columns(line: int, cells: Sequence[str]) -> list[str]:
    known = {name.lower(): name for name in COLUMNS}
    names = [known.get(cell.strip().lower(), "") for cell in cells]
    if EMAIL not in names:
        hint = " Columns are separated by commas, not semicolons." if ";" in "".join(cells) else ""
        raise CsvFaults([(line, f"It must be a header row with a column {EMAIL}, such as {','.join(COLUMNS)}.{hint}")])
    for cell, name in zip(cells, names, strict=True):
        if not name:
            shown = "".join(c if c.isprintable() else "?" for c in cell[:40])
            raise CsvFaults([(line, f"The column '{shown}' is none of {', '.join(COLUMNS)}: remove it.")])
        if names.count(name) > 1:
            raise CsvFaults([(line, f"The column {name} is there more than once: keep one.")])
    return names


def _row(line: int, cells: dict[str, str], extra: int) -> CsvRow | str:
    """A row, or what is wrong with it."""
    if extra:
        return f"It has {abs(extra)} too {'many' if extra > 0 else 'few'} cells: quote those with a comma in them."
    texts = {name: unguarded(cell) for name, cell in cells.items()}
    texts[EMAIL] = texts[EMAIL].strip()
    for name, text in texts.items():
        if len(text) > _MOST[name]:
            return f"{name} has {len(text)} characters: {_MOST[name]} are allowed."
        if _control.search(text):
            return f"{name} has a line break or another control character: remove it."
    try:
        address = parse_address(texts[EMAIL])
    except AddressError as error:
        return f"{EMAIL} {error.reason}."
    return CsvRow(
        line, texts[EMAIL], address, texts.get("firstName"), texts.get("lastName"), texts.get("notes"),
    )  # fmt: skip
