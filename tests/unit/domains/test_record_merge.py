"""What becomes of the records that are there when ours are published: a table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_core.domains.record_merge import Outcome, Present, merge, spf_with_include
from email_core.domains.records import DnsRecord, Purpose

D = "contoso.test"
TOKEN = DnsRecord(Purpose.DOMAIN, "TXT", D, "postrider-domain-verification=1")
SPF = DnsRecord(Purpose.SPF, "TXT", D, "v=spf1 include:spf.p.test -all")
KEY = DnsRecord(Purpose.DKIM, "TXT", f"postrider1._domainkey.{D}", "v=DKIM1; k=rsa; p=NEW")
ALIAS = DnsRecord(Purpose.DKIM, "CNAME", f"postrider1._domainkey.{D}", f"postrider1.{D}.dkim.p.test")
TARGET = DnsRecord(Purpose.DKIM_TARGET, "TXT", f"postrider1.{D}.dkim.p.test", "v=DKIM1; k=rsa; p=NEW")
DMARC = DnsRecord(Purpose.DMARC, "TXT", f"_dmarc.{D}", "v=DMARC1; p=none")
MX = DnsRecord(Purpose.MAIL_FROM_MX, "MX", f"bounce.{D}", "10 mx.p.test")

PUBLISHED, THERE, MERGED, CONFLICT = Outcome.PUBLISHED, Outcome.THERE, Outcome.MERGED, Outcome.CONFLICT
OTHER = "google-site-verification=abc"

TABLE = [
    ("token-nothing-there", TOKEN, (), PUBLISHED, (TOKEN.value,), ""),
    ("token-others-stay", TOKEN, (OTHER, "v=spf1 -all"), PUBLISHED, (OTHER, "v=spf1 -all", TOKEN.value), ""),
    ("token-there", TOKEN, (OTHER, TOKEN.value), THERE, (OTHER, TOKEN.value), ""),
    ("spf-nothing-there", SPF, (OTHER,), PUBLISHED, (OTHER, SPF.value), ""),
    ("spf-there", SPF, (SPF.value,), THERE, (SPF.value,), ""),
    ("spf-included", SPF, ("v=spf1 mx include:spf.p.test ~all",), THERE, ("v=spf1 mx include:spf.p.test ~all",), "includes it"),
    ("spf-merged-before-all", SPF, (OTHER, "v=spf1 mx ~all"), MERGED, (OTHER, "v=spf1 mx include:spf.p.test ~all"), "got our"),
    ("spf-merged-all-alone", SPF, ("v=spf1 -all",), MERGED, ("v=spf1 include:spf.p.test -all",), ""),
    ("spf-merged-no-all", SPF, ("v=spf1 a",), MERGED, ("v=spf1 a include:spf.p.test",), ""),
    ("spf-merged-redirect", SPF, ("v=spf1 redirect=x.test",), MERGED, ("v=spf1 include:spf.p.test redirect=x.test",), ""),
    ("spf-case-does-not-matter", SPF, ("V=SPF1 A -ALL",), MERGED, ("V=SPF1 A include:spf.p.test -ALL",), ""),
    ("spf-include-behind-all", SPF, ("v=spf1 -all include:spf.p.test",), MERGED,
     ("v=spf1 include:spf.p.test -all include:spf.p.test",), ""),
    ("spf-excluded", SPF, ("v=spf1 -include:spf.p.test mx -all",), CONFLICT, None, "excludes spf.p.test"),
    ("spf-two", SPF, ("v=spf1 a -all", "v=spf1 mx -all"), CONFLICT, None, "2 SPF records"),
    ("spf-two-with-ours", SPF, (SPF.value, "v=spf1 mx -all"), CONFLICT, None, "2 SPF records"),
    ("spf-looks-like-one", SPF, ("v=spf10 a -all",), PUBLISHED, ("v=spf10 a -all", SPF.value), ""),
    ("key-nothing-there", KEY, (), PUBLISHED, (KEY.value,), ""),
    ("key-there", KEY, ("v=DKIM1;k=rsa;p=NEW",), THERE, ("v=DKIM1;k=rsa;p=NEW",), ""),
    ("key-of-ours-before", KEY, ("v=DKIM1; k=rsa; p=OLD",), PUBLISHED, (KEY.value,), "replaced"),
    ("key-of-ours-beside", KEY, (KEY.value, "v=DKIM1; k=rsa; p=OLD"), PUBLISHED, (KEY.value,), "taken away"),
    ("key-of-somebody", KEY, ("v=DKIM1; k=rsa; p=THEIRS",), CONFLICT, None, "another TXT record stands at this selector"),
    ("key-of-somebody-beside", KEY, (KEY.value, "v=DKIM1; p=THEIRS"), CONFLICT, None, "beside our key"),
    ("target-replaces", TARGET, ("v=DKIM1; k=rsa; p=THEIRS",), PUBLISHED, (TARGET.value,), "replaced"),
    ("target-beside", TARGET, (TARGET.value, "v=DKIM1; p=THEIRS"), PUBLISHED, (TARGET.value,), ""),
    ("dmarc-nothing-there", DMARC, (), PUBLISHED, (DMARC.value,), ""),
    ("dmarc-of-the-owner", DMARC, ("v=DMARC1; p=reject",), THERE, ("v=DMARC1; p=reject",), "owner's DMARC record is kept"),
    ("dmarc-two", DMARC, ("v=DMARC1; p=reject", "v=DMARC1; p=none; pct=5"), CONFLICT, None, "2 DMARC records"),
    ("mx-nothing-there", MX, (), PUBLISHED, (MX.value,), ""),
    ("mx-there", MX, ("10 MX.P.test",), THERE, ("10 MX.P.test",), ""),
    ("mx-elsewhere", MX, ("10 mx.other.test",), CONFLICT, None, "goes elsewhere already (10 mx.other.test)"),
    ("alias-nothing-there", ALIAS, (), PUBLISHED, (ALIAS.value,), ""),
    ("alias-there", ALIAS, (ALIAS.value,), THERE, (ALIAS.value,), ""),
    ("alias-elsewhere", ALIAS, ("selector1.other.test",), CONFLICT, None, "a CNAME to selector1.other.test stands there"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("record", "values", "outcome", "after", "reason"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_record_meets_what_is_there(
    record: DnsRecord, values: tuple[str, ...], outcome: Outcome, after: tuple[str, ...] | None, reason: str
) -> None:
    merged = merge(record, Present(values), earlier=("v=DKIM1; k=rsa; p=OLD",))

    assert (merged.outcome, merged.values) == (outcome, values if after is None else after)
    assert reason in merged.reason
    assert bool(merged.reason) or outcome is not CONFLICT


@pytest.mark.parametrize("record", [TOKEN, SPF, KEY, TARGET, DMARC, MX], ids=lambda record: str(record.purpose))
def test_record_meets_a_cname_and_is_a_conflict(record: DnsRecord) -> None:
    merged = merge(record, Present(cname="elsewhere.test"))

    assert (merged.outcome, merged.values) == (CONFLICT, ())
    assert "a CNAME to elsewhere.test stands there" in merged.reason and "delete it" in merged.reason


def test_alias_beside_other_records_is_a_conflict() -> None:
    assert merge(ALIAS, Present(others=True)).outcome is CONFLICT


def test_target_of_a_domain_that_is_not_proven_leaves_the_key_of_another() -> None:
    there = Present(("v=DKIM1; k=rsa; p=THEIRS",))

    assert merge(TARGET, there, owned=False).outcome is CONFLICT
    assert merge(TARGET, Present(), owned=False).outcome is PUBLISHED


def test_merge_done_twice_changes_nothing_the_second_time() -> None:
    for _, record, values, *_ in TABLE:
        once = merge(record, Present(values), earlier=("v=DKIM1; k=rsa; p=OLD",))
        again = merge(record, Present(once.values), earlier=("v=DKIM1; k=rsa; p=OLD",))

        assert again.values == once.values
        assert again.outcome is (CONFLICT if once.outcome is CONFLICT else THERE)


terms = st.lists(
    st.sampled_from(["a", "mx", "ip4:192.0.2.1", "include:x.test", "~all", "-all", "all", "redirect=y.test", "exp=z.test"]),
    max_size=6,
)  # fmt: skip


@given(terms)
def test_spf_with_include_keeps_every_term_in_its_order_and_has_ours_before_all(others: list[str]) -> None:
    merged = spf_with_include(" ".join(["v=spf1", *others]), "spf.p.test")

    assert merged is not None
    found = merged.split()
    ours = found.index("include:spf.p.test")
    assert [term for term in found if term != "include:spf.p.test"] == ["v=spf1", *others]
    assert not any(term.endswith("all") for term in found[:ours])
    assert spf_with_include(merged, "spf.p.test") == merged
