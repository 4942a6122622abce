"""The records of a domain: exported for whoever publishes them, and published by us where a zone of ours holds the domain."""

from __future__ import annotations

from http import HTTPStatus

from email_core.administration.audit import Change
from email_core.administration.call import Administration, Call, Handler, Reply
from email_core.administration.publishing import NotPublished, Published, holding_zone, publish
from email_core.administration.rotation import rotation_shown
from email_core.administration.writing import existing
from email_core.auth.principal import Role
from email_core.domains import claims
from email_core.domains.documents import AZURE_MANAGED, DomainDocument
from email_core.domains.domain_names import is_within, load_suffixes, registrable_domain
from email_core.domains.record_export import Format, as_bicep, as_bind, as_json, as_terraform
from email_core.domains.records import DnsRecord, platform_key_records, records_of, target_records_of
from email_core.domains.selectors import platform_keys
from email_core.domains.zone_setting import SETTING
from email_core.errors import Fault, RequestRefused
from email_core.management import refusals

RETRY_AFTER = 30  # seconds; a name server that is away is seldom back at once


async def export(admin: Administration, call: Call) -> Reply:
    """Domains_Records: `format` says how, `zone` which zone the names of Bicep and Terraform are relative to."""
    document = (await existing(admin, call.resource, DomainDocument)).document
    wanted = _format(call)
    await load_suffixes()
    zone = _zone(admin, call, document)
    records = records_of(document, admin.settings)
    match wanted:
        case Format.JSON:
            if document.domain_management == AZURE_MANAGED:
                return Reply(HTTPStatus.OK, await _exported_managed(admin, document))
            return Reply(HTTPStatus.OK, _exported(admin, document, records, zone))
        case Format.BIND:
            return _text(as_bind(records), "text/dns")
        case Format.BICEP:
            return _text(as_bicep(records, zone), "text/plain")
        case Format.TERRAFORM:
            return _text(as_terraform(records, zone), "text/plain")


async def publish_records(admin: Administration, call: Call) -> Reply:
    """Domains_PublishRecords: writes them to the zones of the settings, and says of each record what came of it."""
    document = (await existing(admin, call.resource, DomainDocument)).document
    name = document.from_sender_domain
    if document.domain_management == AZURE_MANAGED:
        text = f"'{name}' is Azure-managed: its records are the platform's own and there is nothing to publish for it."
        raise refusals.conflict("DomainManagedByPlatform", text)
    zone = holding_zone(admin.settings, name)
    if zone is None:
        raise refusals.conflict(
            "NoZoneForDomain",
            f"No zone that this installation may write holds '{name}'. Publish the records by hand: GET records?format=bind "
            f"has them as lines of a zone file; json, bicep and terraform are there too. Or have the zone added to {SETTING}.",
        )
    owned = await claims.owns(admin.storage.tables, document)
    _check_right(call, document, owned=owned)
    records = [*records_of(document, admin.settings), *target_records_of(document, admin.settings)]
    change = Change(call.principal, call.operation.name, call.resource.text, call.request_id, {}, text=f"to zone {zone.zone}")
    await admin.audit.append(call.resource.subscription, change)
    earlier = document.rotation.replaced if document.rotation else ()
    try:
        results = await publish(admin, records, earlier=earlier, owned=owned)
    except NotPublished as error:
        remedy = "Repeat the request later" if error.passing else "Have that corrected and repeat the request"
        fault = Fault(
            "ZoneUnavailable" if error.passing else "ZoneRefusedRecords",
            f"{error.public} {remedy}; what is published of '{name}' stays as it is.",
        )
        if error.passing:
            status = HTTPStatus.SERVICE_UNAVAILABLE
            raise RequestRefused(status, fault, retry_after=RETRY_AFTER, reason=str(error)) from error
        raise RequestRefused(HTTPStatus.CONFLICT, fault, reason=str(error)) from error
    shown = [_published(each, zone.zone) for each in results]
    return Reply(HTTPStatus.OK, {"domain": name, "zone": zone.zone, "records": shown})


def _check_right(call: Call, document: DomainDocument, *, owned: bool) -> None:
    """Whoever may publish a domain's records proves its ownership by that, so it is not for an admin of a part alone."""
    if owned or call.principal.may(Role.ADMIN, ""):
        return
    text = (
        f"'{document.from_sender_domain}' is not verified as yours, and publishing its records would prove to us who owns it: "
        "an admin of the whole installation has to do that, or the owner of the zone. Once Domain is Verified, you may publish "
        "the rest."
    )
    raise refusals.refused("OwnershipNotProven", text, status=HTTPStatus.FORBIDDEN)


def _format(call: Call) -> Format:
    text = call.query.get("format", Format.JSON).lower()
    if text not in list(Format):
        raise refusals.bad_parameter("format", f"It must be one of {', '.join(Format)}; it is '{refusals.shown(text)}'.")
    return Format(text)


def _zone(admin: Administration, call: Call, document: DomainDocument) -> str:
    """The zone that names are relative to: the one asked for, else ours that holds the domain, else what was registered."""
    name = document.from_sender_domain
    asked = call.query.get("zone", "").lower().rstrip(".")
    if asked and not is_within(name, asked):
        raise refusals.bad_parameter("zone", f"'{name}' must be in it: give '{name}' or a domain above it.")
    if asked:
        return asked
    configured = holding_zone(admin.settings, name)
    return configured.zone if configured else registrable_domain(name) or name


def _exported(admin: Administration, document: DomainDocument, records: list[DnsRecord], zone: str) -> dict[str, object]:
    dkim_zone = admin.settings.dkim_zone
    return {
        "domain": document.from_sender_domain,
        "zone": zone,
        "records": as_json(records, zone),
        # What stands where CNAMEs lead to: published by us when a zone of ours holds it, else by the operator.
        "platformRecords": as_json(target_records_of(document, admin.settings), dkim_zone) if records and dkim_zone else [],
        "rotation": rotation_shown(admin, document),
    }


async def _exported_managed(admin: Administration, document: DomainDocument) -> dict[str, object]:
    """A managed domain has no records of its own: the platform's keys sign for it."""
    platform = await platform_keys(admin.storage.tables)
    zone = platform.signing_domain if platform else admin.settings.platform_domain
    selectors = [(each.name, each.public_record) for each in platform.selectors] if platform else []
    shown = as_json(platform_key_records(zone, selectors), zone)
    return {"domain": document.from_sender_domain, "zone": zone, "records": [], "platformRecords": shown, "rotation": None}


def _published(result: Published, zone: str) -> dict[str, object]:
    inside = zone if is_within(result.record.name, zone) else result.record.name
    return {**as_json([result.record], inside)[0], "outcome": str(result.outcome), "reason": result.reason}


def _text(text: str, content_type: str) -> Reply:
    return Reply(HTTPStatus.OK, text.encode(), {"Content-Type": f"{content_type}; charset=utf-8"})


HANDLERS: dict[str, Handler] = {"Domains_Records": export, "Domains_PublishRecords": publish_records}
