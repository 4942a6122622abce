"""Header fields that are meant for us and not for the recipient: the switches of ACS, and ours. Both doors read them.

Each reader answers with the value, or raises SwitchError with the rule.
"""

from __future__ import annotations

IGNORE_DUPLICATE_CONTENT_ID = "x-ms-acsemail-ignore-duplicate-content-id"
SUPPRESS_INVALID_ATTACHMENT = "x-ms-acsemail-suppress-invalid-attachment"
VALIDATE_MESSAGE_ID = "x-ms-acsemail-validate-message-id"
SWITCHES = (IGNORE_DUPLICATE_CONTENT_ID, SUPPRESS_INVALID_ATTACHMENT, VALIDATE_MESSAGE_ID)
TIME_TO_LIVE = "x-postrider-time-to-live"  # ours: seconds that a deferred recipient is tried
TRACKING_DISABLED = "x-postrider-tracking-disabled"  # ours: by SMTP, what userEngagementTrackingDisabled is by HTTP
LEAST_TIME_TO_LIVE = 60
MOST_TIME_TO_LIVE = 120 * 3600  # RFC 5321 section 4.5.4.1: four to five days at the most


class SwitchError(ValueError):
    """A switch that has no such value, or is none. `rule` is a sentence that begins with "It"."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


def is_switch(name: str) -> bool:
    """Whether a field of that name, in lower case, is meant for us, known or not."""
    return name.startswith(("x-ms-acsemail-", "x-postrider-"))


def read_switch(value: str) -> bool:
    """`true` or `false`, without regard to case. Raises SwitchError."""
    if value.lower() not in ("true", "false"):
        raise SwitchError("It must be 'true' or 'false'.")
    return value.lower() == "true"


def read_time_to_live(value: str) -> float:
    """Seconds, 0 for an empty value. Raises SwitchError."""
    if not value:
        return 0.0
    seconds = int(value) if value.isascii() and value.isdecimal() and len(value) < 10 else 0
    if not LEAST_TIME_TO_LIVE <= seconds <= MOST_TIME_TO_LIVE:
        raise SwitchError(f"It must be a whole number of seconds from {LEAST_TIME_TO_LIVE} to {MOST_TIME_TO_LIVE}.")
    return float(seconds)
