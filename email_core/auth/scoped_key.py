"""What an extra access key is restricted to: a time, source addresses, sending, and the domains of senders. Ours, not of ACS.

Who holds the key is told which rule it was; that says nothing to anybody else, for it takes a good signature to get here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_address

from email_core.auth.hmac_access_key import AccessKey
from email_core.data_plane import refusals


def check_key(key: AccessKey, *, client_address: str, now: float) -> None:
    """Whether the key may be used now and from there. `client_address` is empty where it is not known.

    Raises RequestRefused: 401 for a key that expired, 403 for another address than those of its ranges, or an unknown one.
    """
    if key.expires_at and now >= key.expires_at:
        raise refusals.expired_key(key.name, datetime.fromtimestamp(key.expires_at, UTC).isoformat(timespec="seconds"))
    if key.source_ranges:
        address = ip_address(client_address) if client_address else None
        if address is None or not any(address in network for network in key.source_ranges):
            where = refusals.visible(client_address) or "an unknown address"
            raise refusals.forbidden(f"The access key '{key.name}' may not be used from {where}.", "Authorization")


def check_reading(key: AccessKey) -> None:
    """Whether the key may ask what became of mail. Raises RequestRefused (403)."""
    if key.send_only:
        raise refusals.forbidden(
            f"The access key '{key.name}' may only send. Use the primary key, or one with sendOnly false.", "Authorization"
        )


def check_sender(key: AccessKey, domain: str) -> None:
    """Whether the key may send from that domain, given in lower-case A-labels. Raises RequestRefused (403)."""
    if key.domains and domain not in key.domains:
        raise refusals.forbidden(
            f"The access key '{key.name}' may send from {', '.join(key.domains[:5])}{', ...' if len(key.domains) > 5 else ''} "
            f"only, and not from '{refusals.visible(domain)}'.",
            "senderAddress",
        )
