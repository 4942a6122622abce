"""Tables and lines for people."""

from __future__ import annotations

import shutil
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

_WIDEST = 110  # columns; longer lines are hard to read


def table(heading: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """A line for each row, in columns as wide as they need; the last one may be of any width."""
    cells = [list(heading), *([printable(str(cell)) for cell in row] for row in rows)]
    widths = [max(_columns(row[column]) for row in cells) for column in range(len(heading) - 1)]
    for row in cells:
        padded = (cell + " " * (width - _columns(cell)) for cell, width in zip(row[:-1], widths, strict=True))
        yield "  ".join([*padded, row[-1]]).rstrip()


def _columns(text: str) -> int:
    """How many columns of a terminal a text takes (UAX 11): wide characters have two, marks stand on the one before."""
    if text.isascii():
        return len(text)
    marks = sum(unicodedata.category(character) in ("Mn", "Me") for character in text)
    return len(text) + sum(unicodedata.east_asian_width(character) in "WF" for character in text) - marks


def paragraph(text: str, indent: int) -> list[str]:
    """A text in lines that fit, each with so many blanks before it."""
    width = min(shutil.get_terminal_size((_WIDEST, 24)).columns, _WIDEST)
    blanks = " " * indent
    return textwrap.wrap(
        printable(text), max(width, indent + 40), initial_indent=blanks, subsequent_indent=blanks,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def printable(text: str) -> str:
    """What a stranger wrote must not move the cursor of a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
