"""The events of a timeline as sentences. A kind that is not known here, for a newer version wrote it, is shown as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from email_core.delivery.outcome import CUSTOMER_LIST, TimelineEvent
from email_core.explain.advice import class_meanings
from email_core.explain.explanation import Step, clock_time, door_words, instant, octets, span

_Facts = Mapping[str, object]
_SLOW = 1.0  # seconds; what took longer is told

# What a command is for. SMTP's own words stay beside it, for those who know them.
_COMMANDS = (
    ("(greeting)", "Greeting of the server"),
    ("EHLO", "We gave our name"),
    ("HELO", "We gave our name"),
    ("STARTTLS", "We asked for encryption"),
    ("AUTH", "We logged in"),
    ("(user)", "We gave the user name"),
    ("(password)", "We gave the password"),
    ("MAIL FROM", "We named the return path"),
    ("RCPT TO", "We named the recipient"),
    ("DATA", "We asked to send the message"),
    ("(message of", "We sent the message"),
    ("RSET", "We ended the transaction"),
    ("QUIT", "We ended the conversation"),
)
_STAGES = {
    "route": "before a way was chosen",
    "dns": "asking the DNS",
    "connect": "connecting",
    "banner": "waiting for the greeting",
    "ehlo": "giving our name",
    "starttls": "encrypting",
    "auth": "logging in",
    "mail": "naming the return path",
    "rcpt": "naming the recipients",
    "data": "sending the message",
    "final-dot": "after the message was sent",
}
_ENDS = {
    "delivered": "delivered",
    "deferred": "tried again later",
    "bounced": "refused for good",
    "filtered": "refused for good",
    "quarantined": "put aside by the receiver",
    "suppressed": "not sent to",
    "failed": "given up",
}
_REPORTS = {
    "failed": "did not get it",
    "delayed": "gets it later, if at all",
    "delivered": "got it",
    "relayed": "has it behind a server that reports no further",
    "expanded": "is several recipients, to whom it went on",
}
_FEEDBACK = {
    "abuse": "the recipient called it spam",
    "fraud": "the recipient called it fraud",
    "virus": "it is said to carry a virus",
    "opt-out": "the recipient wants no more",
    "not-spam": "the recipient called it no spam",
    "auth-failure": "it did not pass DKIM, SPF or DMARC there",
    "other": "for a reason that has no word",
}
_HOLDING_FEEDBACK = ("abuse", "fraud", "opt-out")
_MOST_LISTED = 5  # recipients that a sentence names


def step(event: TimelineEvent, *, envelope: int = 0) -> Step:
    """An event of the timeline as a step."""
    if event.kind == "next-attempt":
        text = _next_attempt(event.facts, event.at)
    elif event.kind in _KINDS:
        text = _KINDS[event.kind](event.facts)
    else:
        text = f"{event.kind}: {_as_it_is(event.facts)}".rstrip(": ")
    return Step(at=instant(event.at), kind=event.kind, text=" ".join(text.split()), envelope=envelope)


def _accepted(facts: _Facts) -> str:
    count = _number(facts, "recipients")
    to = f"{count} recipient{'' if count == 1 else 's'}" if count else "its recipients"
    user = f" from the user {_word(facts, 'user')}" if facts.get("user") else ""
    return f"Accepted {door_words(_word(facts, 'door'))}{user} for {to}, {octets(_number(facts, 'size'))}, and stored."


def _signed(facts: _Facts) -> str:
    return f"Made ready, {octets(_number(facts, 'size'))}, and signed (DKIM) with {_word(facts, 'selectors')}."


def _arc_sealed(facts: _Facts) -> str:
    return f"It came with signatures of others ({_found(facts)}), and was sealed (ARC) as hop {_number(facts, 'instance')}."


def _arc_unsealed(facts: _Facts) -> str:
    return f"It came with signatures of others ({_found(facts)}), and was not sealed (ARC): {_word(facts, 'why')}."


def _found(facts: _Facts) -> str:
    return f"DKIM: {_listed(facts.get('dkim')) or 'none'}; ARC: {_word(facts, 'arc') or 'none'}"


def _notification(facts: _Facts) -> str:
    return f"Made and signed by the platform: it tells that {_word(facts, 'about')} has the state {_word(facts, 'action')}."


def _suppressed(facts: _Facts) -> str:
    recipient, entry = _word(facts, "recipient"), _word(facts, "id")
    if _word(facts, "list") == CUSTOMER_LIST:
        return (
            f"Not sent to {recipient}: it is on the suppression list for {_word(facts, 'senders')}, "
            f"with the id {entry}. Whoever keeps the list can delete it there."
        )
    since, until = facts.get("since"), facts.get("until")
    meaning = class_meanings().get(_word(facts, "bounceClass"), "the address takes no mail")
    when = f" at {clock_time(since, until)}" if isinstance(since, int | float) and isinstance(until, int | float) else ""
    end = f" until {clock_time(until, 0.0)}" if isinstance(until, int | float) else ""
    return (
        f"Not sent to {recipient}: it is on the managed suppression list{end}. A server said{when} that {meaning}. "
        f"An administrator can take it off before: its id is {entry}."
    )


def _split(facts: _Facts) -> str:
    return f"Split into {_number(facts, 'envelopes')} deliveries, one for each domain: {_listed(facts.get('domains'))}."


def _route(facts: _Facts) -> str:
    route = _word(facts, "route")
    by = {
        "mx": "to the mail servers of the recipient's domain (mx)",
        "simulator": "to the simulator",
    }.get(route)
    if by is None:
        kind, _, host = route.partition("://")
        words = {"smarthost": "by the relay", "capture": "to the capture sink"}
        by = f"{words[kind]} {host}" if kind in words else f"by {route}"
    why = _word(facts, "why")
    return f"The route is {by}{f': {why}' if why else ''}."


def _mx(facts: _Facts) -> str:
    domain = _word(facts, "domain")
    if failed := _word(facts, "failed"):
        code = _word(facts, "enhanced")
        return f"The DNS knows no server for mail to {domain}: {failed}{f' ({code})' if code else ''}."
    hosts = facts.get("hosts")
    shown = "; ".join(map(_host, hosts)) if isinstance(hosts, list) else ""
    if facts.get("implicit"):
        return f"The domain {domain} has no MX record, so it takes its mail itself: {shown}."
    return f"The DNS says who takes mail for {domain} (MX): {shown}."


def _host(shown: object) -> str:
    preference, _, rest = str(shown).partition(" ")
    name, _, addresses = rest.partition(" ")
    return f"{name} at {', '.join(addresses.split())}, preference {preference}" if addresses else str(shown)


def _connect(facts: _Facts) -> str:
    if failed := _word(facts, "failed"):
        return f"No connection to {_server(facts)}: {failed}{_slowness(facts)}."
    return f"Connected to {_server(facts)}{_slowness(facts)}."


def _reuse(facts: _Facts) -> str:
    count = _number(facts, "messages")
    before = f"{count} message{'' if count == 1 else 's'} before this one"
    return f"Went on with the open connection to {_server(facts)}: {before}."


def _skipped(facts: _Facts) -> str:
    count = _number(facts, "failures")
    times = f"{count} time{'' if count == 1 else 's'} in a row" if count else "lately"
    return f"Left out {_server(facts)} for now, for it gave no connection {times}: {_word(facts, 'why')}."


def _server(facts: _Facts) -> str:
    host, address = _word(facts, "host"), _word(facts, "address")
    where = f"{address}, port {_number(facts, 'port')}" if address and address != host else f"port {_number(facts, 'port')}"
    return f"{host} ({where})"


def _tls(facts: _Facts) -> str:
    checked = (
        "its certificate was verified"
        if facts.get("verified")
        else "its certificate was not looked at, as is usual between mail servers"
    )
    return f"Encrypted with {_word(facts, 'version')} ({_word(facts, 'cipher')}); {checked}."


def _plain(facts: _Facts) -> str:
    return f"Not encrypted towards {_word(facts, 'host')}: {_word(facts, 'why')}."


def _smtp(facts: _Facts) -> str:
    command = _word(facts, "command")
    meaning = next((meaning for start, meaning in _COMMANDS if command.startswith(start)), "")
    said = f"{meaning}: {command}" if meaning and not command.startswith("(") else meaning or command
    if command.startswith("(message of"):
        said = f"{meaning} {command.removeprefix('(message ')}".rstrip(")")
    reply = _word(facts, "reply").replace("\n", " | ")
    answer = f" -> {reply}" if reply else f" -> no answer: {_word(facts, 'failed')}"
    return f"{said}{answer}{_slowness(facts)}"


def _rule(facts: _Facts) -> str:
    bounce_class, disposition = _word(facts, "bounce_class"), _word(facts, "disposition")
    meaning = class_meanings().get(bounce_class, "")
    return (
        f"The rule {_word(facts, 'rule')} fits: class {bounce_class}{f' ({meaning})' if meaning else ''}. "
        f"{_listed(facts.get('recipients'))}: {_ENDS.get(disposition, disposition)}."
    )


def _gave_up(facts: _Facts) -> str:
    stage = _STAGES.get(_word(facts, "stage"), _word(facts, "stage"))
    return f"This try was ended while {stage}: {_word(facts, 'why')}."


def _waiting(facts: _Facts) -> str:
    return f"Not tried: {_word(facts, 'why')}."


def _next_attempt(facts: _Facts, at: float) -> str:
    due = facts.get("at")
    if not isinstance(due, int | float):
        return "It is tried again."
    return "It is tried again at once." if due - at < 5 else f"It is tried again at {clock_time(due, at)}."


def _expired(facts: _Facts) -> str:
    tries = _number(facts, "tries")
    return f"The time of {_word(facts, 'recipient')} is over after {tries} {'try' if tries == 1 else 'tries'}: no further one."


def _indeterminate(facts: _Facts) -> str:
    to = _listed(facts.get("recipients"))
    return f"Nobody can know whether {to} got it: {_word(facts, 'why')}. It is sent again, and may be there twice."


def _fault(facts: _Facts) -> str:
    if not facts:
        return "A fault of our own ended this run."
    return f"A fault of our own ended this run: {_word(facts, 'error')} at {_word(facts, 'where')}."


def _poisoned(facts: _Facts) -> str:
    item = _word(facts, "item")
    return f"Given up for a fault of our own: {_word(facts, 'why')}{f' (item {item})' if item else ''}"


def _replayed(facts: _Facts) -> str:
    count = _number(facts, "recipients")
    to = f"{count} recipient{'' if count == 1 else 's'}" if count else "those who were given up"
    return f"The operator has it worked again for {to}."


def _overdue(facts: _Facts) -> str:
    late = facts.get("seconds")
    by = f", {span(late)} late" if isinstance(late, int | float) else ""
    return f"Nobody had worked it when it was due{by}: it is put back into the queue."


def _cut(facts: _Facts) -> str:
    return f"More happened at this try than is kept ({_number(facts, 'events')} lines)."


def _returned(facts: _Facts) -> str:
    meaning = class_meanings().get(_word(facts, "bounceClass"), "")
    why = f" ({_word(facts, 'bounceClass')}: {meaning})" if meaning else ""
    recipient, reply = _word(facts, "recipient"), _word(facts, "reply")
    return f"The mail to {recipient} was taken, and came back{_reporter(facts)}: {reply}{why}.{_nobody_suppressed(facts)}"


def _reported(facts: _Facts) -> str:
    done = _REPORTS.get(_word(facts, "action"), _word(facts, "action"))
    said = f": {_word(facts, 'reply')}" if _word(facts, "action") in ("failed", "delayed") else ""
    recipient = _word(facts, "recipient") or "somebody"
    return f"A report came back{_reporter(facts)}: {recipient} {done}{said}. It changes nothing here."


def _complaint(facts: _Facts) -> str:
    of = _listed(facts.get("recipients")) or "somebody who is not named"
    by = f" by {_word(facts, 'by')}" if _word(facts, "by") else ""
    word = _word(facts, "feedback")
    held = ""
    if facts.get("recipients") and word in _HOLDING_FEEDBACK:
        held = _nobody_suppressed(facts) or " More mail there is held back for a time."
    return f"A feedback report{by} about the mail to {of}: {_FEEDBACK.get(word, word)}.{held}"


def _nobody_suppressed(facts: _Facts) -> str:
    if facts.get("shared") is not True:
        return ""
    return (
        " It leads to no entry on the managed list, for any recipient of this message could have written it:"
        " put the address on a list of your own if it is right."
    )


def _reporter(facts: _Facts) -> str:
    host = _word(facts, "by") or _word(facts, "host")
    return f" from {host}" if host else ""


def _as_it_is(facts: _Facts) -> str:
    return ", ".join(f"{name}={_listed(fact) if isinstance(fact, list) else fact}" for name, fact in facts.items())


_KINDS: Mapping[str, Callable[[_Facts], str]] = {
    "accepted": _accepted,
    "signed": _signed,
    "arc-sealed": _arc_sealed,
    "arc-unsealed": _arc_unsealed,
    "notification": _notification,
    "suppressed": _suppressed,
    "split": _split,
    "route": _route,
    "mx": _mx,
    "connect": _connect,
    "reuse": _reuse,
    "skipped": _skipped,
    "tls": _tls,
    "plain": _plain,
    "smtp": _smtp,
    "rule": _rule,
    "gave-up": _gave_up,
    "waiting": _waiting,
    "expired": _expired,
    "indeterminate": _indeterminate,
    "fault": _fault,
    "poisoned": _poisoned,
    "replayed": _replayed,
    "overdue": _overdue,
    "cut": _cut,
    "returned": _returned,
    "reported": _reported,
    "complaint": _complaint,
}


def _word(facts: _Facts, name: str) -> str:
    return str(facts.get(name, ""))


def _number(facts: _Facts, name: str) -> int:
    value = facts.get(name)
    return value if isinstance(value, int) else 0


def _listed(fact: object) -> str:
    if not isinstance(fact, list):
        return str(fact or "")
    more = f" and {len(fact) - _MOST_LISTED} more" if len(fact) > _MOST_LISTED else ""
    return ", ".join(map(str, fact[:_MOST_LISTED])) + more


def _slowness(facts: _Facts) -> str:
    seconds = facts.get("seconds")
    return f" (after {seconds:.1f} s)" if isinstance(seconds, int | float) and seconds >= _SLOW else ""
