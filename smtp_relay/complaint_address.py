"""The address for the feedback loops of mailbox providers: `python -m smtp_relay.complaint_address` prints it.

Nobody can guess it, so port 25 need not take mail for a name that everybody knows. Who knows it can change nothing: a report
counts for the message whose reverse-path it has with a valid MAC.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import sys

from email_core.sealing import Sealer, SealingError
from email_core.settings import SettingsError, load_settings

LOCAL_PART = "complaints"


def complaint_addresses(sealer: Sealer, bounce_domain: str) -> tuple[str, ...]:
    """The address to be registered, and behind it those of older keys, which hold for as long as their keys are there."""
    return tuple(
        f"{LOCAL_PART}+{key_id}{_mac(key, key_id)}@{bounce_domain}" for key_id, key in sealer.derived_keys("complaints").items()
    )


def _mac(key: bytes, key_id: str) -> str:
    digest = hmac.new(key, f"postrider complaints 1 {key_id}".encode(), hashlib.sha256).digest()
    return base64.b32encode(digest[:10]).decode().lower()


def main() -> int:
    """Print the address for the settings of the environment; the exit status."""
    try:
        settings = load_settings()
        print(complaint_addresses(Sealer.from_setting(settings.sealing_key), settings.bounce_domain)[0])
    except (SettingsError, SealingError) as error:
        print(f"smtp_relay.complaint_address: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
