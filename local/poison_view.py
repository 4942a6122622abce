"""Kept items as people and programs read them. Addresses look as they do in the log."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from email_core import maillog
from email_core.delivery.claim import MOST_PUT_BACKS
from email_core.delivery.kept_items import KeptItem, StateThen
from email_core.delivery.outcome import TimelineEvent
from email_core.delivery.replay import Prospect
from email_core.delivery.rows import SpooledRow

SHORTEST_ID = 8  # characters shown of an id, more where two begin alike
_LONGEST_TEXT = 300  # characters shown of an item that is none of ours


def short_ids(items: Sequence[KeptItem]) -> dict[str, str]:
    """For each id the shortest beginning, of SHORTEST_ID characters at least, that no other one has."""
    ids = [kept.id for kept in items]
    return {
        each: next(
            each[:length]
            for length in range(min(SHORTEST_ID, len(each)), len(each) + 1)
            if length == len(each) or sum(other.startswith(each[:length]) for other in ids) == 1
        )
        for each in ids
    }


def list_lines(items: Sequence[KeptItem]) -> Iterator[str]:
    """A table, a line for each item."""
    if not items:
        yield "Nothing is kept: every item could be worked."
        return
    short = short_ids(items)
    rows = [("ITEM", "KEPT", "QUEUE", "MESSAGE", "WHY")]
    rows += [(short[kept.id], moment(kept.kept_at), kept.queue, name_of(kept), why(kept)) for kept in items]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        yield "  ".join([*(cell.ljust(width) for cell, width in zip(row[:4], widths, strict=True)), row[4]])


def show_lines(prospect: Prospect) -> Iterator[str]:
    """All that is known of an item."""
    kept, item, row = prospect.kept, prospect.kept.item, prospect.row
    yield f"Item        {kept.id}"
    yield f"Kept        {moment(kept.kept_at)}, from queue {kept.queue}"
    if item is None:
        yield f"Text        {maillog.masked_within(_printable(kept.text[:_LONGEST_TEXT]))}"
    else:
        yield f"Message     {name_of(kept)}"
        yield f"Attempt     number {item.attempt}; its item was put back {item.put_backs} times"
    yield f"Why         {why(kept)}"
    if kept.state is not None:
        yield f"Then        {_then(kept.state)}"
        yield "Story       the end of its timeline when it was kept"
        yield from (f"            {moment(event.at)}  {event_text(event)}" for event in kept.state.story)
    if row is not None:
        yield f"Now         the operation is {row.facts.status}"
        yield from (f"            {line}" for line in recipient_lines(row))
    yield f"A replay    {outcome_text(prospect)}"


def recipient_lines(row: SpooledRow) -> Iterator[str]:
    """A line for each recipient, as it stands now."""
    for entry in row.ledger.entries:
        doubt = ", and may have the message already" if entry.possible_duplicate else ""
        yield f"{maillog.masked(entry.address)}: {entry.status} after {_counted(entry.tries, 'try', 'tries')}{doubt}"


def outcome_text(prospect: Prospect) -> str:
    """What a replay would do, or why it does nothing and what to do instead."""
    if prospect.refused:
        return f"not possible: {prospect.refused}. Instead: {prospect.remedy}"
    if prospect.begun:
        return "its recipients are open already; the item goes on its queue again if it is the one of the next attempt"
    recipients = _counted(len(prospect.recipients), "recipient", "recipients")
    return f"{recipients} to be tried again, until {moment(prospect.expires_at)}"


def why(kept: KeptItem) -> str:
    """The reason, as far as it is known: a queue item carries none."""
    item, fault = kept.item, kept.fault
    if item is None:
        return "it is no item of ours, so nothing could be done with it"
    if fault is not None:
        where = f" at {fault.facts['where']}" if fault.facts.get("where") else ""
        return f"{fault.facts.get('error', 'an exception')}{where}"
    if item.put_backs >= MOST_PUT_BACKS:
        return f"it was put back {item.put_backs} times: storage did not answer for hours, or every run died"
    if kept.state is None:
        return "its message was not there, had ended, or could not be read"
    if kept.state.claim_until:
        return "the worker died each time that it worked it: look for memory and for functionTimeout"
    return f"not noted: look for `fault` and its message in the log, before {moment(kept.kept_at)}"


def as_json(kept: KeptItem) -> dict[str, Any]:
    """An item for programs. Times are ISO 8601 in UTC."""
    item, state = kept.item, kept.state
    return {
        "id": kept.id,
        "queue": kept.queue,
        "keptAt": moment(kept.kept_at),
        "message": item.message if item else None,
        "row": item.row if item else None,
        "attempt": item.attempt if item else None,
        "putBacks": item.put_backs if item else None,
        "why": why(kept),
        "then": None
        if state is None
        else {
            "status": state.status,
            "attempt": state.attempt,
            "openRecipients": state.open,
            "claimUntil": moment(state.claim_until) if state.claim_until else None,
            "nextAttempt": moment(state.next_attempt_at) if state.next_attempt_at else None,
            "timeline": [{"at": moment(event.at), "event": event_text(event)} for event in state.story],
        },
    }


def prospect_as_json(prospect: Prospect) -> dict[str, Any]:
    """An item with what a replay comes to."""
    row = prospect.row
    return {
        **as_json(prospect.kept),
        "now": None if row is None else {"status": row.facts.status, "recipients": list(recipient_lines(row))},
        "replay": {
            "possible": not prospect.refused,
            "refused": prospect.refused or None,
            "remedy": prospect.remedy or None,
            "recipients": len(prospect.recipients),
            "expiresAt": moment(prospect.expires_at) if prospect.expires_at else None,
        },
    }


def name_of(kept: KeptItem) -> str:
    """The message of an item, with its envelope when it was split."""
    item = kept.item
    if item is None:
        return "-"
    number = item.row.partition(":")[2]
    return f"{item.message} envelope {int(number)}" if number.isdecimal() else item.message


def event_text(event: TimelineEvent) -> str:
    """An event of a timeline in one line."""
    fields = " ".join(f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in event.facts.items())
    return maillog.masked_within(_printable(f"{event.kind} {fields}".rstrip()))


def moment(seconds: float) -> str:
    """A time in UTC, to the second: `2026-11-22 07:12:03Z`."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%SZ}"


def _then(state: StateThen) -> str:
    text = f"the operation was {state.status}, {_counted(state.open, 'recipient', 'recipients')} open"
    if state.claim_until:
        return f"{text}, and a run that had claimed it until {moment(state.claim_until)} never came back"
    return text


def _counted(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"


def _printable(text: str) -> str:
    # What a server said, or a stranger enqueued, must not move the cursor of a terminal.
    return "".join(character if character.isprintable() else "?" for character in text)
