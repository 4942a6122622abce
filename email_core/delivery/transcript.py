"""The story of one attempt as timeline events: what was chosen, said and answered. No secrets, no bodies.

The words of the events are written here and nowhere else, so that every reader finds the same fields.
"""

from __future__ import annotations

from collections.abc import Sequence

from email_core.clock import Clock
from email_core.delivery.outcome import Reply, Stage, TimelineEvent
from email_core.delivery.reply import fit_to_keep

MAX_EVENTS = 400  # of one attempt: five hosts with ninety-nine recipients each would fill a row
MAX_SHOWN = 500  # characters of a reply; the outcome has it whole


class Transcript:
    """Collects the events of an attempt in order."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._events: list[TimelineEvent] = []

    @property
    def events(self) -> tuple[TimelineEvent, ...]:
        return tuple(self._events)

    @property
    def began(self) -> bool:
        """Whether anything was tried beyond choosing a way: a look-up, a next hop, a test recipient."""
        return any(event.kind != "route" for event in self._events)

    def route(self, route: str, why: str) -> None:
        """Which way the mail goes, and why this one."""
        self._add("route", route=route, why=why)

    def mx(self, domain: str, hosts: Sequence[str], *, implicit: bool) -> None:
        """What the DNS said; each host as `preference name address address`."""
        self._add("mx", domain=domain, hosts=list(hosts), implicit=implicit)

    def mx_failed(self, domain: str, reply: Reply, reason: str) -> None:
        self._add("mx", domain=domain, enhanced=reply.enhanced, failed=reason)

    def connect(self, host: str, address: str, port: int, seconds: float, failed: str = "") -> None:
        self._add("connect", host=host, address=address, port=port, seconds=_rounded(seconds), failed=failed)

    def reuse(self, host: str, address: str, port: int, messages: int) -> None:
        """A pooled connection was taken; `messages` were sent over it before."""
        self._add("reuse", host=host, address=address, port=port, messages=messages)

    def skipped(self, host: str, address: str, port: int, failures: int, why: str) -> None:
        """A next hop was not dialled, because it gave no ready connection so many times in a row."""
        self._add("skipped", host=host, address=address, port=port, failures=failures, why=why)

    def tls(self, host: str, version: str, cipher: str, *, verified: bool, seconds: float) -> None:
        self._add("tls", host=host, version=version, cipher=cipher, verified=verified, seconds=_rounded(seconds))

    def plain(self, host: str, why: str) -> None:
        """Mail goes unencrypted where encryption was possible in principle."""
        self._add("plain", host=host, why=why)

    def command(self, shown: str, reply: Reply | None, seconds: float, failed: str = "") -> None:
        """A command as it may be shown, with its reply; or why there was none."""
        answer = str(reply)[:MAX_SHOWN] if reply else ""
        self._add("smtp", command=shown, reply=answer, seconds=_rounded(seconds), failed=failed)

    def verdict(self, recipients: Sequence[str], stage: Stage, rule: str, bounce_class: str, disposition: str) -> None:
        """The bounce rule that decided about recipients."""
        self._add(
            "rule",
            recipients=list(recipients),
            stage=str(stage),
            rule=rule,
            bounce_class=bounce_class,
            disposition=str(disposition),
        )

    def indeterminate(self, recipients: Sequence[str], stage: Stage, why: str) -> None:
        """Nobody can know whether the receiver has the message (RFC 1047): it will be sent again, and may be there twice."""
        self._add("indeterminate", recipients=list(recipients), stage=str(stage), why=why)

    def gave_up(self, stage: Stage, why: str) -> None:
        """The attempt ended before its time at that stage."""
        self._add("gave-up", stage=str(stage), why=why)

    def _add(self, kind: str, **facts: object) -> None:
        if len(self._events) < MAX_EVENTS:
            said = {name: _fit(fact) for name, fact in facts.items() if fact not in ("", [])}
            self._events.append(TimelineEvent(self._clock.now(), kind, said))
        elif len(self._events) == MAX_EVENTS:
            self._events.append(TimelineEvent(self._clock.now(), "cut", {"events": MAX_EVENTS}))


def _fit(fact: object) -> object:
    if isinstance(fact, str):
        return fit_to_keep(fact)
    return [_fit(each) for each in fact] if isinstance(fact, list) else fact


def _rounded(seconds: float) -> float:
    return round(seconds, 3)
