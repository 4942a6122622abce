"""Records as zone lines, Bicep and Terraform: what dnspython reads of the first, and golden files for the other two.

There is no Bicep and no Terraform in CI, so their files are compared with golden ones, which were read by people.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path

import dns.rdatatype
import dns.zone
import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_core.domains.record_export import as_bicep, as_bind, as_json, as_terraform, record_groups, text_strings
from email_core.domains.records import DnsRecord, Purpose, RecordError, records_for

GOLDEN = Path(__file__).parents[2] / "golden" / "records"
ZONE = "example.com"
KEY = f"v=DKIM1; k=rsa; p={base64.b64encode(bytes(range(256)) + bytes(38)).decode()}"  # as long as one of 2048 bits

RECORDS = [
    *records_for(
        f"sales.{ZONE}",
        verification_token="0f8fad5b-d9cb-469f-a165-70867728950e",
        selectors=[("postrider1", KEY), ("postrider1-ed", "v=DKIM1; k=ed25519; p=" + "A" * 43 + "="), ("postrider2", KEY)],
        spf_include="spf.mail.example.net",
        mail_from_domain=f"bounce.sales.{ZONE}",
        bounce_host="mx.mail.example.net",
    ),
    *records_for(
        ZONE,
        verification_token="at-the-apex",
        selectors=[("postrider1", KEY)],
        spf_include="spf.mail.example.net",
        dkim_zone="dkim.example.net",
    ),
    DnsRecord(Purpose.ADDRESS, "A", f"mx.{ZONE}", "192.0.2.1"),
    DnsRecord(Purpose.ADDRESS, "A", f"mx.{ZONE}", "192.0.2.2", 300),
    DnsRecord(Purpose.ADDRESS, "AAAA", f"mx.{ZONE}", "2001:db8::1"),
    # What no record of ours holds today: characters that mean something in one of the languages.
    DnsRecord(Purpose.DOMAIN, "TXT", f"a-b.{ZONE}", "it's \"quoted\" \\ ${zone} %{if} \t${'x'}"),
    DnsRecord(Purpose.DOMAIN, "TXT", f"a_b.{ZONE}", "another one with the same identifier"),
]


def read_zone(text: str, zone: str) -> dict[tuple[str, str], set[str]]:
    """Name and type to values, as dnspython reads a zone file with these lines."""
    head = f"$ORIGIN {zone}.\n@ 3600 IN SOA ns.{zone}. hostmaster.{zone}. 1 3600 600 86400 60\n@ 3600 IN NS ns.{zone}.\n"
    found = dns.zone.from_text(head + text, origin=zone, relativize=False)
    values: dict[tuple[str, str], set[str]] = {}
    for name, rdataset in found.iterate_rdatasets():
        kind = dns.rdatatype.to_text(rdataset.rdtype)
        for rdata in rdataset:
            value = b"".join(rdata.strings).decode() if kind == "TXT" else rdata.to_text().removesuffix(".")
            values.setdefault((name.to_text(omit_final_dot=True), kind), set()).add(value)
    return values


def test_bind_lines_are_a_zone_file_with_the_same_records() -> None:
    found = read_zone(as_bind(RECORDS), ZONE)

    expected: dict[tuple[str, str], set[str]] = {}
    for record in RECORDS:
        expected.setdefault((record.name, record.type), set()).add(record.value)
    assert {key: found[key] for key in expected} == expected
    assert {kind for _, kind in found.keys() - expected.keys()} == {"SOA", "NS"}


@pytest.mark.parametrize(("name", "written"), [("sales.bicep", as_bicep), ("sales.tf", as_terraform)])
def test_export_is_the_golden_file(name: str, written) -> None:
    got, file = written(RECORDS, ZONE), GOLDEN / name
    actual = file.with_name(f"{name}.actual")

    if not file.exists() or got != file.read_text(encoding="utf-8"):
        actual.write_text(got, encoding="utf-8")
    else:
        actual.unlink(missing_ok=True)
    assert got == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("written", [as_bicep, as_terraform], ids=["bicep", "terraform"])
def test_export_has_balanced_brackets_and_one_resource_for_each_name_and_type(written) -> None:
    text = written(RECORDS, ZONE)
    # Strings taken out, with their escapes, what is left has to nest.
    bare = re.sub(r"'(?:\\.|[^'\\])*'" if written is as_bicep else r'"(?:\\.|[^"\\])*"', "", text)
    bare = re.sub(r"^(//|#).*$", "", bare, flags=re.MULTILINE)

    waiting: list[str] = []
    for character in bare:
        if character in "{[(":
            waiting.append({"{": "}", "[": "]", "(": ")"}[character])
        elif character in "}])":
            assert waiting.pop() == character
    assert waiting == []
    resources = [line for line in text.splitlines() if line.startswith("resource ") and "existing" not in line]
    assert len(resources) == len({line.partition("'")[0] for line in resources}) == len(record_groups(RECORDS, ZONE))


def test_json_has_names_within_the_zone_and_the_apex_as_at_sign() -> None:
    shown = as_json(RECORDS, ZONE)

    assert [each["relativeName"] for each in shown if each["purpose"] == "SPF"] == ["sales", "@"]
    assert shown[0] == {
        "purpose": "Domain", "type": "TXT", "name": "sales.example.com", "relativeName": "sales",
        "value": "postrider-domain-verification=0f8fad5b-d9cb-469f-a165-70867728950e", "ttl": 3600,
    }  # fmt: skip


def test_record_groups_join_the_values_of_a_name_and_take_the_lowest_ttl() -> None:
    groups = {(group.name, group.type): group for group in record_groups(RECORDS, ZONE)}

    assert groups["mx", "A"].values == ("192.0.2.1", "192.0.2.2")
    assert groups["mx", "A"].ttl == 300
    assert len(groups["@", "TXT"].values) == 2


@pytest.mark.parametrize("written", [as_bicep, as_terraform, as_json], ids=["bicep", "terraform", "json"])
def test_export_of_a_record_outside_of_the_zone_is_refused(written) -> None:
    with pytest.raises(RecordError, match=r"not in the zone"):
        written(RECORDS, "sales.example.com")


@given(st.text(max_size=700))
def test_text_strings_are_whole_characters_of_at_most_255_octets(value: str) -> None:
    value = value.encode("utf-8", "replace").decode()
    strings = text_strings(value)

    assert "".join(strings) == value
    assert all(len(string.encode()) <= 255 for string in strings)
    assert len(strings) <= len(value.encode()) // 250 + 1


@given(st.text(alphabet="'\"\\${}%ab\t\n é", min_size=1, max_size=40))
def test_bicep_and_terraform_strings_are_ended_by_their_own_quote_alone(value: str) -> None:
    record = DnsRecord(Purpose.DOMAIN, "TXT", ZONE, value)

    bicep = next(line.strip() for line in as_bicep([record], ZONE).splitlines() if line.startswith("          '"))
    terraform = next(line.strip() for line in as_terraform([record], ZONE).splitlines() if line.startswith("    value = "))

    assert re.fullmatch(r"'(?:\\.|[^'\\])*'", bicep)
    assert re.fullmatch(r'value = "(?:\\.|[^"\\])*"', terraform)
    # No interpolation is left that the language would look into.
    assert "${" not in re.sub(r"\\.", "_", bicep)
    assert "${" not in terraform.replace("$${", "") and "%{" not in terraform.replace("%%{", "")
