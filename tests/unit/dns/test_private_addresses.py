from __future__ import annotations

import pytest

from email_core.dns.private_addresses import why_refused


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1",
        "169.254.169.254", "169.254.1.1", "168.63.129.16", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.1",
        "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "192.88.99.1",
        "::", "::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd12:3456::1", "ff02::1", "100::1", "2001:db8::1",
        "2001::1", "3fff::1", "64:ff9b:1::1",
        # An IPv4 address inside of an IPv6 one: mapped, compatible, translated, NAT64, 6to4.
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:a83f:8110", "::127.0.0.1", "::ffff:0:10.0.0.1",
        "64:ff9b::10.0.0.1", "64:ff9b::a83f:8110", "2002:7f00:1::1", "2002:a9fe:a9fe::",
        "", "localhost", "example.test", "127.1", "0x7f000001", "2130706433", "127.0.0.1:25",
    ],
)  # fmt: skip
def test_address_that_strangers_must_not_lead_us_to_is_refused(address: str) -> None:
    assert why_refused(address)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "168.63.129.15", "172.15.255.255", "172.32.0.1", "100.128.0.1", "169.253.255.255", "223.255.255.255",
     "2606:4700:4700::1111", "2a00:1450:4001::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"],
)  # fmt: skip
def test_address_of_the_internet_is_not_refused(address: str) -> None:
    assert why_refused(address) == ""


def test_azures_own_hosts_are_named() -> None:
    assert why_refused("168.63.129.16") == "Azure's wire server"
    assert why_refused("169.254.169.254") == "the metadata service of the cloud"
