"""Suppression lists: how long a page of a long list takes, and the lookup that each message waits for."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bench.azurite import azurite
from bench.figures import OURS, AtMost, Bench, Contender, ContenderFailed, Figure, Group
from email_core.message.address import parse_address
from email_core.suppression.address_rows import digest
from email_core.suppression.address_table import look_up
from tests.kit.administration import Api, build_api

ADDRESSES = 10_000
RECIPIENTS = 50
_PAGES = {"page-100": 100, "page-1000": 1000}
_GOAL = 100  # milliseconds for a page
_LIST = "emailServices/mail/domains/contoso.com/suppressionLists/long"


@contextmanager
def _open(bench: Bench) -> Iterator[Sequence[Figure]]:
    logging.disable(logging.INFO)  # the mail log of the import
    try:
        with azurite(bench.root, bench.scratch) as connection_string, asyncio.Runner() as runner:
            api = runner.run(build_api(connection_string))
            emails = runner.run(_filled(api))

            def contender(measure: Callable[[], Coroutine[Any, Any, float]]) -> list[Contender]:
                return [Contender(OURS, lambda: runner.run(measure()))]

            try:
                yield [
                    *(
                        Figure(
                            f"suppression.{name}",
                            f"a page of $top={size} of a list of {ADDRESSES:,} addresses",
                            "ms",
                            contender(lambda size=size: _pages(api, size)),  # type: ignore[misc]
                            better="less",
                            goals=[AtMost(_GOAL, "ms")],
                        )
                        for name, size in _PAGES.items()
                    ),
                    Figure(
                        "suppression.lookup",
                        f"{RECIPIENTS} recipients looked up, half of them on the list",
                        "ms",
                        contender(lambda: _lookup(api, emails)),
                        better="less",
                    ),
                ]
            finally:
                runner.run(api.services.close())
    finally:
        logging.disable(logging.NOTSET)


async def _filled(api: Api) -> list[str]:
    """A list with its addresses, as an import makes it."""
    await api.stored_domain("contoso.com")
    await api.put(_LIST, {"properties": {"listName": ""}})
    emails = [f"reader-{number}@fabrikam.test" for number in range(ADDRESSES)]
    rows = "\n".join(f"{email},A,Reader,asked by letter" for email in emails)
    content = f"email,firstName,lastName,notes\n{rows}\n".encode()
    answer = await api.post(f"{_LIST}/import", content, headers={"content-type": "text/csv"})
    if answer.status != 200:
        raise ContenderFailed(f"the import was answered with {answer.status}")
    return emails


async def _pages(api: Api, size: int) -> float:
    """Milliseconds for a page, over the whole list."""
    began, count, pages = time.monotonic(), 0, 0
    answer = await api.get(f"{_LIST}/suppressionListAddresses", query={"$top": str(size)})
    while True:
        count, pages = count + len(answer.body["value"]), pages + 1
        link = answer.body.get("nextLink")
        if not link:
            break
        answer = await api.get("/" + link.split("/", 3)[3])
    if count != ADDRESSES:
        raise ContenderFailed(f"{count} addresses were listed")
    return (time.monotonic() - began) / pages * 1000


async def _lookup(api: Api, emails: Sequence[str]) -> float:
    half = RECIPIENTS // 2
    asked = [*emails[:half], *(f"{uuid.uuid4().hex}@fabrikam.test" for _ in range(half))]
    digests = [digest(parse_address(email)) for email in asked]
    began = time.monotonic()
    rows = await look_up(api.storage.tables, digests)
    seconds = time.monotonic() - began
    if sum(bool(row.lists) for row in rows.values()) != half:
        raise ContenderFailed("the lookup found others than those on the list")
    return seconds * 1000


GROUP = Group(
    "suppression",
    "pages of a long suppression list, and lookups",
    "Azurite (npm)",
    [*(f"suppression.{name}" for name in _PAGES), "suppression.lookup"],
    _open,
)
