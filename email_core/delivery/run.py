"""What the steps of one attempt share, and the one exception by which they say that a host is of no use."""

from __future__ import annotations

from dataclasses import dataclass

from email_core.clock import Clock
from email_core.delivery.outcome import Reply, Stage
from email_core.delivery.time_budget import TimeBudget
from email_core.delivery.transcript import Transcript


@dataclass(frozen=True, slots=True)
class Run:
    """What every step of one attempt needs: the time, how much of it is left, the story, and our name."""

    clock: Clock
    budget: TimeBudget
    transcript: Transcript
    ehlo_name: str


class HostUnusable(Exception):
    """This host did not take the message and did not judge it either: another one may be tried. The reply is what it said.

    `withheld`: the reply is about our own account with a relay; it decides what follows, and nobody outside gets to see it.
    """

    def __init__(
        self, stage: Stage, reason: str, *, host: str = "", reply: Reply | None = None, withheld: bool = False
    ) -> None:
        super().__init__(f"{host} at {stage}: {reason}")
        self.stage = stage
        self.reason = reason
        self.host = host
        self.reply = reply
        self.withheld = withheld


class TlsFailed(HostUnusable):
    """The connection could not be encrypted. `handshake`: the server agreed to, and then it did not work."""

    def __init__(self, reason: str, *, host: str, reply: Reply | None = None, withheld: bool = False, handshake: bool) -> None:
        super().__init__(Stage.STARTTLS, reason, host=host, reply=reply, withheld=withheld)
        self.handshake = handshake
