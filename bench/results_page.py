"""The results in bench/README.md: one part for each group, replaced when that group is measured anew."""

from __future__ import annotations

import re
from pathlib import Path


def with_results(page: str, group: str, results: str) -> str:
    """The page with the results of a group in their place. Raises ValueError when it has no place for them."""
    begin, end = f"<!-- results: {group} -->", f"<!-- end of results: {group} -->"
    place = re.compile(f"{re.escape(begin)}\n.*?{re.escape(end)}", re.DOTALL)
    if not place.search(page):
        raise ValueError(f"the page needs a line {begin} and a line {end}")
    return place.sub(lambda _: f"{begin}\n\n{results}\n\n{end}", page)


def places(page: str) -> list[str]:
    """The groups that a page has a place for."""
    return re.findall(r"<!-- results: ([\w-]+) -->", page)


def write_results(path: Path, results: dict[str, str]) -> None:
    """Put the results of each group into the page. Raises ValueError."""
    page = path.read_text(encoding="utf-8")
    for group, text in results.items():
        page = with_results(page, group, text)
    path.write_text(page, encoding="utf-8")
