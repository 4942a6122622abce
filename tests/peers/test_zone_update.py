"""Dynamic updates against Knot: what is read, changed only as it was read, and what is said when that does not work."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from email_core.dns.resolver import DnsResolver
from email_core.dns.update import UpdateServer
from email_core.dns.zone_edit import ZoneChanged, ZoneRefused, ZoneUnavailable
from email_core.domains.zone_setting import UpdateZone, parse_zones
from tests.kit.free_ports import free_port
from tests.kit.knot import Knot, missing_reason
from tests.kit.peers import require

pytestmark = pytest.mark.peers

ZONE = "contoso.test"
WRONG = base64.b64encode(bytes(32)).decode()


@pytest.fixture(scope="module")
def server() -> Iterator[Knot]:
    reason = missing_reason()
    require(not reason, reason)
    with Knot({ZONE: [], "other.test": []}) as running:
        yield running


@pytest.fixture
def zone(server: Knot) -> Knot:
    """The same server with a zone of a few records."""
    lines = [
        '@ 300 TXT "google-" "site"', '@ 300 TXT "v=spf1 mx -all"', "alias CNAME elsewhere.test.",
        '*.wild TXT "from the wildcard"', 'deep.below TXT "x"', "texts A 192.0.2.1", '@ MX 10 mail.contoso.test.',
    ]  # fmt: skip
    server.replace_zone(ZONE, lines)
    return server


def editor(server: Knot, zone: str = ZONE, **changes: str) -> UpdateServer:
    (setting,) = parse_zones([server.zone_entry(zone, **changes)])
    assert isinstance(setting, UpdateZone)
    return UpdateServer(
        setting.zone, setting.host, setting.port,
        key_name=setting.key_name, secret=setting.secret, algorithm=setting.algorithm,
    )  # fmt: skip


async def test_record_set_is_read_with_its_texts_joined(zone: Knot) -> None:
    found = await editor(zone).read(ZONE, "TXT")

    assert sorted(found.values) == ["google-site", "v=spf1 mx -all"]
    assert found.ttl == 300


@pytest.mark.parametrize(
    ("name", "kind", "cname", "others"),
    [
        ("absent", "TXT", "", False),
        ("alias", "TXT", "elsewhere.test", True),
        ("texts", "TXT", "", True),
        ("texts", "CNAME", "", True),
        ("below", "CNAME", "", False),  # an empty non-terminal
        ("any.wild", "TXT", "", False),
    ],
)
async def test_record_set_that_is_not_there_is_read_with_what_stands_there(
    zone: Knot, name: str, kind: str, cname: str, others: bool
) -> None:
    found = await editor(zone).read(f"{name}.{ZONE}", kind)

    assert (found.values, found.cname, found.others) == ((), cname, others)


async def test_record_set_is_changed_and_what_others_wrote_stays_as_it_was_cut(zone: Knot) -> None:
    changing = editor(zone)
    before = await changing.read(ZONE, "TXT")
    long = "v=DKIM1; k=rsa; p=" + "A" * 392

    await changing.replace(before, ("google-site", "v=spf1 mx include:spf.p.test -all", long), 3600)

    after = await changing.read(ZONE, "TXT")
    assert sorted(after.values) == sorted(["google-site", "v=spf1 mx include:spf.p.test -all", long])
    assert {tuple(map(len, rdata.strings)) for rdata in after.native} == {(7, 4), (33,), (255, 155)}
    assert after.ttl == 300  # a record set has one TTL, and it was theirs


@pytest.mark.parametrize(
    ("kind", "value"), [("TXT", "v=DMARC1; p=none"), ("CNAME", "s1.dkim.p.test"), ("MX", "10 mx.p.test"), ("A", "192.0.2.7")]
)
async def test_record_set_of_each_type_is_created_and_read_back(zone: Knot, kind: str, value: str) -> None:
    changing, name = editor(zone), f"new-{kind.lower()}.{ZONE}"

    await changing.replace(await changing.read(name, kind), (value,), 3600)

    after = await changing.read(name, kind)
    assert (after.values, after.ttl) == ((value,), 3600)


async def test_name_below_a_wildcard_gets_a_record_of_its_own(zone: Knot) -> None:
    changing, name = editor(zone), f"one.wild.{ZONE}"

    await changing.replace(await changing.read(name, "TXT"), ("its own",), 60)

    assert (await changing.read(name, "TXT")).values == ("its own",)
    assert await DnsResolver(zone.address).txt(f"two.wild.{ZONE}")


@pytest.mark.parametrize("lines", [[f'{ZONE}. 300 TXT "somebody else\'s"'], None], ids=["added", "deleted"])
async def test_record_set_that_somebody_changed_meanwhile_is_left_alone(zone: Knot, lines: list[str] | None) -> None:
    changing = editor(zone)
    before = await changing.read(ZONE, "TXT")
    if lines:
        zone.add_records(lines)
    else:
        zone.delete_records(ZONE, "TXT")

    with pytest.raises(ZoneChanged, match=r"contoso\.test TXT of zone"):
        await changing.replace(before, (*before.values, "ours"), 3600)

    assert "ours" not in (await changing.read(ZONE, "TXT")).values


async def test_record_set_that_somebody_created_meanwhile_is_left_alone(zone: Knot) -> None:
    changing = editor(zone)
    before = await changing.read(f"_dmarc.{ZONE}", "TXT")
    zone.add_records([f'_dmarc.{ZONE}. TXT "v=DMARC1; p=reject"'])

    with pytest.raises(ZoneChanged):
        await changing.replace(before, ("v=DMARC1; p=none",), 3600)

    assert (await changing.read(f"_dmarc.{ZONE}", "TXT")).values == ("v=DMARC1; p=reject",)


async def test_change_that_the_server_drops_without_a_word_is_noticed(zone: Knot) -> None:
    changing = editor(zone)
    before = await changing.read(f"late.{ZONE}", "TXT")
    # Nothing of type TXT is at the name, so that the update's prerequisite holds.
    zone.add_records([f"late.{ZONE}. CNAME elsewhere.test."])

    with pytest.raises(ZoneRefused) as refused:
        await changing.replace(before, ("ours",), 3600)

    assert "does not show it" in refused.value.public and "CNAME" in refused.value.public


@pytest.mark.parametrize("changes", [{"secret": WRONG}, {"key": "nobody"}], ids=["wrong-secret", "unknown-key"])
async def test_wrong_key_is_refused_and_told_without_the_secret(zone: Knot, changes: dict[str, str]) -> None:
    with pytest.raises(ZoneRefused) as refused:
        await editor(zone, **changes).read(ZONE, "TXT")

    assert "does not take the key: its name, secret and algorithm" in refused.value.public
    assert WRONG not in str(refused.value) and zone.host not in refused.value.public
    assert zone.host in str(refused.value)


async def test_zone_that_the_server_does_not_hold_is_refused(zone: Knot) -> None:
    with pytest.raises(ZoneRefused) as refused:
        await editor(zone, "example.org").read("_dmarc.example.org", "TXT")

    assert "name the zone's primary server" in refused.value.public
    assert "example.org" in str(refused.value)


async def test_server_that_is_away_is_unavailable() -> None:
    away = UpdateServer(ZONE, "127.0.0.1", free_port(), key_name="k", secret=bytes(32), algorithm="hmac-sha256", seconds=2)

    with pytest.raises(ZoneUnavailable, match=r"zone contoso\.test at 127\.0\.0\.1"):
        await away.read(ZONE, "TXT")


async def test_host_without_address_is_unavailable() -> None:
    away = UpdateServer(ZONE, "ns.invalid", 53, key_name="k", secret=bytes(32), algorithm="hmac-sha256", seconds=5)

    with pytest.raises(ZoneUnavailable, match=r"ns\.invalid"):
        await away.read(ZONE, "TXT")
