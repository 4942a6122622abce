"""The names of domains that mail may be sent from: which there can be, whose they are, and which are for tests alone."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING

from email_core.message.address import AddressError, parse_domain
from email_core.settings import Settings

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

RESERVED = frozenset({"test", "example", "localhost"})  # RFC 2606 section 2: nobody owns a name below them

MOST_DOMAIN = 253 - len("postrider2-ed._domainkey.")  # RFC 1035 section 2.3.4: with our longest selector it is a name as well


class DomainNameError(ValueError):
    """A name that no domain of a customer can have; the text says the rule and the remedy."""


def customer_domain(text: str, settings: Settings) -> str:
    """The domain in lower-case A-labels. Raises DomainNameError for what nobody can own, and for what is the platform's."""
    try:
        name = parse_domain(text)
    except AddressError as error:
        raise DomainNameError(f"it {error.reason}") from error
    if len(name) > MOST_DOMAIN:
        raise DomainNameError(f"it has {len(name)} characters in A-labels, and with a DKIM selector it may have {MOST_DOMAIN}")
    if not registrable_domain(name):
        raise DomainNameError(
            "it is a public suffix, below which anybody can register: give a domain of your own, such as contoso.com"
        )
    for ours in (settings.platform_domain, settings.dkim_zone):
        if ours and is_within(name, ours):
            raise DomainNameError(
                f"it is '{ours}' or below it, which this installation keeps for itself: give a domain of your own"
            )
    return name


async def load_suffixes() -> None:
    """Have the list of public suffixes in memory, so that nobody waits for it in the event loop: it takes 50 to 200 ms."""
    if not _suffixes.cache_info().currsize:
        await asyncio.to_thread(_suffixes)


def registrable_domain(name: str) -> str:
    """The part of a domain that somebody registered, which most often is its zone: `contoso.co.uk`; empty for a suffix."""
    return _suffixes().privatesuffix(name) or ""


def is_within(name: str, domain: str) -> bool:
    """Whether a name is the domain, or below it."""
    return name == domain or name.endswith(f".{domain}")


def is_reserved(name: str) -> bool:
    """Whether the name is one for tests, which no DNS of the world has."""
    return name.rpartition(".")[2] in RESERVED


def verifies_at_once(settings: Settings, name: str) -> bool:
    """Whether a domain counts as verified without any DNS: in a local world that has none, a name that is for tests."""
    return settings.local_world and not settings.dns_server and is_reserved(name)


@cache
def _suffixes() -> PublicSuffixList:
    # Imported here: the list takes longer to read than all of our own code.
    from publicsuffixlist import PublicSuffixList

    # Private suffixes (github.io) are zones of companies that give names away: those names are owned, and their zone is one.
    return PublicSuffixList(only_icann=True)
