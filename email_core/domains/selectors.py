"""The selectors of a domain and of the platform: two slots, each with an RSA and an Ed25519 key, of which one slot signs."""

from __future__ import annotations

import asyncio
import base64

from email_core.domains.directory import PLATFORM_ID, RESOURCES, resource_keys
from email_core.domains.dkim_keys import generate_ed25519, generate_rsa, load_private_key, public_record
from email_core.domains.documents import PlatformDocument, SelectorDocument, decode_document
from email_core.domains.resource_store import encode_document
from email_core.errors import EntityExists
from email_core.sealing import Sealer
from email_core.storage import Tables

SLOTS = (1, 2)


async def new_slot(sealer: Sealer, context: str, slot: int, *, active: bool, now: float) -> list[SelectorDocument]:
    """New keys for a slot, sealed for `context`, the resource id in lower case. An RSA key takes some 80 ms: in a thread."""
    keys = (await asyncio.to_thread(generate_rsa), generate_ed25519())
    return [
        SelectorDocument(
            name=f"postrider{slot}{suffix}",
            private_key=sealer.seal(base64.b64encode(key), context=context),
            public_record=public_record(load_private_key(key, was_sealed=True)),
            active=active,
            slot=slot,
            made_at=now,
        )
        for key, suffix in zip(keys, ("", "-ed"), strict=True)
    ]


async def new_selectors(sealer: Sealer, context: str, *, now: float) -> list[SelectorDocument]:
    """New keys for both slots, of which the first signs."""
    made = [await new_slot(sealer, context, slot, active=slot == SLOTS[0], now=now) for slot in SLOTS]
    return [selector for slot in made for selector in slot]


async def platform_keys(tables: Tables) -> PlatformDocument | None:
    """The platform's own signing keys; None when nobody has made them. Raises StorageUnavailable."""
    row = await tables.get(RESOURCES, *resource_keys(PLATFORM_ID))
    return None if row is None else decode_document(str(row.values.get("document", "")), PlatformDocument)


async def ensure_platform_keys(tables: Tables, sealer: Sealer, signing_domain: str, *, now: float) -> None:
    """Make the platform's own signing keys, which sign for every managed domain, unless they are there.

    Raises StorageUnavailable.
    """
    partition, row = resource_keys(PLATFORM_ID)
    if await tables.get(RESOURCES, partition, row) is not None:
        return
    document = PlatformDocument(
        id=PLATFORM_ID,
        name="default",
        signing_domain=signing_domain,
        selectors=await new_selectors(sealer, PLATFORM_ID.lower(), now=now),
    )
    values = {"PartitionKey": partition, "RowKey": row, "kind": "platform", "document": encode_document(document)}
    try:
        await tables.insert(RESOURCES, values)
    except EntityExists:
        return  # somebody else made them first, and theirs count
