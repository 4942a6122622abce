"""The records we ask for and publish, and the zone text of them as dnspython reads it."""

from __future__ import annotations

import base64

import dns.rdatatype
import dns.zonefile
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from email_core.domains.dkim_keys import generate_ed25519, generate_rsa, load_private_key, public_record
from email_core.domains.documents import DomainDocument, SelectorDocument
from email_core.domains.records import (
    DmarcPolicy,
    DnsRecord,
    Purpose,
    RecordError,
    dkim_target_records,
    mx_host,
    name_in_zone,
    platform_records,
    records_for,
    records_of,
    spf_host,
    target_records_of,
    zone_lines,
)
from email_core.settings import Settings, StorageSettings

RSA_RECORD = public_record(load_private_key(generate_rsa()))
ED25519_RECORD = public_record(load_private_key(generate_ed25519()))
TOKEN = "0f8fad5b-d9cb-469f-a165-70867728950e"
DOMAIN = "sales.example.com"


def asked(**changes) -> list[DnsRecord]:
    arguments = {
        "verification_token": TOKEN,
        "selectors": [("s1", RSA_RECORD), ("e1", ED25519_RECORD), ("s2", RSA_RECORD)],
        "spf_include": "spf.mail.example.net",
    }
    return records_for(changes.pop("domain_name", DOMAIN), **(arguments | changes))


def read_back(records: list[DnsRecord]) -> dict[tuple[str, str], list[str]]:
    """Name and type to values, as dnspython reads the zone text; strings of a TXT record joined, as verifiers join them."""
    values: dict[tuple[str, str], list[str]] = {}
    for rrset in dns.zonefile.read_rrsets("\n".join(zone_lines(records)), origin=".", rdclass=None):
        key = rrset.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(rrset.rdtype)
        for rdata in rrset:
            text = b"".join(rdata.strings).decode() if key[1] == "TXT" else rdata.to_text()
            values.setdefault(key, []).append(text.removesuffix("."))
    return values


def test_records_for_a_domain_are_those_of_acs_in_its_order_with_ours():
    assert asked() == [
        DnsRecord(Purpose.DOMAIN, "TXT", DOMAIN, f"postrider-domain-verification={TOKEN}", 3600),
        DnsRecord(Purpose.SPF, "TXT", DOMAIN, "v=spf1 include:spf.mail.example.net -all", 3600),
        DnsRecord(Purpose.DKIM, "TXT", f"s1._domainkey.{DOMAIN}", RSA_RECORD, 3600),
        DnsRecord(Purpose.DKIM2, "TXT", f"s2._domainkey.{DOMAIN}", RSA_RECORD, 3600),
        DnsRecord(Purpose.DKIM_ED25519, "TXT", f"e1._domainkey.{DOMAIN}", ED25519_RECORD, 3600),
        DnsRecord(Purpose.DMARC, "TXT", f"_dmarc.{DOMAIN}", "v=DMARC1; p=none", 3600),
    ]


def test_records_for_a_domain_with_a_dkim_zone_are_cnames_to_the_target_records():
    selectors = [("s1", RSA_RECORD), ("s2", RSA_RECORD), ("e1", ED25519_RECORD)]
    cnames = [record for record in asked(selectors=selectors, dkim_zone="dkim.mail.example.net") if record.type == "CNAME"]
    targets = dkim_target_records(DOMAIN, selectors, "dkim.mail.example.net")
    assert [record.name for record in cnames] == [f"{selector}._domainkey.{DOMAIN}" for selector, _ in selectors]
    assert [record.value for record in cnames] == [record.name for record in targets]
    assert [record.value for record in targets] == [public for _, public in selectors]
    assert {record.purpose for record in targets} == {Purpose.DKIM_TARGET}
    other = dkim_target_records("sales.example.org", selectors, "dkim.mail.example.net")
    assert not {record.name for record in other} & {record.name for record in targets}


def test_records_for_a_domain_too_long_for_a_target_ask_for_the_key_itself():
    long = ".".join(["a" * 60] * 3) + ".example"
    selectors = [("s1", RSA_RECORD)]
    assert len(long) == 190
    zone = "dkim." + "b" * 60 + ".example"
    assert [r.type for r in asked(domain_name=long, selectors=selectors, dkim_zone=zone) if r.purpose == "DKIM"] == ["TXT"]
    assert dkim_target_records(long, selectors, zone) == []


def test_records_for_a_domain_of_ours_have_no_verification():
    assert [record.purpose for record in asked(verification_token="", selectors=[])] == ["SPF", "DMARC"]


@pytest.mark.parametrize("policy", DmarcPolicy)
def test_records_for_dmarc_policy_and_reports_are_in_the_record(policy):
    record = asked(dmarc_policy=policy, dmarc_reports="dmarc@example.com")[-1]
    assert (record.name, record.value) == (f"_dmarc.{DOMAIN}", f"v=DMARC1; p={policy.value}; rua=mailto:dmarc@example.com")


@pytest.mark.parametrize(
    "changes",
    [
        {"domain_name": ""},
        {"domain_name": "Example.com"},
        {"domain_name": "example.com."},
        {"domain_name": "exämple.com"},
        {"domain_name": "a..example"},
        {"domain_name": "example.com\nevil"},
        {"domain_name": "a" * 64 + ".example"},
        {"domain_name": ".".join(["a" * 62] * 4)},
        {"spf_include": "spf.example -all"},
        {"spf_include": ""},
        {"verification_token": "a b"},
        {"verification_token": 'x"\n'},
        {"selectors": [("s 1", RSA_RECORD)]},
        {"selectors": [("s1", RSA_RECORD), ("s2", RSA_RECORD), ("s3", RSA_RECORD)]},
        {"selectors": [("e1", ED25519_RECORD), ("e2", ED25519_RECORD), ("e3", ED25519_RECORD)]},
        {"dkim_zone": "Dkim.example"},
        {"dmarc_reports": "dmarc@example.com,mallory@evil.example"},
        {"dmarc_reports": "dmarc@example.com; p=none"},
        {"dmarc_reports": "dmarc"},
    ],
)
def test_records_for_names_and_values_that_make_no_record_are_refused(changes):
    with pytest.raises(RecordError):
        asked(**changes)


def document(**changes) -> DomainDocument:
    """A domain of a customer with both slots, the second one named first."""
    selectors = [
        SelectorDocument(name=f"postrider{slot}{suffix}", private_key="", public_record=record, active=slot == 1, slot=slot)
        for slot in (2, 1)
        for suffix, record in (("", RSA_RECORD), ("-ed", ED25519_RECORD))
    ]
    fields = {
        "id": "/", "name": DOMAIN, "domain_management": "CustomerManaged", "from_sender_domain": DOMAIN,
        "verification_token": TOKEN, "selectors": selectors,
    }  # fmt: skip
    return DomainDocument(**(fields | changes))


def settings_with(**changes) -> Settings:
    return Settings(storage=StorageSettings(), platform_domain="mail.example.net", **changes)


def test_records_of_a_document_have_both_slots_whichever_signs():
    records = records_of(document(), settings_with())
    assert [(record.purpose.value, record.name.removesuffix(f".{DOMAIN}")) for record in records] == [
        ("Domain", DOMAIN), ("SPF", DOMAIN),
        ("DKIM", "postrider1._domainkey"), ("DKIM2", "postrider2._domainkey"),
        ("DKIMEd25519", "postrider1-ed._domainkey"), ("DKIM2Ed25519", "postrider2-ed._domainkey"),
        ("DMARC", "_dmarc"),
    ]  # fmt: skip
    assert records[1].value == "v=spf1 include:spf.mail.example.net -all"
    assert target_records_of(document(), settings_with()) == []


def test_records_of_a_document_follow_the_settings_and_its_policy():
    settings = settings_with(spf_include="spf.other.example", dkim_zone="dkim.example.net")
    records = {record.purpose: record for record in records_of(document(dmarc_policy="reject"), settings)}
    assert records[Purpose.SPF].value == "v=spf1 include:spf.other.example -all"
    assert (records[Purpose.DKIM2].type, records[Purpose.DKIM2].value) == ("CNAME", f"postrider2.{DOMAIN}.dkim.example.net")
    assert records[Purpose.DMARC].value == "v=DMARC1; p=reject"
    targets = {record.name: record.value for record in target_records_of(document(), settings)}
    assert len(targets) == 4
    assert targets[records[Purpose.DKIM_ED25519].value] == ED25519_RECORD


def test_records_of_a_document_with_a_reverse_path_send_its_bounces_to_the_platform():
    records = records_of(document(mail_from_sender_domain=f"bounce.{DOMAIN}"), settings_with())
    assert records[-2:] == [
        DnsRecord(Purpose.MAIL_FROM_MX, "MX", f"bounce.{DOMAIN}", "10 mx.mail.example.net"),
        DnsRecord(Purpose.MAIL_FROM_SPF, "TXT", f"bounce.{DOMAIN}", "v=spf1 include:spf.mail.example.net -all"),
    ]


def test_records_of_a_managed_domain_are_none():
    assert records_of(document(domain_management="AzureManaged"), settings_with()) == []


@pytest.mark.parametrize(
    ("name", "zone", "relative"),
    [
        (DOMAIN, "example.com", "sales"),
        (f"_dmarc.{DOMAIN}", "example.com", "_dmarc.sales"),
        ("example.com", "example.com", "@"),
    ],
)
def test_name_in_zone_is_what_an_editor_of_the_zone_wants(name, zone, relative):
    assert name_in_zone(name, zone) == relative


def test_name_in_zone_of_a_name_outside_is_refused():
    with pytest.raises(RecordError, match="not in the zone"):
        name_in_zone("badexample.com", "example.com")


def test_platform_records_give_bounces_a_home_and_senders_an_spf_record():
    records = platform_records(
        "mail.example.net",
        bounce_domain="bounce.mail.example.net",
        senders=["192.0.2.1", "2001:db8::25", "198.51.100.0/28"],
        spf_includes=["spf.smarthost.example"],
        mx_addresses=["192.0.2.9", "2001:db8::9"],
    )
    assert read_back(records) == {
        ("spf.mail.example.net", "TXT"): [
            "v=spf1 ip4:192.0.2.1 ip6:2001:db8::25 ip4:198.51.100.0/28 include:spf.smarthost.example -all"
        ],
        ("bounce.mail.example.net", "MX"): ["10 mx.mail.example.net"],
        ("bounce.mail.example.net", "TXT"): ["v=spf1 include:spf.mail.example.net -all"],
        ("bounce.mail.example.net", "A"): ["192.0.2.1"],
        ("bounce.mail.example.net", "AAAA"): ["2001:db8::25"],
        ("mx.mail.example.net", "A"): ["192.0.2.9"],
        ("mx.mail.example.net", "AAAA"): ["2001:db8::9"],
    }
    assert (spf_host("mail.example.net"), mx_host("mail.example.net")) == ("spf.mail.example.net", "mx.mail.example.net")


def test_platform_records_with_an_ehlo_name_of_its_own_give_it_address_and_spf():
    records = read_back(
        platform_records("example.net", bounce_domain="bounce.example.net", senders=["192.0.2.1"], ehlo_name="out.example.net")
    )
    assert records["out.example.net", "A"] == ["192.0.2.1"]
    assert records["out.example.net", "TXT"] == ["v=spf1 include:spf.example.net -all"]
    assert ("bounce.example.net", "A") not in records


@pytest.mark.parametrize(
    "changes",
    [
        {"senders": []},
        {"senders": ["mail.example.net"]},
        {"senders": ["192.0.2.1/24"]},
        {"senders": ["192.0.2.1 +all"]},
        {"senders": ["fe80::1%eth0"]},
        {"senders": ["fe80::1%eth0 +all"]},
        {"senders": ["192.0.2.1\n"]},
        {"spf_includes": ["spf.example +all"]},
        {"mx_addresses": ["192.0.2.0/28"]},
        {"bounce_domain": "bounce example"},
        {"ehlo_name": "[192.0.2.1]"},
    ],
)
def test_platform_records_of_wrong_values_are_refused(changes):
    arguments = {"bounce_domain": "bounce.example.net", "senders": ["192.0.2.1"]}
    with pytest.raises(RecordError):
        platform_records("example.net", **(arguments | changes))


def test_zone_lines_are_absolute_with_ttl_and_quoted_strings():
    assert zone_lines(asked(selectors=[("s1", "v=DKIM1; k=rsa; p=" + "A" * 300)])[1:3]) == [
        f'{DOMAIN}. 3600 IN TXT "v=spf1 include:spf.mail.example.net -all"',
        f's1._domainkey.{DOMAIN}. 3600 IN TXT "v=DKIM1; k=rsa; p={"A" * 237}" "{"A" * 63}"',
    ]
    assert zone_lines([DnsRecord(Purpose.DKIM, "CNAME", "a.example", "b.example", 60)]) == ["a.example. 60 IN CNAME b.example."]


def test_zone_lines_of_a_4096_bit_key_are_read_back_as_the_same_record():
    public = "v=DKIM1; k=rsa; p=" + base64.b64encode(bytes(550)).decode()
    records = asked(selectors=[("s1", public), ("e1", ED25519_RECORD)])
    values = read_back(records)
    assert values[f"s1._domainkey.{DOMAIN}", "TXT"] == [public]
    assert sorted(values[DOMAIN, "TXT"]) == sorted(r.value for r in records if r.name == DOMAIN)


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=600))
def test_zone_lines_of_any_txt_value_are_one_line_and_read_back_unchanged(value):
    record = DnsRecord(Purpose.DOMAIN, "TXT", DOMAIN, value)
    (line,) = zone_lines([record])
    assert line.isascii()
    assert line.isprintable()
    assert read_back([record]) == {(DOMAIN, "TXT"): [value.removesuffix(".")]}
