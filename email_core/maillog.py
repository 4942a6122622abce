"""The mail log: one function per event, so that wording and fields are the same everywhere and can be searched for.

Addresses appear with the first letter of their local part only, unless the installation asks for them in full, also where
a receiver's reply or a reason quotes them. Bodies, tokens and keys never appear.
"""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime

_log = logging.getLogger("postrider")
# Rather too much than too little: whatever a server writes around an "@", with a quoted local part or without. Each
# quantifier is bounded by the longest local part and domain (RFC 5321 section 4.5.3.1), so that no reply costs much.
_address = re.compile(
    r"""("[^"@]{0,64}"|[^\s<>()\[\],;:"'@][^\s<>()\[\],;:"@]{0,254})@([^\s<>()\[\],;:"'@]{1,255}|\[[^\s\]]{1,255}\])"""
)
_full_addresses = False


def configure(*, full_addresses: bool) -> None:
    """Whether recipients are logged in full."""
    global _full_addresses
    _full_addresses = full_addresses


def masked(address: str) -> str:
    """An address fit for the log: `j***@example.com`."""
    if _full_addresses:
        return address
    local, at, domain = address.rpartition("@")
    return f"{local[:1]}***{at}{domain}" if at else f"{address[:1]}***"


def masked_within(text: str) -> str:
    """A text fit for the log: every address in it is masked, for receivers like to quote the recipient, as in
    `550 5.1.1 <ann@example.com>: User unknown`."""
    return _address.sub(lambda found: masked(found[0]), text) if "@" in text and not _full_addresses else text


def _write(level: int, event: str, **fields: object) -> None:
    text = " ".join(f"{name}={_field(value)}" for name, value in fields.items() if value not in ("", None))
    _log.log(level, "%s %s", event, text)


def _field(value: object) -> str:
    # Replies and addresses come from outside: a line break in one must not forge a log line.
    text = masked_within("".join(c if c.isprintable() else "?" for c in str(value)))
    return f'"{text}"' if " " in text or not text else text


def accepted(message: str, *, door: str, size: int, recipients: int, replay: bool) -> None:
    _write(logging.INFO, "accepted", message=message, door=door, size=size, recipients=recipients, replay=replay)


def refused(*, door: str, status: int, code: str, reason: str, request: str) -> None:
    _write(logging.WARNING, "refused", door=door, status=status, code=code, reason=reason, request=request)


def claimed(message: str, *, attempt: int, takeover: bool) -> None:
    _write(logging.INFO, "claimed", message=message, attempt=attempt, takeover=takeover)


def dropped_item(message: str, *, queue: str, why: str) -> None:
    _write(logging.INFO, "dropped-item", message=message, queue=queue, why=why)


def put_back_item(message: str, *, queue: str, why: str, delay: float) -> None:
    _write(logging.INFO, "put-back-item", message=message, queue=queue, why=why, delay=round(delay, 1))


def prepared(message: str, *, size: int, envelopes: int, selectors: str) -> None:
    _write(logging.INFO, "prepared", message=message, size=size, envelopes=envelopes, selectors=selectors)


def outcome(message: str, recipient: str, *, disposition: str, attempt: int, reply: str, host: str, bounce_class: str) -> None:
    _write(
        logging.INFO, "outcome", message=message, recipient=masked(recipient), disposition=disposition,
        attempt=attempt, reply=reply, host=host, bounce_class=bounce_class,
    )  # fmt: skip


def relay_refused(host: str, *, stage: str, reason: str, reply: str) -> None:
    """What a relay said about our account with it: for the operator only, and told nowhere else."""
    _write(logging.WARNING, "relay-refused", host=host, stage=stage, reason=reason, reply=reply)


def managed_list(message: str, recipient: str, *, bounce_class: str, bounces: int, withheld: int, until: float) -> None:
    """An address bounced, or a message to it was held back; `until` is 0 while too few bounces were counted."""
    held_until = datetime.fromtimestamp(until, UTC).isoformat(timespec="seconds") if until else ""
    _write(
        logging.INFO, "managed-list", message=message, recipient=masked(recipient), bounce_class=bounce_class,
        bounces=bounces, withheld=withheld, until=held_until,
    )  # fmt: skip


def inbound(message: str, *, kind: str, became: str, request: str, reporter: str = "", trouble: str = "") -> None:
    """Mail that came back to an address of ours; `message` is `-` when it names none, `trouble` what a parser stumbled over."""
    _write(
        logging.INFO, "inbound", message=message, kind=kind, became=became, reporter=reporter, request=request, trouble=trouble
    )


def final(message: str, recipient: str, *, status: str) -> None:
    _write(logging.INFO, "final", message=message, recipient=masked(recipient), status=status)


def activity_lost(message: str, *, reason: str) -> None:
    _write(logging.ERROR, "activity-lost", message=message, reason=reason)


def poisoned(message: str, *, queue: str, item: str) -> None:
    _write(logging.ERROR, "poisoned", message=message, queue=queue, item=item)


def task_given_up(task: str, *, item: str, tries: int) -> None:
    """A task of an administrator that went wrong each time; the daily timer puts it again when it is still to be done."""
    _write(logging.ERROR, "task-given-up", task=task[:500], item=item, tries=tries)


def notified(message: str, *, notification: str, action: str, recipients: int) -> None:
    """A delivery status notification about a message was handed to delivery; it has an id of its own."""
    _write(
        logging.INFO, "notified", message=message, notification=notification, action=action, recipients=recipients,
    )  # fmt: skip


def notice_given_up(item: str, *, tries: int) -> None:
    """A notification that could not be made, each time: its message is not affected, and its submitter is not told."""
    _write(logging.ERROR, "notice-given-up", item=item[:500], tries=tries)


def put_back_message(message: str, *, row: str, queue: str, attempt: int, overdue: float) -> None:
    """The sweeper's: its item was lost, or waits behind a long backlog."""
    _write(
        logging.WARNING, "put-back-message", message=message, row=row, queue=queue, attempt=attempt, overdue=round(overdue),
    )  # fmt: skip


def swept(*, digit: str, found: int, put_back: int) -> None:
    _write(logging.WARNING, "swept", digit=digit, found=found, put_back=put_back)


def replayed(message: str, *, queue: str, item: str, recipients: int) -> None:
    _write(logging.INFO, "replayed", message=message, queue=queue, item=item, recipients=recipients)


def audited(chain: str, *, sequence: int, operation: str, hash: str) -> None:
    """The head of an audit log as it is now: whoever could rewrite the whole table can't rewrite this."""
    _write(logging.INFO, "audited", chain=chain, sequence=sequence, operation=operation, hash=hash)


def zone_write(zone: str, *, entry: int, state: str, records: int, reason: str) -> None:
    """A zone of POSTRIDER_ZONES was written, or could not be: `reason` says why."""
    if reason:
        _write(logging.WARNING, "zone-write", zone=zone, entry=entry, state=state, records=records, reason=reason)
    else:
        _write(logging.INFO, "zone-write", zone=zone, entry=entry, state=state, records=records)


def publishing(domain: str, *, state: str, reason: str) -> None:
    """Keys of a domain that the platform publishes are not in the DNS yet."""
    _write(logging.WARNING, "publishing", domain=domain, state=state, reason=reason)


def key_rotation(domain: str, *, run: str, stage: str, to_slot: int, reason: str) -> None:
    """A DKIM rotation came to a stage, or waits there for `reason`."""
    _write(logging.INFO, "key-rotation", domain=domain, run=run, stage=stage, to_slot=to_slot, reason=reason)


def verification(domain: str, *, record: str, status: str, code: str = "", attempt: int | None = None) -> None:
    """How far the verification of a record of a domain is. `code` says what is wrong with it."""
    _write(logging.INFO, "verification", domain=domain, record=record, status=status, code=code, attempt=attempt)


def record_lost(domain: str, *, record: str, code: str, reason: str, pauses_at: float) -> None:
    """A record that was verified is gone. `pauses_at` is when sending stops unless it is back, 0 for one that stops nothing."""
    until = datetime.fromtimestamp(pauses_at, UTC).isoformat(timespec="seconds") if pauses_at else ""
    _write(logging.WARNING, "record-lost", domain=domain, record=record, code=code, reason=reason, pauses_at=until)


def record_back(domain: str, *, record: str) -> None:
    """A record that was lost is there again."""
    _write(logging.INFO, "record-back", domain=domain, record=record)


def sending_paused(domain: str, *, records: str) -> None:
    """Nothing is accepted from the domain any more: these records were gone for the whole grace."""
    _write(logging.ERROR, "sending-paused", domain=domain, records=records)


def sending_resumed(domain: str) -> None:
    """The records are back, and mail is accepted again."""
    _write(logging.INFO, "sending-resumed", domain=domain)


def daily(*, domains: int, rotations: int, removals: int, windows: int, operations: int, leases: int) -> None:
    """The daily timer has run: domains to be looked at, rotations begun, removals put again, and what was cleared away."""
    _write(
        logging.INFO, "daily", domains=domains, rotations=rotations, removals=removals, windows=windows, operations=operations,
        leases=leases,
    )  # fmt: skip


def logged_in(connection: str, *, client: str, user: str, mechanism: str) -> None:
    """Somebody logged in by SMTP."""
    _write(logging.INFO, "logged-in", connection=connection, client=client, user=user, mechanism=mechanism)


def login_refused(connection: str, *, client: str, user: str, mechanism: str, reason: str) -> None:
    """A log-in by SMTP failed; `reason` says more than the client was told."""
    _write(
        logging.WARNING, "login-refused", connection=connection, client=client, user=user, mechanism=mechanism, reason=reason,
    )  # fmt: skip


def certificate(file: str, *, expires: float, problem: str) -> None:
    """A new certificate of the SMTP server is in use, or can't be used for `problem` and the one before stays."""
    until = datetime.fromtimestamp(expires, UTC).isoformat(timespec="seconds")
    if problem:
        _write(logging.ERROR, "certificate", file=file, expires=until, problem=problem)
    else:
        _write(logging.INFO, "certificate", file=file, expires=until)


def relay_started(host: str, *, ports: str, expires: float) -> None:
    """The SMTP server listens; `expires` is its certificate's end."""
    until = datetime.fromtimestamp(expires, UTC).isoformat(timespec="seconds")
    _write(logging.INFO, "relay-started", host=host, ports=ports, expires=until)


def relay_stopped(*, connections: int, cut: int) -> None:
    """The SMTP server was asked to stop: how many connections there were, and how many did not end in time."""
    _write(logging.INFO, "relay-stopped", connections=connections, cut=cut)


def fault(where: str, *, error: BaseException, message: str = "", request: str = "") -> None:
    """Our own fault, with its traceback."""
    _log.error("fault where=%s message=%s request=%s", where, message or "-", request or "-", exc_info=error)
