"""The test recipients: addresses at simulator.postrider.test that fail on request, in every environment.

Nothing leaves for them. What a receiver would say goes through the same reply parser and bounce rules as a real answer.
`bounce+anything@` behaves as `bounce@`, so that a test can tell its messages apart.
"""

from __future__ import annotations

from dataclasses import dataclass

from email_core.delivery.outcome import Disposition, Reply, Stage
from email_core.delivery.reply import parse_reply
from email_core.delivery.routes import SIMULATOR_DOMAIN

DEFERRALS = 2  # tries of defer@ that fail before one succeeds

_TAKEN = (Stage.FINAL_DOT, 250, "2.0.0 Ok: taken by the simulator")
_REPLIES = {
    "delivered": _TAKEN,
    "bounce": (Stage.RCPT, 550, "5.1.1 User unknown: bounce@ always bounces"),
    "defer": (Stage.RCPT, 451, "4.2.0 Greylisted, try again in 60 seconds"),
    "full": (Stage.RCPT, 452, "4.2.2 Mailbox full: full@ always is"),
    "spam": (Stage.FINAL_DOT, 550, "5.7.1 Message refused as spam: spam@ always refuses"),
    "quarantine": (Stage.FINAL_DOT, 250, "2.0.0 Ok: put into quarantine"),
    "suppressed": (Stage.ROUTE, 550, "5.7.0 Suppressed: suppressed@ is on every suppression list"),
    "slow": _TAKEN,
    "complaint": _TAKEN,  # what follows after delivery is reported by others
    "open": _TAKEN,
    "click": _TAKEN,
}
_DISPOSITIONS = {"quarantine": Disposition.QUARANTINED, "suppressed": Disposition.SUPPRESSED}


@dataclass(frozen=True, slots=True)
class Simulated:
    """What the simulator answers. `disposition` is set where it does not follow from the reply.

    `stalls`: an impatient attempt would not have waited for it.
    """

    stage: Stage
    reply: Reply
    disposition: Disposition | None = None
    stalls: bool = False


def simulate(local_part: str, *, number: int) -> Simulated:
    """The answer for a test recipient, after `number` tries that came to a verdict."""
    name = local_part.lower().partition("+")[0]
    if name not in _REPLIES:
        known = ", ".join(f"{known}@" for known in _REPLIES)
        return _simulated((Stage.RCPT, 550, f"5.1.1 No such test recipient at {SIMULATOR_DOMAIN}; there are {known}"))
    if name == "defer" and number >= DEFERRALS:
        return _simulated(_TAKEN)
    return _simulated(_REPLIES[name], disposition=_DISPOSITIONS.get(name), stalls=name == "slow")


def _simulated(answer: tuple[Stage, int, str], *, disposition: Disposition | None = None, stalls: bool = False) -> Simulated:
    stage, code, text = answer
    return Simulated(stage, parse_reply(code, [text]), disposition, stalls)
