"""Writing records to the zones of the setting POSTRIDER_ZONES, and what the platform publishes for each domain by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import msgspec

from email_core import maillog
from email_core.administration.call import Administration
from email_core.dns.zone_edit import RecordSet, ZoneChanged, ZoneEditor, ZoneRefused, ZoneUnavailable
from email_core.domains import claims
from email_core.domains.documents import DELETING, DomainDocument
from email_core.domains.key_rotation import pause
from email_core.domains.record_merge import Merge, Outcome, Present, merge, spf_records
from email_core.domains.records import DnsRecord, target_records_of
from email_core.domains.spf import parse_spf
from email_core.domains.spf_lookups import MOST_LOOKUPS, count_lookups
from email_core.domains.tasks import Publish
from email_core.domains.zone_setting import SETTING, AzureZone, ZoneSetting, parse_zones, zone_holding
from email_core.management.resource_id import parse_resource_id
from email_core.settings import Settings

Decide = Callable[[DnsRecord, Present], Merge]

MOST_TRIES = 5  # of a record set that others change at the same time


@dataclass(frozen=True, slots=True)
class Published:
    """What came of one record. `reason` says why, for people."""

    record: DnsRecord
    outcome: Outcome
    reason: str = ""


class NotPublished(Exception):
    """A zone could not be written; the text is for the log and the operator. `public` is for whoever asked.

    `passing`: the same may work later, without anything being corrected.
    """

    def __init__(self, setting: ZoneSetting, error: ZoneRefused | ZoneUnavailable) -> None:
        super().__init__(str(error))
        self.zone = setting.zone
        self.passing = isinstance(error, ZoneUnavailable)
        said = error.public if isinstance(error, ZoneRefused) else "its server gave no answer that could be used"
        self.public = f"The zone '{setting.zone}' (entry {setting.number} of {SETTING}) could not be written: {said}."


def open_editor(setting: ZoneSetting, settings: Settings) -> ZoneEditor:
    """The editor of a zone of the setting."""
    if isinstance(setting, AzureZone):
        from email_core.dns.azure_zone import AzureDnsZone

        client_id = settings.storage.client_id
        return AzureDnsZone(setting.zone, setting.subscription, setting.resource_group, client_id=client_id)
    from email_core.dns.update import UpdateServer

    return UpdateServer(
        setting.zone, setting.host, setting.port,
        key_name=setting.key_name, secret=setting.secret, algorithm=setting.algorithm,
    )  # fmt: skip


def holding_zone(settings: Settings, name: str) -> ZoneSetting | None:
    """The zone of ours that a name is in. None: somebody else has to publish it."""
    return zone_holding(name, parse_zones(settings.zones))


def publishes_keys(settings: Settings, document: DomainDocument) -> bool:
    """Whether the keys of a domain stand in a zone of ours."""
    return any(holding_zone(settings, record.name) for record in target_records_of(document, settings))


async def publish(
    admin: Administration, records: Iterable[DnsRecord], *, earlier: Collection[str] = (), owned: bool = True
) -> list[Published]:
    """Write records to the zones that hold them; those of no zone of ours are left out. For `earlier` and `owned` see `merge`.

    What is there already is not written again, so it may be repeated at any time. Raises NotPublished.
    """
    placed = [(zone, record) for record in records if (zone := holding_zone(admin.settings, record.name)) is not None]
    published: dict[int, Published] = {}
    for zone in dict.fromkeys(zone for zone, _ in placed):
        inside = [record for where, record in placed if where == zone]
        try:
            results = await _write_zone(
                admin, zone, inside, lambda record, present: merge(record, present, earlier=earlier, owned=owned)
            )
        except (ZoneRefused, ZoneUnavailable) as error:
            maillog.zone_write(zone.zone, entry=zone.number, state="failed", records=len(inside), reason=str(error))
            raise NotPublished(zone, error) from error
        published |= {id(each.record): each for each in results}
        written = [each for each in results if each.outcome in (Outcome.PUBLISHED, Outcome.MERGED)]
        if written:
            maillog.zone_write(zone.zone, entry=zone.number, state="written", records=len(written), reason="")
    return [published[id(record)] for _, record in placed]


async def run(admin: Administration, task: Publish) -> None:
    """A task of the queue: have a domain's keys below the DKIM zone. It comes again, later and later, until they are there.

    It gives up when a verification would. What is still missing then, the daily look finds, and puts another one.
    """
    resource = await admin.store.get(parse_resource_id(task.domain), DomainDocument)
    if resource is None or resource.document.provisioning_state == DELETING:
        return
    document = resource.document
    records = target_records_of(document, admin.settings)
    owned = await claims.owns(admin.storage.tables, document)
    earlier = document.rotation.replaced if document.rotation else ()
    try:
        results = await publish(admin, records, earlier=earlier, owned=owned)
        conflicts = [f"{each.record.name}: {each.reason}" for each in results if each.outcome is Outcome.CONFLICT]
        if not conflicts:
            return
        reason = "; ".join(conflicts)
    except NotPublished as error:
        reason = str(error)
    since = task.since or admin.clock.now()
    elapsed = max(admin.clock.now() - since, 0.0)
    if elapsed > admin.settings.verification_seconds:
        # Each write of the domain puts a task: without an end, they would become more and more.
        maillog.publishing(document.from_sender_domain, state="given up", reason=reason)
        return
    maillog.publishing(document.from_sender_domain, state="waiting", reason=reason)
    await admin.tasks.put(msgspec.structs.replace(task, since=since), delay=pause(elapsed))


async def _write_zone(admin: Administration, zone: ZoneSetting, records: list[DnsRecord], decide: Decide) -> list[Published]:
    """Write the records of one zone, all names at once."""
    groups: dict[tuple[str, str], list[DnsRecord]] = {}
    for record in records:
        groups.setdefault((record.name, record.type), []).append(record)
    editor = open_editor(zone, admin.settings)
    try:
        works = [_write_set(admin, editor, group, decide) for group in groups.values()]
        results = await asyncio.gather(*works, return_exceptions=True)
    finally:
        await editor.close()
    published: list[Published] = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        published += result
    return published


async def _write_set(
    admin: Administration, editor: ZoneEditor, records: list[DnsRecord], decide: Decide
) -> list[Published]:  # fmt: skip
    """Write the records of one name and type, as it was read."""
    for _ in range(MOST_TRIES):
        before = await editor.read(records[0].name, records[0].type)
        costly = {record: why for record in records if (why := await _too_costly(admin, before, record))}
        published, values = _decided(before, [record for record in records if record not in costly], decide)
        published += [Published(record, Outcome.CONFLICT, why) for record, why in costly.items()]
        if values == before.values:
            return published
        try:
            await editor.replace(before, values, min(record.ttl for record in records))
        except ZoneChanged:
            continue
        return published
    raise ZoneUnavailable(f"{records[0].name} {records[0].type} is changed by others all the time")


async def _too_costly(admin: Administration, before: RecordSet, record: DnsRecord) -> str:
    """Why our include would break the owner's SPF record, by which no mail of the domain passed any more; empty if not so."""
    merged = merge(record, _present(before))
    if merged.outcome is not Outcome.MERGED:
        return ""
    count = await count_lookups(parse_spf(spf_records(merged.values)[0]), record.name, admin.authority.look)
    if count.lookups <= MOST_LOOKUPS:
        return ""
    return (
        f"with our include the SPF record there would need {count.lookups} DNS lookups, and receivers make {MOST_LOOKUPS} "
        "(RFC 7208 section 4.6.4): take includes out of services that are no longer used"
    )


def _present(before: RecordSet) -> Present:
    return Present(before.values, before.cname, before.others)


def _decided(before: RecordSet, records: list[DnsRecord], decide: Decide) -> tuple[list[Published], tuple[str, ...]]:
    published, present = [], _present(before)
    for record in records:
        merged = decide(record, present)
        published.append(Published(record, merged.outcome, merged.reason))
        present = Present(merged.values, present.cname, present.others)
    return published, present.values
