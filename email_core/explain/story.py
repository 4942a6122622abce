"""The story of a message: its rows, read at a moment, become an explanation."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import replace

from email_core.delivery.ledger import Entry
from email_core.delivery.outcome import TimelineEvent
from email_core.delivery.retry_schedule import LONGEST_TIME_TO_LIVE
from email_core.delivery.rows import SpooledRow
from email_core.explain.advice import NOBODY, RUNNING, Names, Situation, advise, duplicate_meaning, operation_meaning
from email_core.explain.explanation import Explanation, Recipient, Step, clock_time, instant, octets, span
from email_core.explain.steps import step

OVERDUE = 600.0  # seconds; longer than any claim can hold, so somebody should have worked it by then


_FOR_OPERATORS = frozenset({"fault"})  # kinds whose facts are about our code; their time and kind are everybody's


def explain_message(row: SpooledRow, envelopes: Sequence[SpooledRow], *, now: float, for_operator: bool = False) -> Explanation:
    """The explanation of a message at the moment `now` (seconds since the epoch).

    `row` is the message's own; `envelopes` are those of its envelopes, and empty when it was not split. An operator is told
    where in our code a run failed, too.
    """
    facts = row.facts
    shown = envelopes if facts.envelopes else [row]
    return Explanation(
        id=row.operation_id,
        status=facts.status,
        meaning=operation_meaning(facts.status),
        sender=facts.sender,
        door=facts.door,
        size=facts.size,
        accepted_at=instant(facts.accepted_at),
        asked_at=instant(now),
        message_id=facts.message_id,
        error_code=facts.error_code,
        error_reason=facts.error_reason,
        recipients=[_recipient(row, each, entry, now) for each in shown for entry in each.ledger.entries],
        steps=_steps(row, envelopes, for_operator=for_operator),
    )


def _steps(row: SpooledRow, envelopes: Sequence[SpooledRow], *, for_operator: bool) -> list[Step]:
    """By time, and each row's own in the order in which they were written: a clock may have been set back in between."""
    told = [[(event, 0) for event in row.timeline]]
    if envelopes:
        domains: list[object] = [each.ledger.entries[0].address.rpartition("@")[2] for each in envelopes if each.ledger.entries]
        # Splitting leaves no event of its own: it follows signing.
        at = row.timeline[-1].at if row.timeline else row.facts.accepted_at
        told[0].append((TimelineEvent(at, "split", {"envelopes": len(envelopes), "domains": domains}), 0))
    told += [[(event, each.envelope_number) for event in each.timeline] for each in envelopes]
    return [
        step(event if for_operator or event.kind not in _FOR_OPERATORS else replace(event, facts={}), envelope=envelope)
        for event, envelope in heapq.merge(*told, key=lambda each: each[0].at)
    ]


def _recipient(message: SpooledRow, row: SpooledRow, entry: Entry, now: float) -> Recipient:
    final = entry.status.final
    running = not final and row.ledger.claim_until > now
    waiting = not final and row.ledger.claim_until == 0
    situation = Situation(
        status=RUNNING if running and not entry.tries else entry.status,
        final=final,
        bounce_class=entry.bounce_class,
        rule=entry.rule,
        enhanced=entry.enhanced,
        reply=entry.reply,
        route=_route(row, entry),
    )
    advice = advise(situation, _names(message, row, entry, now))
    expires = _expires(row)
    return Recipient(
        address=entry.address,
        kind=entry.kind,
        status=entry.status,
        final=final,
        tries=entry.tries,
        meaning=advice.meaning,
        next=_next(row, entry, now),
        what_to_do=advice.sender,
        for_operator=advice.operator,
        last_try_at=instant(entry.at) if entry.at else None,
        last_reply=entry.reply,
        host=entry.host,
        bounce_class=entry.bounce_class,
        rule=entry.rule,
        next_attempt=instant(row.ledger.next_attempt_at) if waiting and row.ledger.attempt else None,
        running_until=instant(row.ledger.claim_until) if running else None,
        expires_at=None if final else instant(expires),
        possible_duplicate=entry.possible_duplicate,
        duplicate_meaning=duplicate_meaning() if entry.possible_duplicate else "",
    )


def _names(message: SpooledRow, row: SpooledRow, entry: Entry, now: float) -> Names:
    facts = message.facts
    signed = next((event.facts for event in (*message.timeline, *row.timeline) if event.kind == "signed"), {})
    # `s1._domainkey.example.com (rsa-sha256), ...`: the names are what to look up.
    selectors = [selector.partition(" ")[0] for selector in str(signed.get("selectors", "")).split(", ")]
    size = signed.get("size")
    domain, sender_domain = entry.address.rpartition("@")[2], facts.sender.rpartition("@")[2]
    return Names(
        address=entry.address,
        domain=domain,
        host=entry.host or f"the mail server of {domain}",
        sender=facts.sender,
        sender_domain=sender_domain,
        bounce_domain=row.facts.bounce_domain or NOBODY.bounce_domain,
        size=f"{octets(size if isinstance(size, int) else facts.size)} as it goes out",
        again=_again(row, now),
        zone=domain,
        sender_zone=sender_domain,
        bounce_zone=row.facts.bounce_domain or NOBODY.bounce_zone,
        selectors=", ".join(filter(None, selectors)) or f"SELECTOR._domainkey.{sender_domain}",
    )


def _again(row: SpooledRow, now: float) -> str:
    """When it is tried again, to stand after those words."""
    if row.ledger.claim_until > now:
        return "at this moment"
    if row.ledger.claim_until or row.ledger.next_attempt_at <= now:
        return "as soon as a run is free for it"
    return f"at {clock_time(row.ledger.next_attempt_at, now)}"


def _next(row: SpooledRow, entry: Entry, now: float) -> str:
    """What follows for a recipient, and when."""
    ledger = row.ledger
    if entry.status.final:
        return "Nothing: this is final."
    if ledger.claim_until > now:
        return f"It is being tried now; this try ends at {clock_time(ledger.claim_until, now)} at the latest."
    if ledger.claim_until:
        return (
            f"The run that tried it ended without a word; its time was over at {clock_time(ledger.claim_until, now)}. "
            "Another run takes it up, as a rule within a few minutes."
        )
    late = now - ledger.next_attempt_at
    if late > OVERDUE:
        return (
            f"It was due at {clock_time(ledger.next_attempt_at, now)} and has not been worked for {span(late)}. "
            "The operator should see whether the functions run: ./postrider doctor."
        )
    if not ledger.attempt:
        return "The first try begins by itself, as a rule within seconds."
    ends = f"If nobody takes it, it is given up at {clock_time(_expires(row), now)} at the latest."
    if late >= 0:
        return f"It is tried again as soon as a run is free for it. {ends}"
    return f"It is tried again at {clock_time(ledger.next_attempt_at, now)}, in about {span(-late)}. {ends}"


def _expires(row: SpooledRow) -> float:
    facts = row.facts
    return min(facts.expires_at, (facts.reopened_at or facts.accepted_at) + LONGEST_TIME_TO_LIVE)


def _route(row: SpooledRow, entry: Entry) -> str:
    """By which kind of route the recipient was tried last: mx, smarthost, capture or simulator."""
    names = [
        str(event.facts.get("route", ""))
        for event in row.timeline
        if event.kind == "route" and (not entry.at or event.at <= entry.at)
    ]
    if entry.host and "simulator" in names and entry.address.lower().endswith(f"@{entry.host}"):
        return "simulator"
    others = [name for name in names if name != "simulator"]
    return others[-1].partition("://")[0] if others else "simulator" if names else ""
