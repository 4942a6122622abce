from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable

import pytest

from email_core.delivery.mx_hosts import MX_ADDRESS_CAP, MxFailure, MxHost, MxHosts, find_mx_hosts
from tests.kit.dns_zone import SERVFAIL, Zone, ZoneResolver


async def find(zone: Zone, *, allow_private: bool = False, random: Iterable[float] = (0.5,)) -> MxHosts | MxFailure:
    numbers: Callable[[], float] = itertools.cycle(random).__next__
    return await find_mx_hosts("example.test", ZoneResolver(zone), allow_private=allow_private, random=numbers)


def names(found: MxHosts | MxFailure) -> list[str]:
    assert isinstance(found, MxHosts), found
    return [host.name for host in found.hosts]


def zone(*exchangers: tuple[int, str], **addresses: list[str]) -> Zone:
    """A zone with these exchangers, one-label names below example.test."""
    hosts = {f"{name}.example.test": {"A": list_of} for name, list_of in addresses.items()}
    return {"example.test": {"MX": [(preference, f"{name}.example.test") for preference, name in exchangers]}, **hosts}


async def test_hosts_come_in_order_of_preference() -> None:
    found = await find(zone((30, "c"), (10, "a"), (20, "b"), a=["8.8.8.1"], b=["8.8.8.2"], c=["8.8.8.3"]))
    assert found == MxHosts(
        (
            MxHost("a.example.test", ("8.8.8.1",), 10),
            MxHost("b.example.test", ("8.8.8.2",), 20),
            MxHost("c.example.test", ("8.8.8.3",), 30),
        )
    )


@pytest.mark.parametrize(("random", "first"), [((0.1, 0.9, 0.5), ["a", "c"]), ((0.9, 0.1, 0.5), ["b", "c"])])
async def test_hosts_of_equal_preference_are_shuffled(random: tuple[float, ...], first: list[str]) -> None:
    found = await find(zone((10, "a"), (10, "b"), (10, "c"), a=["8.8.8.1"], b=["8.8.8.2"], c=["8.8.8.3"]), random=random)
    assert names(found)[:2] == [f"{name}.example.test" for name in first]


async def test_domain_without_mx_is_its_own_host() -> None:
    found = await find({"example.test": {"A": ["8.8.8.8"]}})
    assert found == MxHosts((MxHost("example.test", ("8.8.8.8",)),), implicit=True)


async def test_addresses_are_ipv4_first_and_at_most_five() -> None:
    found = await find(
        {
            "example.test": {"MX": [(10, "a.example.test"), (20, "b.example.test"), (30, "c.example.test")]},
            "a.example.test": {"AAAA": ["2606:4700::1"], "A": ["8.8.8.1"]},
            "b.example.test": {"A": [f"8.8.4.{number}" for number in range(1, 7)]},
            "c.example.test": {"A": ["8.8.8.3"]},
        }
    )
    assert isinstance(found, MxHosts)
    assert found.hosts[0].addresses == ("8.8.8.1", "2606:4700::1")
    assert [address for host in found.hosts for address in host.addresses][2:] == ["8.8.4.1", "8.8.4.2", "8.8.4.3"]
    assert sum(len(host.addresses) for host in found.hosts) == MX_ADDRESS_CAP


async def test_hostile_zone_with_a_thousand_exchangers_costs_few_questions() -> None:
    resolver = ZoneResolver({"example.test": {"MX": [(10, f"mx{number}.example.test") for number in range(1000)]}})
    await find_mx_hosts("example.test", resolver, allow_private=False, random=lambda: 0.5)
    assert len(resolver.questions) == 1 + 2 * 10


@pytest.mark.parametrize(
    ("zone_of_case", "code", "enhanced"),
    [
        ({}, 550, "5.1.2"),
        ({"example.test": {}}, 550, "5.4.4"),
        ({"example.test": {"MX": [(0, "")]}}, 556, "5.1.10"),
        ({"example.test": SERVFAIL}, 451, "4.4.3"),
        ({"example.test": {"MX": SERVFAIL, "A": ["8.8.8.8"]}}, 451, "4.4.3"),
        ({"example.test": {"A": SERVFAIL}}, 451, "4.4.3"),
        ({"example.test": {"MX": [(10, "gone.example.test")]}}, 550, "5.4.4"),
        ({"example.test": {"MX": [(10, "mx.example.test")]}, "mx.example.test": SERVFAIL}, 451, "4.4.3"),
        ({"example.test": {"MX": [(10, "mx.example.test")]}, "mx.example.test": {"A": ["127.0.0.1"]}}, 550, "5.4.4"),
        ({"example.test": {"A": ["168.63.129.16"]}}, 550, "5.4.4"),
        # One host that cannot be told about may be the one that takes mail.
        ({"example.test": {"MX": [(10, "a.example.test"), (20, "b.example.test")]}, "a.example.test": SERVFAIL,
          "b.example.test": {"A": ["10.0.0.1"]}}, 451, "4.4.3"),
    ],
    ids=["NXDOMAIN", "nothing", "null MX", "SERVFAIL", "SERVFAIL for MX", "SERVFAIL for implicit MX", "MX without host",
         "MX host SERVFAIL", "MX on loopback", "wire server", "SERVFAIL and private"],
)  # fmt: skip
async def test_domain_without_a_usable_host_fails_for_good_only_when_that_is_sure(
    zone_of_case: Zone, code: int, enhanced: str
) -> None:
    found = await find(zone_of_case)
    assert isinstance(found, MxFailure)
    assert (found.reply.code, found.reply.enhanced) == (code, enhanced)
    assert found.reason


async def test_private_hosts_are_passed_over_for_public_ones() -> None:
    exchangers = zone((10, "a"), (20, "b"), a=["10.0.0.1", "169.254.169.254"], b=["192.168.0.1", "8.8.8.8"])
    found = await find(exchangers)
    assert found == MxHosts((MxHost("b.example.test", ("8.8.8.8",), 20),))


async def test_private_hosts_are_used_when_a_setting_allows_it() -> None:
    found = await find(zone((10, "a"), a=["127.0.0.1"]), allow_private=True)
    assert names(found) == ["a.example.test"]


async def test_null_mx_beside_others_does_not_count() -> None:
    found = await find({"example.test": {"MX": [(0, ""), (10, "a.example.test")]}, "a.example.test": {"A": ["8.8.8.8"]}})
    assert names(found) == ["a.example.test"]
