"""Where a request comes from: the entry of X-Forwarded-For that a proxy of ours wrote.

A client can write anything into the header, and each proxy appends the address that it was called from. So the entry that
counts is as far from the right as there are proxies before us: the front end of Azure Functions is one.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_entry = re.compile(r"(?:\[(?P<bracketed>[0-9A-Fa-f:.]+)\]|(?P<v4>[0-9.]+))(?::[0-9]{1,5})?|(?P<v6>[0-9A-Fa-f:.]+)", re.ASCII)

# RFC 1918, RFC 6598, RFC 3927, RFC 4193 and RFC 4291: not reached from the Internet. Written out, because the answer of
# `is_private` differs between patch releases of Python.
_PRIVATE_4 = tuple(
    map(IPv4Network, ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"))
)
_PRIVATE_6 = tuple(map(IPv6Network, ("::1/128", "fc00::/7", "fe80::/10")))


def client_address(forwarded_for: str, hops: int) -> str:
    """The client's IP address, or empty when it is not known.

    `forwarded_for` is the header as it came, repeated ones joined by commas; entries may carry a port, IPv6 ones then stand in
    brackets. `hops` is how many proxies of ours append to it; with 0 the header is not believed.
    """
    entries = forwarded_for.split(",")
    if hops < 1 or len(entries) < hops:
        return ""
    found = _entry.fullmatch(entries[-hops].strip())
    if found is None:
        return ""
    try:
        address = ip_address(found["bracketed"] or found["v4"] or found["v6"])
    except ValueError:
        return ""
    return str(_plain(address))


def is_private(address: str) -> bool:
    """Whether an address is of a network that the Internet doesn't reach. An unknown one, given empty, is not."""
    if not address:
        return False
    parsed = _plain(ip_address(address))
    if isinstance(parsed, IPv4Address):
        return any(parsed in network for network in _PRIVATE_4)
    return any(parsed in network for network in _PRIVATE_6)


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """A mapped IPv6 address as the IPv4 one that it is (RFC 4291 section 2.5.5.2)."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped
