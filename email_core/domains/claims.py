"""Whose a domain is: the first resource that shows that it is, for as long as its proof is published.

A claim is a row of the table `resources`: PartitionKey `claims`, RowKey the domain's name. Parents and sub-domains have claims
of their own, for each needs its own proof.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from email_core.domains.documents import DELETING, DomainDocument, Status
from email_core.domains.records import VERIFICATION_PREFIX
from email_core.domains.resource_store import RESOURCES, ResourceStore
from email_core.errors import EntityChanged, EntityExists, EntityMissing
from email_core.management.resource_id import parse_resource_id
from email_core.storage import Tables

CLAIMS = "claims"
_MOST_TRIES = 20  # claimants of one domain that meet


@dataclass(frozen=True, slots=True)
class Claim:
    """What became of a claim. `doubtful` is the id of the resource that had the domain before and shows no proof any more.

    That one holds it still when sending from it was not paused yet. Either way it is to be looked at anew.
    """

    held: bool
    doubtful: str = ""


class Hold(Enum):
    """How firmly a resource holds a domain that another one claims."""

    NONE = "none"
    IN_GRACE = "in its grace"
    PROVEN = "proven"


async def take(
    tables: Tables, store: ResourceStore, domain_name: str, resource_id: str, published: Collection[str]
) -> Claim:  # fmt: skip
    """Claim a domain for a resource whose proof was just seen among the TXT values that are `published` at the domain.

    Raises StorageUnavailable, and EntityChanged when too many claim it at once.
    """
    key = resource_id.lower()
    for _ in range(_MOST_TRIES):
        row = await tables.get(RESOURCES, CLAIMS, domain_name)
        try:
            if row is None:
                await tables.insert(RESOURCES, {"PartitionKey": CLAIMS, "RowKey": domain_name, "resource": key})
                return Claim(True)
            owner = str(row.values.get("resource", ""))
            if owner == key:
                return Claim(True)
            hold = await _hold(store, owner, published)
            if hold is not Hold.NONE:
                return Claim(False, doubtful=owner if hold is Hold.IN_GRACE else "")
            await tables.merge(RESOURCES, CLAIMS, domain_name, {"resource": key}, etag=row.etag)
            return Claim(True, doubtful=owner)
        except (EntityExists, EntityChanged, EntityMissing):
            continue  # also when it was our own write, whose answer was lost: the next look tells
    raise EntityChanged(f"too many resources claim {domain_name} at the same time")


async def owns(tables: Tables, document: DomainDocument) -> bool:
    """Whether a domain is that of a resource: its proof was seen, and another resource did not show one since.

    Raises StorageUnavailable.
    """
    if document.state("Domain").status is not Status.VERIFIED:
        return False
    row = await tables.get(RESOURCES, CLAIMS, document.from_sender_domain)
    return row is None or row.values.get("resource") == document.id.lower()


async def release(tables: Tables, domain_name: str, resource_id: str) -> None:
    """Give a domain up that is deleted; the claim of another resource stays. Raises StorageUnavailable."""
    row = await tables.get(RESOURCES, CLAIMS, domain_name)
    if row is None or row.values.get("resource") != resource_id.lower():
        return
    try:
        await tables.delete(RESOURCES, CLAIMS, domain_name, etag=row.etag)
    except EntityChanged:
        return  # only another resource changes the claim of this one, and then it is that one's


async def _hold(store: ResourceStore, owner: str, published: Collection[str]) -> Hold:
    resource = await store.get(parse_resource_id(owner), DomainDocument)
    if resource is None or resource.document.provisioning_state == DELETING:
        return Hold.NONE
    if f"{VERIFICATION_PREFIX}{resource.document.verification_token}" in published:
        return Hold.PROVEN
    # Mail goes out from it, and its grace is not over: a record that was lost for an hour must not cost a domain.
    return Hold.IN_GRACE if resource.document.verified and not resource.document.paused_since else Hold.NONE
