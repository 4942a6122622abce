"""Azure DNS through azure-mgmt-dns, against a server of the test's own that keeps record sets with their ETags."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from email_core.dns.zone_edit import RecordSet, ZoneChanged, ZoneRefused, ZoneUnavailable
from tests.kit.azure_dns import AzureDns, FakeToken, azure_dns, refusal
from tests.kit.free_ports import free_port

ZONE = "contoso.test"


@pytest.fixture
async def azure(tmp_path: Path) -> AsyncIterator[AzureDns]:
    async with azure_dns(tmp_path, ZONE) as serving:
        yield serving


async def test_record_set_that_is_not_there_is_read_as_empty_and_created(azure: AzureDns) -> None:
    editor = azure.editor()
    long = "v=DKIM1; k=rsa; p=" + "A" * 392

    before = await editor.read(f"postrider1._domainkey.{ZONE}", "TXT")
    await editor.replace(before, (long,), 3600)
    after = await editor.read(f"postrider1._domainkey.{ZONE}", "TXT")
    await editor.close()

    assert (before.values, before.version) == ((), "")
    assert after.values == (long,) and after.ttl == 3600
    assert azure.texts("postrider1._domainkey") == [[long[:255], long[255:]]]


async def test_record_set_keeps_what_others_wrote_as_they_cut_it(azure: AzureDns) -> None:
    azure.put(
        "@", "TXT", 600, TXTRecords=[{"value": ["google-", "site"]}, {"value": ["v=spf1 -all"]}], metadata={"owner": "it"}
    )
    editor = azure.editor()

    before = await editor.read(ZONE, "TXT")
    await editor.replace(before, ("google-site", "v=spf1 include:x.test -all"), 3600)
    await editor.close()

    assert before.values == ("google-site", "v=spf1 -all")
    assert azure.texts("@") == [["google-", "site"], ["v=spf1 include:x.test -all"]]
    assert azure.sets["@", "TXT"]["properties"]["TTL"] == 600
    assert azure.sets["@", "TXT"]["properties"]["metadata"] == {"owner": "it"}


@pytest.mark.parametrize("there", [True, False], ids=["changed", "created"])
async def test_record_set_that_somebody_wrote_meanwhile_is_not_overwritten(azure: AzureDns, there: bool) -> None:
    if there:
        azure.put("_dmarc", "TXT", TXTRecords=[{"value": ["v=DMARC1; p=none"]}])
    azure.meanwhile = lambda: azure.put("_dmarc", "TXT", TXTRecords=[{"value": ["v=DMARC1; p=reject"]}])
    editor = azure.editor()

    before = await editor.read(f"_dmarc.{ZONE}", "TXT")
    with pytest.raises(ZoneChanged):
        await editor.replace(before, (*before.values, "ours"), 3600)
    await editor.close()

    assert azure.texts("_dmarc") == [["v=DMARC1; p=reject"]]


async def test_cname_and_mx_are_read_and_written(azure: AzureDns) -> None:
    editor = azure.editor()

    for name, kind, value in (("postrider1._domainkey", "CNAME", "a.dkim.test"), ("bounce", "MX", "10 mx.test")):
        await editor.replace(await editor.read(f"{name}.{ZONE}", kind), (value,), 3600)
        assert (await editor.read(f"{name}.{ZONE}", kind)).values == (value,)
    await editor.close()

    assert azure.sets["postrider1._domainkey", "CNAME"]["properties"]["CNAMERecord"] == {"cname": "a.dkim.test"}
    assert azure.sets["bounce", "MX"]["properties"]["MXRecords"] == [{"preference": 10, "exchange": "mx.test"}]


async def test_cname_where_text_is_wanted_and_text_where_cname_is_are_seen(azure: AzureDns) -> None:
    azure.put("s1", "CNAME", CNAMERecord={"cname": "Elsewhere.test."})
    azure.put("s2", "TXT", TXTRecords=[{"value": ["x"]}])
    editor = azure.editor()

    beside_cname, beside_text = await editor.read(f"s1.{ZONE}", "TXT"), await editor.read(f"s2.{ZONE}", "CNAME")
    await editor.close()

    assert (beside_cname.values, beside_cname.cname) == ((), "elsewhere.test")
    assert (beside_text.values, beside_text.others) == ((), True)


@pytest.mark.parametrize(
    ("status", "code", "kind", "said"),
    [
        (403, "AuthorizationFailed", ZoneRefused, "role DNS Zone Contributor"),
        (401, "InvalidAuthenticationToken", ZoneRefused, "role DNS Zone Contributor"),
        (400, "BadRequest", ZoneRefused, "Azure DNS refused it: BadRequest"),
        (404, "ParentResourceNotFound", ZoneRefused, "no such zone"),
        (429, "TooManyRequests", ZoneUnavailable, "429"),
        (500, "InternalServerError", ZoneUnavailable, "500"),
    ],
)
async def test_refusal_of_azure_says_what_to_do_or_that_it_passes(
    azure: AzureDns, status: int, code: str, kind: type[Exception], said: str
) -> None:
    azure.answer = lambda request: refusal(status, code, "why not") if request.method == "PUT" else None
    editor = azure.editor()

    with pytest.raises(kind) as failed:
        await editor.replace(await editor.read(f"_dmarc.{ZONE}", "TXT"), ("v=DMARC1; p=none",), 3600)
    await editor.close()

    public = failed.value.public if isinstance(failed.value, ZoneRefused) else str(failed.value)
    assert said in public
    assert "token-of-the-test" not in str(failed.value) and "11111111" not in public


async def test_azure_that_is_away_is_unavailable(azure: AzureDns) -> None:
    editor = azure.editor(base_url=f"https://localhost:{free_port()}")

    with pytest.raises(ZoneUnavailable, match=r"Azure DNS, zone contoso\.test"):
        await editor.read(ZONE, "TXT")
    await editor.close()


async def test_credential_is_closed_with_the_editor(azure: AzureDns) -> None:
    credential = FakeToken()

    await azure.editor(credential=credential).close()

    assert credential.closed


def test_record_set_shows_nothing_of_its_native_form() -> None:
    assert "native" not in repr(RecordSet("a", "TXT", ("x",), native=("secret form",)))
