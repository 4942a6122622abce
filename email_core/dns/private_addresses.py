"""Which IP addresses nothing that strangers name may connect to: a domain's MX, a webhook's host, a policy's host.

Written out instead of `ipaddress.is_private`, whose answer differs between patch releases of Python, and which knows
neither Azure's wire server nor the IPv4 address inside of an IPv6 address.
"""

from __future__ import annotations

import ipaddress

_REFUSED_4 = tuple(
    (ipaddress.IPv4Network(network), why)
    for network, why in (
        # Hosts of the cloud that give out credentials to whoever asks.
        ("169.254.169.254/32", "the metadata service of the cloud"),
        ("168.63.129.16/32", "Azure's wire server"),  # public, and answers inside of every virtual network
        # RFC 6890 and the IANA registry of special-purpose addresses.
        ("0.0.0.0/8", "this host"),
        ("10.0.0.0/8", "a private address"),
        ("100.64.0.0/10", "a carrier's private address"),
        ("127.0.0.0/8", "a loopback address"),
        ("169.254.0.0/16", "a link-local address"),
        ("172.16.0.0/12", "a private address"),
        ("192.0.0.0/24", "a reserved address"),
        ("192.0.2.0/24", "a documentation address"),
        ("192.88.99.0/24", "a reserved address"),
        ("192.168.0.0/16", "a private address"),
        ("198.18.0.0/15", "a benchmarking address"),
        ("198.51.100.0/24", "a documentation address"),
        ("203.0.113.0/24", "a documentation address"),
        ("224.0.0.0/4", "a multicast address"),
        ("240.0.0.0/4", "a reserved address"),
    )
)

# Blocks inside of global unicast that are not for hosts.
_REFUSED_6 = tuple(
    (ipaddress.IPv6Network(network), why)
    for network, why in (
        ("2001::/23", "a reserved address"),  # Teredo, ORCHID and other protocols
        ("2001:db8::/32", "a documentation address"),
        ("3fff::/20", "a documentation address"),
    )
)
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_LOOPBACK_6 = ipaddress.IPv6Address("::1")

# IPv6 addresses that carry an IPv4 one: the network, and how far to the right the 32 bits are.
_CARRIERS = (
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0),  # mapped, RFC 4291 section 2.5.5.2
    (ipaddress.IPv6Network("::ffff:0:0:0/96"), 0),  # translated, RFC 2765
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),  # NAT64, RFC 6052
    (ipaddress.IPv6Network("2002::/16"), 80),  # 6to4, RFC 3056
)


def why_refused(address: str) -> str:
    """Why nothing may connect to that address; empty when it is an ordinary address of the Internet.

    What is no IP address at all is refused too.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "not an IP address"
    if isinstance(parsed, ipaddress.IPv4Address):
        return _why_refused_4(parsed)
    if parsed.scope_id:
        return "an address of one link only"
    for network, shift in _CARRIERS:
        if parsed in network:
            return _why_refused_4(ipaddress.IPv4Address(int(parsed) >> shift & 0xFFFFFFFF))
    if parsed == _LOOPBACK_6:
        return "a loopback address"
    if parsed not in _GLOBAL_UNICAST:
        return "not a global address"
    return next((why for network, why in _REFUSED_6 if parsed in network), "")


def _why_refused_4(address: ipaddress.IPv4Address) -> str:
    return next((why for network, why in _REFUSED_4 if address in network), "")
