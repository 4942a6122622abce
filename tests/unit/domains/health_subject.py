"""A healthy domain, whose DNS each test changes in one thing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from email_core.dns.looks import Look, LookStatus, Trouble, failed_look
from email_core.domains.dkim_keys import generate_ed25519, generate_rsa, load_private_key, public_record
from email_core.domains.documents import DomainDocument, SelectorDocument, StateDocument, Status
from email_core.domains.health import examined
from email_core.domains.observation import Observations, Question
from email_core.domains.records import records_of
from email_core.settings import Settings, StorageSettings

DOMAIN = "contoso.com"
NOW = 1_790_000_000.0
DAY = 86_400.0
TOKEN = "0b6f9a52-5f0e-4f0c-9a53-6f7b6a2a1d11"

SETTINGS = Settings(storage=StorageSettings(), platform_domain="platform.test")

Zone = dict[Question, Sequence[str] | None]  # None: the DNS fails


@cache
def public_key(number: int) -> str:
    """The record of an RSA key; made once, for that takes a while."""
    return public_record(load_private_key(generate_rsa()))


@cache
def second_key(number: int) -> str:
    """The record of an Ed25519 key."""
    return public_record(load_private_key(generate_ed25519()))


def document(**changes: Any) -> DomainDocument:
    """A domain that was verified, with both slots."""
    selectors = [
        SelectorDocument(
            name=f"postrider{slot}{suffix}",
            private_key="",
            public_record=make(slot),
            active=slot == 1,
            slot=slot,
            made_at=NOW - DAY,
        )
        for slot in (1, 2)
        for suffix, make in (("", public_key), ("-ed", second_key))
    ]
    fields: dict[str, Any] = {
        "id": f"/subscriptions/x/domains/{DOMAIN}",
        "name": DOMAIN,
        "domain_management": "CustomerManaged",
        "from_sender_domain": DOMAIN,
        "verification_token": TOKEN,
        "selectors": selectors,
        "dmarc_policy": "reject",
    }
    return DomainDocument(**{**fields, **changes})


def zone_of(domain: DomainDocument) -> Zone:
    """What the DNS holds when all is well."""
    zone: Zone = {}
    for record in records_of(domain, SETTINGS):
        question = (record.name, "TXT" if record.type == "CNAME" else record.type)
        zone[question] = [*(zone.get(question) or ()), record.value]
    return {
        **zone,
        (DOMAIN, "MX"): ["10 mx.contoso.com"],
        (f"_mta-sts.{DOMAIN}", "TXT"): ["v=STSv1; id=20261122"],
        (f"_smtp._tls.{DOMAIN}", "TXT"): ["v=TLSRPTv1; rua=mailto:tls@contoso.com"],
        ("bounce.platform.test", "TXT"): ["v=spf1 include:spf.platform.test -all"],
    }


def seen(zone: Mapping[Question, Sequence[str] | None], *, domain: str = DOMAIN, at: float = NOW) -> Observations:
    """What a look at the zone would see."""
    looks = {
        (name, kind): failed_look(name, kind, Trouble.SERVER_FAILURE, f"SERVFAIL on {name} {kind}")
        if values is None
        else Look(name, kind, LookStatus.FOUND, tuple(values), ttl=60.0, server="192.0.2.1", authoritative=True)
        for (name, kind), values in zone.items()
    }
    return Observations(domain, "contoso.com", "contoso.com", at, looks)


def report(
    changes: Mapping[Question, Sequence[str] | None] | None = None, domain: DomainDocument | None = None,
    settings: Settings = SETTINGS,
) -> Any:  # fmt: skip
    """The report on a healthy zone with these changes."""
    subject = domain or document()
    name = subject.from_sender_domain
    return examined(subject, settings, seen({**zone_of(subject), **(changes or {})}, domain=name))


def check(answer: Any, name: str) -> Any:
    """One check of a report."""
    return next(each for each in answer["checks"] if each["name"] == name)


def verified(domain: DomainDocument, *kinds: str) -> DomainDocument:
    """The domain with those records verified."""
    domain.verification_states = {kind: StateDocument(status=Status.VERIFIED) for kind in kinds}
    return domain
