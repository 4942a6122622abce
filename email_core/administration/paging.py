"""Lists in pages: how many, from where on, and the link to what follows.

`$skipToken` is opaque to callers: the keys of the last resource that was shown. The next page begins behind it, whatever came
or went meanwhile. A token that somebody made up names a position in a list that the caller may read anyway.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar, cast
from urllib.parse import quote, urlencode

import msgspec

from email_core.administration.call import Administration, Call, Reply
from email_core.administration.writing import existing
from email_core.domains.documents import DOCUMENTS, Document
from email_core.management import envelope, refusals
from email_core.management.resource_id import Kind

PAGE_SIZE = 100
MOST_PAGE_SIZE = 1000  # $top, which is ours: one round trip to storage
_MOST_TOKEN = 4096  # characters

T = TypeVar("T")
D = TypeVar("D", bound=Document)

_control_character = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # no key of a table may hold one
_keys = msgspec.json.Decoder(tuple[str, ...])


@dataclass(frozen=True, slots=True)
class Page:
    """Which page is asked for: `after` is what the link to it said, empty for the first."""

    size: int
    after: tuple[str, ...]


def asked_page(call: Call, parts: int = 1) -> Page:
    """The page that a call asks for; a token has so many parts. Raises RequestRefused (400)."""
    top = call.query.get("$top", str(PAGE_SIZE))
    if not (top.isascii() and top.isdecimal() and len(top) <= 4 and 1 <= int(top) <= MOST_PAGE_SIZE):
        raise refusals.bad_parameter("$top", f"It must be a whole number from 1 to {MOST_PAGE_SIZE}.")
    token = call.query.get("$skiptoken", "")
    return Page(int(top), _opened(token, parts) if token else ())


def next_link(call: Call, keys: Sequence[str]) -> str:
    """The address of the page behind these keys, with the query of this one."""
    token = base64.urlsafe_b64encode(msgspec.json.encode(list(keys))).decode().rstrip("=")
    kept = {name: value for name, value in call.query.items() if name != "$skiptoken"}
    return f"{call.origin}{call.path}?{urlencode({**kept, '$skipToken': token}, quote_via=quote, safe='$')}"


async def paged(
    call: Call, page: Page, items: AsyncIterator[T], view: Callable[[T], object], keys: Callable[[T], Sequence[str]]
) -> Reply:
    """A page of items, which come from behind `page.after` on; `keys` are those of an item, for the link to the next page."""
    shown: list[object] = []
    link, last = "", None
    async with aclosing(cast(AsyncGenerator[T, None], items)) as following:
        async for item in following:
            if len(shown) == page.size and last is not None:
                link = next_link(call, keys(last))
                break
            shown.append(view(item))
            last = item
    return Reply(200, envelope.page(shown, link))


async def listed(admin: Administration, call: Call, kind: Kind, document: type[D], view: Callable[[D], object]) -> Reply:
    """The children of one kind of the addressed parent. Raises RequestRefused: 404 without the parent, 400."""
    page = asked_page(call)
    parent = call.resource
    await existing(admin, parent, DOCUMENTS[parent.kind])
    items = admin.store.children(parent, kind, document, after=page.after[0] if page.after else "")
    return await paged(call, page, items, lambda resource: view(resource.document), lambda resource: (resource.row,))


async def listed_on_top(admin: Administration, call: Call, kind: Kind, document: type[D], view: Callable[[D], object]) -> Reply:
    """The top-level resources of one kind in the addressed subscription or resource group. Raises RequestRefused (400)."""
    page = asked_page(call, parts=2)
    after = (page.after[0], page.after[1]) if page.after else ("", "")
    subscription, group = call.values["subscriptionId"], call.values.get("resourceGroupName", "")
    items = admin.store.top_level(subscription, group, kind, document, after=after)
    view_of, keys_of = (lambda resource: view(resource.document)), (lambda resource: (resource.partition, resource.row))
    return await paged(call, page, items, view_of, keys_of)


def _opened(token: str, parts: int) -> tuple[str, ...]:
    try:
        if len(token) > _MOST_TOKEN or not token.isascii():
            raise ValueError("no token of ours")
        padded = token + "=" * (-len(token) % 4)
        keys = _keys.decode(binascii.a2b_base64(padded.replace("-", "+").replace("_", "/").encode(), strict_mode=True))
        if len(keys) != parts or any(_control_character.search(key) for key in keys):
            raise ValueError("no keys of a row")
    except (ValueError, msgspec.MsgspecError):
        rule = "It is none that a nextLink of this list had: follow nextLink as it is, or begin without $skipToken."
        raise refusals.bad_parameter("$skipToken", rule) from None
    return keys
