"""The conditions of a request that changes something: If-Match and If-None-Match (RFC 9110 section 13.1)."""

from __future__ import annotations

import re

from email_core.management import refusals

_tag = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')  # entity-tag, section 8.8.3; it may hold a comma


def check_conditions(if_match: str, if_none_match: str, etag: str | None) -> None:
    """`etag` is that of the resource, None when there is none; a condition that is empty was not asked for.

    Raises RequestRefused (412) when a condition is not met. Ours are all weak tags, as those of Table storage are. If-Match
    takes them nevertheless, where section 13.1.1 has a strong comparison, which no weak one passes: ARM does so as well.
    """
    if if_match and (etag is None or not _names(if_match, etag)):
        raise refusals.changed_meanwhile()
    if if_none_match and etag is not None and _names(if_none_match, etag):
        raise refusals.changed_meanwhile()


def _names(condition: str, etag: str) -> bool:
    """Whether a condition names a tag by the weak comparison of section 8.8.3.2; one without quotes is a tag all the same."""
    tags = _tag.findall(condition) or [condition.strip()]
    return condition.strip() == "*" or _opaque(etag) in map(_opaque, tags)


def _opaque(tag: str) -> str:
    return tag.removeprefix("W/")
