"""Builders for the rows of a message, as the spool reads them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from email_core.delivery.ledger import Entry, Ledger
from email_core.delivery.outcome import TimelineEvent
from email_core.delivery.rows import MESSAGE_ROW, MessageFacts, SpooledRow
from email_core.message.status import RecipientStatus

ID = "7f0b1d6e-4a53-4f0c-9d2b-1c3a5e7f9b11"
ACCEPTED = 1_795_317_583.25  # 2026-11-22T03:19:43.250Z
HOUR = 3600.0
SELECTORS = "s1._domainkey.contoso.test (rsa-sha256), s2._domainkey.contoso.test (ed25519-sha256)"
FACTS = MessageFacts(
    accepted_at=ACCEPTED,
    expires_at=ACCEPTED + 72 * HOUR,
    door="http",
    sender="news@contoso.test",
    domain="/subscriptions/0/resourcegroups/g/providers/p/emailservices/e/domains/contoso.test",
    size=1234,
    request_hash="hash",
    status="Succeeded",
    message_id=f"<{ID}@contoso.test>",
    bounce_domain="bounce.postrider.test",
)


def event(after: float, kind: str, **facts: object) -> TimelineEvent:
    """An event so many seconds after the message was accepted."""
    return TimelineEvent(ACCEPTED + after, kind, facts)


PREPARED = (
    event(0, "accepted", door="http", size=1234, recipients=1),
    event(0.2, "signed", selectors=SELECTORS, size=2345, messageId=f"<{ID}@contoso.test>"),
)


def entry(status: str = "Pending", reply: str = "", *, address: str = "ann@fabrikam.test", **fields: Any) -> Entry:
    """A recipient; `reply` is split into its parts when it begins with three digits."""
    code, _, rest = reply.partition(" ")
    enhanced = rest.partition(" ")[0] if rest[1:2] == "." else ""
    if code.isdecimal():
        fields = {"code": int(code), "enhanced": enhanced, **fields}
    tried = {"tries": 1, "at": ACCEPTED + 1} if status != "Pending" else {}
    return Entry(address, status=RecipientStatus(status), reply=reply, **{**tried, **fields})


def row(*entries: Entry, name: str = MESSAGE_ROW, timeline: tuple[TimelineEvent, ...] = PREPARED, **changes: Any) -> SpooledRow:
    """A row; `changes` are of the ledger, or of the facts."""
    of_ledger = {key: changes.pop(key) for key in ("attempt", "claim_until", "next_attempt_at") if key in changes}
    return SpooledRow(f"k1:{ID}", name, "etag", replace(FACTS, **changes), Ledger(entries, **of_ledger), timeline)
