"""An explanation: the story of one message, or of one reply, as it is told to people and to programs.

Instants are ISO 8601 in UTC with milliseconds, as everywhere in the API. As JSON the names are in camel case; a reader of an
older version ignores what a newer one added.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec


class Step(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """One thing that happened. `kind` is that of the timeline event; `envelope` is 0 for what concerns the whole message."""

    at: str
    kind: str
    text: str
    envelope: int = 0


class Recipient(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Where one recipient stands, what that means, what follows, and what can be done about it.

    `what_to_do` is for whoever sent the message, `for_operator` for whoever runs the installation. `next_attempt` and
    `expires_at` are None once nothing more is tried; `running_until` is set while an attempt runs.
    """

    address: str
    kind: str
    status: str
    final: bool
    tries: int
    meaning: str
    next: str
    what_to_do: str
    for_operator: str
    last_try_at: str | None = None
    last_reply: str = ""
    host: str = ""
    bounce_class: str = ""
    rule: str = ""
    next_attempt: str | None = None
    running_until: str | None = None
    expires_at: str | None = None
    possible_duplicate: bool = False
    duplicate_meaning: str = ""


class Explanation(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The story of a message. `size` is that of the request in octets; `asked_at` is when the explanation was made."""

    id: str
    status: str
    meaning: str
    sender: str
    door: str
    size: int
    accepted_at: str
    asked_at: str
    recipients: list[Recipient]
    steps: list[Step]
    message_id: str = ""
    error_code: str = ""
    error_reason: str = ""


class ReplyExplanation(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What a reply means. `disposition` is what becomes of the recipient, `pause` the least seconds before the next try.

    `suppress`: the rule holds the address for one that takes no mail, once it came from `suppress_after` messages.
    """

    reply: str
    stage: str
    mx: str
    bounce_class: str
    class_meaning: str
    rule: str
    disposition: str
    meaning: str
    retried: bool
    next: str
    what_to_do: str
    for_operator: str
    pause: float = 0.0
    suppress: bool = False
    suppress_after: int = 1
    suppression: str = ""


def instant(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC with milliseconds: `2026-11-22T03:19:43.250Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def clock_time(seconds: float, now: float) -> str:
    """An instant for people: `03:19 UTC` when it is on the day of `now`, else with its date."""
    at, today = datetime.fromtimestamp(seconds, UTC), datetime.fromtimestamp(now, UTC)
    return f"{at:%H:%M} UTC" if at.date() == today.date() else f"{at:%H:%M} UTC on {at:%Y-%m-%d}"


def span(seconds: float) -> str:
    """A length of time for people: `40 seconds`, `5 minutes`, `3 hours`, `2 days`."""
    units = ((86400, "day"), (3600, "hour"), (60, "minute"))
    unit, name = next(((unit, name) for unit, name in units if seconds == unit or seconds >= 2 * unit), (1, "second"))
    count = max(round(seconds / unit), 1)
    return f"{count} {name}" if count == 1 else f"{count} {name}s"


def door_words(door: str) -> str:
    """How a message came: `over HTTP`."""
    return {"http": "over HTTP", "smtp": "by SMTP", "dsn": "as a notification of ours"}.get(door, f"by {door}")


def octets(size: int) -> str:
    """A size for people: `812 bytes`, `12 KB`, `3.4 MB`."""
    if size < 1000:
        return f"{size} bytes"
    if size < 1_000_000:
        return f"{size / 1000:.{1 if size < 10_000 else 0}f} KB"
    return f"{size / 1_000_000:.1f} MB"
