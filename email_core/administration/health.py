"""The health of a domain: the last report, and a look at the DNS on demand."""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from email_core.administration.call import Administration, Call, Handler, Reply
from email_core.administration.writing import change, existing, fits
from email_core.domains.documents import AZURE_MANAGED, DomainDocument
from email_core.domains.domain_names import verifies_at_once
from email_core.domains.health import Report, examined, shown, unexamined
from email_core.domains.health_advice import questions
from email_core.domains.observation import Observations, observe
from email_core.domains.records import records_of
from email_core.domains.tasks import Reverify
from email_core.management import refusals

_MANAGED = "The records of an Azure-managed domain are the platform's own: ./postrider domain platform prints those."
_TOO_LONG = "The report is too long to be kept beside the tags of the domain: POST checkHealth answers it."
_RESERVED = "The local world has no DNS for names that are for tests, so nothing was looked at."


async def last_report(admin: Administration, call: Call) -> Reply:
    """Domains_Health: the report that was stored last."""
    document = (await existing(admin, call.resource, DomainDocument)).document
    if document.health is None:
        text = f"The health of '{document.from_sender_domain}' was not looked at yet: POST checkHealth of the domain does that."
        raise refusals.refused("HealthNotChecked", text, status=HTTPStatus.NOT_FOUND)
    return Reply(HTTPStatus.OK, shown(document.health))


async def check(admin: Administration, call: Call) -> Reply:
    """Domains_CheckHealth: looks at the DNS now, keeps the report and answers it."""
    document = (await existing(admin, call.resource, DomainDocument)).document
    report = await report_on(admin, document)

    def made(current: DomainDocument) -> DomainDocument:
        return with_report(current, report)

    await change(admin, call.resource, DomainDocument, made, call.principal, call.operation.name)
    if document.lost or document.paused_since:
        await admin.tasks.put(Reverify(domain=document.id))  # whoever looks has most likely repaired something
    return Reply(HTTPStatus.OK, shown(report))


async def report_on(admin: Administration, document: DomainDocument) -> Report:
    """A report of now, with whatever has to be asked for it."""
    why = nothing_to_look_at(admin, document)
    if why:
        return unexamined(document, admin.clock.now(), why)
    return examined(document, admin.settings, await look_at(admin, document))


def with_report(document: DomainDocument, report: Report) -> DomainDocument:
    """The document with a report, of which its status alone is kept when tags and states leave no room in the row."""
    after = msgspec.structs.replace(document, health=report)
    if fits(after):
        return after
    return msgspec.structs.replace(document, health={**report, "checks": [], "providers": {}, "note": _TOO_LONG})


def nothing_to_look_at(admin: Administration, document: DomainDocument) -> str:
    """Why the DNS is not asked about a domain; empty when it is."""
    if document.domain_management == AZURE_MANAGED:
        return _MANAGED
    return _RESERVED if verifies_at_once(admin.settings, document.from_sender_domain) else ""


async def look_at(admin: Administration, document: DomainDocument) -> Observations:
    """Look at all records of a domain, and at what its health asks for beside them."""
    return await observe(
        admin.authority,
        document.from_sender_domain,
        records_of(document, admin.settings),
        now=admin.clock.now(),
        also=questions(document, admin.settings),
    )


HANDLERS: dict[str, Handler] = {"Domains_Health": last_report, "Domains_CheckHealth": check}
