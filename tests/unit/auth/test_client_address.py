"""Which address a request came from, whatever its sender wrote into the header."""

from __future__ import annotations

import pytest

from email_core.auth.client_address import client_address, is_private


@pytest.mark.parametrize(
    ("header", "hops", "address"),
    [
        ("203.0.113.7", 1, "203.0.113.7"),
        ("203.0.113.7:51234", 1, "203.0.113.7"),
        ("[2001:DB8::7]:51234", 1, "2001:db8::7"),
        ("[2001:db8::7]", 1, "2001:db8::7"),
        ("2001:db8::7", 1, "2001:db8::7"),
        ("::ffff:203.0.113.7", 1, "203.0.113.7"),
        ("[::ffff:203.0.113.7]:443", 1, "203.0.113.7"),
        ("10.0.0.1, 203.0.113.7:1", 1, "203.0.113.7"),
        ("198.51.100.1,203.0.113.7:1,10.0.0.4:2", 2, "203.0.113.7"),
        ("203.0.113.7", 0, ""),
        ("203.0.113.7", 2, ""),
        ("", 1, ""),
        ("203.0.113.7,", 1, ""),
        ("unknown", 1, ""),
        ("_hidden", 1, ""),
        ("203.0.113.777", 1, ""),
        ("203.0.113", 1, ""),
        ("[203.0.113.7]x", 1, ""),
        ("fe80::1%eth0", 1, ""),
    ],
)
def test_client_address_is_the_entry_that_our_proxy_wrote(header: str, hops: int, address: str) -> None:
    assert client_address(header, hops) == address


@pytest.mark.parametrize(
    ("address", "private"),
    [
        ("10.1.2.3", True),
        ("172.31.255.255", True),
        ("192.168.0.1", True),
        ("127.0.0.1", True),
        ("100.64.0.1", True),
        ("::1", True),
        ("fd00::1", True),
        ("172.32.0.1", False),
        ("203.0.113.7", False),
        ("168.63.129.16", False),
        ("2001:db8::1", False),
        ("::ffff:8.8.8.8", False),
        ("", False),
    ],
)
def test_address_is_private_when_the_internet_does_not_reach_it(address: str, private: bool) -> None:
    assert is_private(address) is private
