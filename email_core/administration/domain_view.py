"""How a domain is shown: the properties of ACS as they are there, and ours beside them."""

from __future__ import annotations

from email_core.domains.documents import (
    AZURE_MANAGED,
    MAIL_FROM,
    RECORD_STATES,
    REQUIRED,
    VERIFICATION_TYPES,
    DomainDocument,
    StateDocument,
    Status,
)
from email_core.domains.domain_names import registrable_domain
from email_core.domains.records import DnsRecord, name_in_zone, records_of
from email_core.domains.watch import pausing
from email_core.management.envelope import timestamp
from email_core.settings import Settings

# What a caller may not write; a client that sends back what it read may repeat them.
READ_ONLY = (
    "provisioningState", "dataLocation", "fromSenderDomain", "mailFromSenderDomain", "verificationStates",
    "verificationRecords", "verificationDetails", "additionalRecords", "sending", "dnsZone",
)  # fmt: skip


def domain_properties(document: DomainDocument, settings: Settings) -> dict[str, object]:
    """The properties of a domain."""
    name = document.from_sender_domain
    custom = document.domain_management != AZURE_MANAGED
    zone = registrable_domain(name) if custom else ""
    records = records_of(document, settings)
    return {
        "provisioningState": document.provisioning_state,
        "dataLocation": document.data_location,
        "fromSenderDomain": name,
        # What reverse-paths carry now: the domain's own once its records were seen.
        "mailFromSenderDomain": document.reverse_path_domain or settings.bounce_domain,
        "domainManagement": document.domain_management,
        "verificationStates": {kind: _status(document.state(kind)) for kind in VERIFICATION_TYPES},
        "verificationRecords": {
            record.purpose.value: shown_record(record, name, zone) for record in records if record.purpose in VERIFICATION_TYPES
        },
        "userEngagementTracking": document.user_engagement_tracking,
        # From here on ours.
        "verificationDetails": {
            kind: _details(document.state(kind))
            for kind in RECORD_STATES
            if custom and (kind != MAIL_FROM or document.mail_from_sender_domain)
        },
        "additionalRecords": [
            {"purpose": record.purpose.value, **shown_record(record, name, zone)}
            for record in records
            if record.purpose not in VERIFICATION_TYPES
        ],
        "dnsZone": zone,
        "sending": sending(document, settings),
        "anySender": document.any_sender,
        "dmarcPolicy": document.dmarc_policy,
        "mailFromSubdomain": document.mail_from_sender_domain.removesuffix(f".{name}"),
    }


def shown_record(record: DnsRecord, domain: str, zone: str) -> dict[str, object]:
    """A record as ACS shows it: names below the domain without it, the domain's own name whole. `nameInZone` is ours."""
    return {
        "type": record.type,
        "name": record.name.removesuffix(f".{domain}"),
        "value": record.value,
        "ttl": record.ttl,
        "nameInZone": name_in_zone(record.name, zone),
    }


def sending(document: DomainDocument, settings: Settings) -> dict[str, object]:
    """Whether the domain may send: Ready, NotVerified, Warning while a record is missed, Paused after the grace."""
    lost = [(kind, document.state(kind)) for kind in document.lost]
    reason = " ".join(f"{kind}: {state.reason} {state.remedy}".strip() for kind, state in lost)
    if document.paused_since:
        return {"state": "Paused", "since": timestamp(document.paused_since), "reason": reason or "Its records are gone."}
    if not document.verified:
        missing = ", ".join(kind for kind in REQUIRED if document.state(kind).status is not Status.VERIFIED)
        return {"state": "NotVerified", "reason": f"Not verified yet: {missing}."}
    if lost:
        warning: dict[str, object] = {
            "state": "Warning",
            "since": timestamp(min(state.lost_since for _, state in lost)),
            "reason": reason,
        }
        needed = [document.state(kind).lost_since for kind in pausing(document)]
        return {**warning, "pausesAt": timestamp(min(needed) + settings.grace_seconds)} if needed else warning
    return {"state": "Ready"}


def _status(state: StateDocument) -> dict[str, str]:
    return {"status": state.status, "errorCode": state.error_code} if state.error_code else {"status": state.status}


def _details(state: StateDocument) -> dict[str, object]:
    """What the last look at the DNS came to."""
    return {
        "status": state.status,
        "found": list(state.found),
        "expected": state.expected,
        "reason": state.reason,
        "remedy": state.remedy,
        "attempt": state.attempt,
        "checkedAt": timestamp(state.checked_at) if state.checked_at else None,
        "nextCheckAt": timestamp(state.next_check_at) if state.next_check_at else None,
        "lostSince": timestamp(state.lost_since) if state.lost_since else None,
    }
