"""A recipient leaves a sending domain's mail: the address goes onto the customer's list for all senders of the domain.

It is done by the operations that an administrator has for it, so it stands in the audit log, and the customer sees the address,
with a note of how it came there, and can take it off. A domain without such a list gets one.
"""

from __future__ import annotations

from email_core.administration.call import Administration
from email_core.administration.perform import request
from email_core.domains.documents import DELETING, DomainDocument, SuppressionListDocument
from email_core.domains.resource_store import Resource
from email_core.errors import RequestRefused
from email_core.management import refusals
from email_core.management.resource_id import SUPPRESSION_LIST_ADDRESSES, SUPPRESSION_LISTS, ResourceId, parse_resource_id
from email_core.message.address import Address
from email_core.suppression.address_rows import digest
from email_core.suppression.customer_lists import CustomerLists
from email_core.suppression.intake import derived_id

LIST_NAME = "unsubscribed"  # the resource name of a list that is made here
BY_MAIL = "unsubscribed by mail"
_MOST_TRIES = 5  # names of lists that are taken, and writers that meet
_GONE = (404, 409)  # what is being made or deleted by somebody else at this moment


async def unsubscribe(admin: Administration, domain_id: str, address: Address, *, notes: str = BY_MAIL) -> bool:
    """Put an address on the list for all senders of a domain; whether it is new there.

    False as well when the domain is gone. Raises StorageUnavailable, and RequestRefused when other writers never end.
    """
    for left in reversed(range(_MOST_TRIES)):
        domain = await admin.store.get(parse_resource_id(domain_id), DomainDocument)
        if domain is None or domain.document.provisioning_state == DELETING:
            return False
        try:
            return await _add(admin, parse_resource_id(domain.document.id), address, notes)
        except RequestRefused as refused:
            if refused.status not in _GONE or not left:
                raise
    raise AssertionError("the last try returns or raises")


async def _add(admin: Administration, domain: ResourceId, address: Address, notes: str) -> bool:
    path, key = await _list(admin, domain)
    hashed = digest(address)
    lists = CustomerLists(admin.storage.tables)
    if await lists.holder(key, hashed) is not None:
        return False
    number = 0
    while (other := await lists.get(key, derived_id(key, hashed, number))) is not None and other.digest != hashed:
        number += 1
    target = f"{path}/{SUPPRESSION_LIST_ADDRESSES.name}/{derived_id(key, hashed, number)}"
    await request(admin, "PUT", target, {"properties": {"email": address.addr_spec, "notes": notes}})
    return True


async def _list(admin: Administration, domain: ResourceId) -> tuple[str, str]:
    """Path and key of the list for all senders, which is made when there is none."""
    taken: set[str] = set()
    async for resource in admin.store.children(domain, SUPPRESSION_LISTS, SuppressionListDocument):
        taken.add(resource.document.name.lower())
        if _is_for_all(resource):
            return resource.document.id, resource.document.key
    name = next(name for name in (LIST_NAME, *(f"{LIST_NAME}-{number}" for number in range(2, 1000))) if name not in taken)
    path = f"{domain.text}/{SUPPRESSION_LISTS.name}/{name}"
    await request(admin, "PUT", path, {"properties": {"listName": ""}})
    made = await admin.store.get(parse_resource_id(path), SuppressionListDocument)
    if made is None:
        raise refusals.parent_not_found(SUPPRESSION_LISTS.name, name)  # deleted meanwhile
    return made.document.id, made.document.key


def _is_for_all(resource: Resource[SuppressionListDocument]) -> bool:
    return not resource.document.list_name and resource.document.provisioning_state != DELETING
