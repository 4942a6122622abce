"""What a DKIM key record in the DNS lacks (RFC 6376 section 3.6.1), asked for as TXT or as CNAME."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from email_core.dns.looks import Look
from email_core.domains.dns_faults import DnsFault
from email_core.domains.judgement import Wrong, missing, near_miss, tag_list, wrong
from email_core.domains.records import DnsRecord

_LEAST_PART = 16  # characters of a key that is taken for the beginning of the right one
_MOST_PARTS = 4  # records that a key may have been cut into


def judge_key(record: DnsRecord, look: Look, keys: Mapping[str, str]) -> Wrong | None:
    """`keys` are the TXT values of all selectors of the domain, by their full names."""
    key = keys[record.name]
    if look.alias_beside:
        return wrong(DnsFault.CNAME_BESIDE, [f"CNAME {look.alias_beside}", *look.records], other=look.alias_beside)
    fault = _judge_values(record, look, keys)
    if fault is None:
        return None  # also a TXT where a CNAME was asked for, and any CNAME that leads to the right key
    if look.aliases:
        return _judge_alias(record, look)
    if record.type == "CNAME" and look.records:
        if len(look.records) == 1 and near_miss(look.records[0], key, lambda text: is_key(text, key)) is not None:
            return fault
        return wrong(DnsFault.TXT_FOR_CNAME, look.records, value=record.value)
    return fault


def is_key(text: str, key: str) -> bool:
    """Whether a TXT publishes the key of another, with whatever other tags."""
    if '"' in text or "\\" in text:
        return False
    tags, wanted = tag_list(text), tag_list(key)
    return (
        tags.get("v", "DKIM1") == "DKIM1"
        and tags.get("k", "rsa").lower() == wanted.get("k", "rsa")
        and _published(tags) == wanted["p"]
        and "sha256" in tags.get("h", "sha256").lower()
        and not {"*", "email"}.isdisjoint(service.strip() for service in tags.get("s", "*").lower().split(":"))
        and _is_list_of_tags(text)
    )


def _judge_alias(record: DnsRecord, look: Look) -> Wrong:
    target = look.aliases[0]
    values = [f"CNAME {target}", *look.records]
    if record.type != "CNAME":
        return wrong(DnsFault.CNAME_FOR_TXT, values, other=target)
    if target == record.value:
        return wrong(DnsFault.KEY_UNPUBLISHED, values, other=look.aliases[-1])
    if target.startswith(f"{record.value}."):
        return wrong(DnsFault.TARGET_ZONE_APPENDED, values, other=target, value=f"{record.value}.")
    return wrong(DnsFault.WRONG_TARGET, values, other=target, value=record.value, absent=True)


def _judge_values(record: DnsRecord, look: Look, keys: Mapping[str, str]) -> Wrong | None:
    values, key = look.records, keys[record.name]
    if not values:
        return missing(look)
    right = [value for value in values if is_key(value, key)]
    if len(values) == 1:
        return None if right else _judge_value(record, values[0], keys)
    if _is_cut(values, key):
        return wrong(DnsFault.KEY_SPLIT, values)
    if right or len([value for value in values if "p" in tag_list(value)]) > 1:
        return wrong(DnsFault.KEY_SEVERAL, values, count=len(values))
    likely = sorted(values, key=lambda value: "p" not in tag_list(value))
    return _judge_value(record, likely[0], keys)


def _judge_value(record: DnsRecord, value: str, keys: Mapping[str, str]) -> Wrong:
    key = keys[record.name]
    if not value.strip():
        return wrong(DnsFault.EMPTY_VALUE, [value])
    fault = near_miss(value, key, lambda text: is_key(text, key))
    if fault is not None and fault is not DnsFault.TRUNCATED:
        return wrong(fault, [value])
    tags = tag_list(value)
    published, wanted = _published(tags), tag_list(key)["p"]
    if "p" not in tags:
        return wrong(DnsFault.KEY_INVALID, [value], other="it has no p=", absent=True)
    if not published:
        return wrong(DnsFault.KEY_REVOKED, [value])
    if published == wanted:
        return wrong(DnsFault.KEY_INVALID, [value], other="its v=, k=, h= or s= does not fit the key, or a tag is there twice")
    if len(published) >= _LEAST_PART and wanted.startswith(published):
        return wrong(DnsFault.KEY_TRUNCATED, [value], count=len(published), most=len(wanted))
    if published.lower() == wanted.lower():
        return wrong(DnsFault.CASE_CHANGED, [value])
    other = next((name for name, text in keys.items() if tag_list(text)["p"] == published), "")
    if other:
        return wrong(DnsFault.KEY_OF_OTHER_SELECTOR, [value], other=other)
    return wrong(DnsFault.KEY_WRONG, [value], other=f"{published[:_LEAST_PART]}…", absent=True)


def _is_list_of_tags(text: str) -> bool:
    """RFC 6376 section 3.2: a list with the same tag twice is none, and receivers take no key from it."""
    names = [part.partition("=")[0].strip().lower() for part in text.split(";") if part.strip()]
    return len(names) == len(set(names))


def _published(tags: Mapping[str, str]) -> str:
    # Blanks may stand anywhere in it (RFC 6376 section 3.2, base64string).
    return "".join(tags.get("p", "").split())


def _is_cut(values: Sequence[str], key: str) -> bool:
    if len(values) > _MOST_PARTS or sum("p" in tag_list(value) for value in values) != 1:
        return False
    return any(is_key("".join(parts), key) for parts in itertools.permutations(values))
