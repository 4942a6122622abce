"""Bytes as numbered properties of an entity, for a property holds 64 KiB at the most."""

from __future__ import annotations

from collections.abc import Mapping

from email_core.storage.limits import PROPERTY_BYTES, Value


def chunks(name: str, content: bytes) -> dict[str, Value]:
    """The properties `name0`, `name1` and so on: one at the least, each no longer than a property may be."""
    return {
        f"{name}{part}": content[start : start + PROPERTY_BYTES]
        for part, start in enumerate(range(0, len(content) or 1, PROPERTY_BYTES))
    }


def sized_chunks(name: str, content: bytes) -> dict[str, Value]:
    """Chunks with their size, for a merge that needs fewer of them leaves the last old ones standing."""
    return {f"{name}Size": len(content), **chunks(name, content)}


def joined_chunks(name: str, values: Mapping[str, Value]) -> bytes:
    """The bytes again; empty when there are none."""
    parts: list[bytes] = []
    while isinstance(part := values.get(f"{name}{len(parts)}"), bytes):
        parts.append(part)
    content = b"".join(parts)
    size = values.get(f"{name}Size")
    return content if size is None else content[: int(size)]
