"""`linkedDomains` of a communication service: which domains may be linked to it."""

from __future__ import annotations

from email_core.administration.call import Administration, Call
from email_core.auth.principal import Role
from email_core.domains.documents import DELETING, REQUIRED, DomainDocument, ServiceDocument
from email_core.errors import Fault
from email_core.management import refusals
from email_core.management.fields import Fields
from email_core.management.resource_id import DOMAINS, ResourceIdError, parse_resource_id

PATH = "properties.linkedDomains"
MOST_LINKED = 100


async def linkable(admin: Administration, call: Call) -> list[str] | None:
    """The ids of the domains that the body of a call links, as the domains have them; None when it does not name any.

    A domain that is linked already may stay, whatever became of its records. Raises RequestRefused (400), naming all that
    may not be linked; one that the caller has no role for is told as one that is not there.
    """
    fields = Fields(call.body)
    named = fields.strings(PATH, most=MOST_LINKED)
    fields.finish()
    if named is None:
        return None
    service = await admin.store.get(call.resource, ServiceDocument)
    held = {each.lower() for each in service.document.linked_domains} if service else set()
    linked: dict[str, str] = {}  # ids, by their lower case
    sender_domains: dict[str, str] = {}
    faults: list[Fault] = []
    for index, text in enumerate(named):
        found = await _domain(admin, call, f"{PATH}[{index}]", text, held)
        if isinstance(found, Fault):
            faults.append(found)
            continue
        other = sender_domains.setdefault(found.from_sender_domain, found.id)
        if other.lower() != found.id.lower():
            faults.append(_twice(f"{PATH}[{index}]", found, other))
        linked[found.id.lower()] = found.id
    if faults:
        raise refusals.invalid_content(faults)
    return list(linked.values())


async def _domain(admin: Administration, call: Call, where: str, text: str, held: set[str]) -> DomainDocument | Fault:
    """The domain of an id that may be linked, or why not."""
    try:
        target = parse_resource_id(text)
    except ResourceIdError as error:
        return refusals.bad_field(where, f"It is no resource id of a domain: {error}.")
    if target.kind is not DOMAINS:
        return refusals.bad_field(where, f"It is the id of one of {target.kind.name}: give that of a domain.")
    kept, who = target.key in held, call.principal
    # Who links a domain sends from it, through a service with keys of its own: it takes more than reading it.
    sends = kept or who.may(Role.SENDER, target.text)
    domain = await admin.store.get(target, DomainDocument) if sends or who.may(Role.READER, target.text) else None
    if domain is None or domain.document.provisioning_state == DELETING:
        rule = f"There is no domain '{refusals.shown(text, 400)}' that you may link. Check the id, or ask its administrator."
        return Fault("LinkedDomainNotFound", rule, where)
    if not sends:
        rule = (
            f"You may read '{refusals.shown(text, 400)}', and not send from it: linking it takes the role Sender or Admin "
            "there. Ask its administrator to link it, or for the role."
        )
        return Fault("LinkedAuthorizationFailed", rule, where)
    if not kept and not domain.document.verified:
        states = ", ".join(f"{kind} {domain.document.state(kind).status}" for kind in REQUIRED)
        rule = (
            f"The domain '{domain.document.from_sender_domain}' is not verified: {states}. Publish its verificationRecords and "
            "have them verified with initiateVerification; then link it."
        )
        return Fault("DomainNotVerified", rule, where)
    return domain.document


def _twice(where: str, domain: DomainDocument, other: str) -> Fault:
    rule = (
        f"The sender domain '{domain.from_sender_domain}' is linked by '{other}' already: a service may send for it by one "
        "resource alone. Leave out one of the two."
    )
    return Fault("SenderDomainLinkedTwice", rule, where)
