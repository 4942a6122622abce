"""What a receiving server can do wrong at each stage, and what must come of it: the data of test_smtp_fault_matrix.py.

The cells are written by the RFCs: a host that says nothing of use before the message was sent may be followed by another
(RFC 5321 sections 3.8 and 5.1), a refusal of a recipient is final for it, and after the final dot only an answer tells who
has the message (RFC 1047).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from email_core.delivery.outcome import Disposition, Stage
from tests.kit.fault_tables import FaultTable
from tests.kit.smtp_receiver import Fault, Say


class Cell(StrEnum):
    """What comes of a fault. The value is what the page says; the name, in small letters, what stands in the grid below."""

    NONE = "-"
    OK = "delivered"
    NEXT = "next host"
    PLAIN = "in plain"
    LATER = "deferred"
    BOUNCED = "bounced"
    FAILED = "failed"
    SPAM = "filtered"
    TWICE = "duplicate possible"


# A column's word in the grid, its words on the page, and what the server does; at 5yz that depends on the stage.
FAULTS: dict[str, tuple[str, Say]] = {
    "drop": ("drop", Fault.DROP),
    "reset": ("reset", Fault.RESET),
    "4yz": ("4yz", "451 4.3.0 not now"),
    "5yz": ("5yz", ""),
    "421": ("421", "421 4.3.2 shutting down"),
    "stall": ("stall", Fault.STALL),
    "slow": ("byte by byte", Fault.DRIBBLE),
    "junk": ("nonsense", b"SSH-2.0-OpenSSH_9.2\r\n"),
    "noend": ("reply without end", Fault.ENDLESS),
    "500": ("500 lines", Fault.MANY_LINES),
    "odd": ("NUL, 8-bit", Fault.ODD_BYTES),
    "early": ("early reply", Fault.EARLY),
}

_GRID = """
                           drop    reset   4yz     5yz     421     stall   slow    junk    noend   500     odd     early
connect                    none    next    none    none    none    next    none    none    none    none    none    none
banner                     next    next    next    next    next    next    next    next    next    ok      ok      next
EHLO                       next    next    next    next    next    next    next    next    next    ok      ok      next
STARTTLS, MX host          plain   plain   plain   plain   next    plain   plain   plain   plain   ok      ok      ok
STARTTLS, smarthost        next    next    next    next    next    next    next    next    next    ok      ok      ok
TLS handshake, MX host     plain   plain   none    none    none    plain   plain   plain   none    none    none    none
TLS handshake, smarthost   next    next    none    none    none    next    next    next    none    none    none    none
AUTH, smarthost            next    next    next    next    next    next    next    next    next    ok      ok      next
MAIL                       next    next    next    failed  next    next    next    next    next    ok      ok      next
RCPT, 1st of three         next    next    later   bounced next    next    next    next    next    ok      ok      next
RCPT, 2nd of three         next    next    later   bounced next    next    next    next    next    ok      ok      next
RCPT, 3rd of three         next    next    later   bounced next    next    next    next    next    ok      ok      next
DATA                       next    next    next    failed  next    next    next    next    next    ok      ok      next
final dot                  twice   twice   later   spam    later   twice   twice   twice   twice   ok      ok      ok
RSET after refusals        bounced bounced bounced bounced bounced bounced bounced bounced bounced bounced bounced bounced
QUIT                       ok      ok      ok      ok      ok      ok      ok      ok      ok      ok      ok      ok
"""

RECIPIENTS = ("ann@example.test", "bob@example.test", "eve@example.test")
TIMEOUT = 0.3  # seconds, of the stage that fails; the others have time


@dataclass(frozen=True)
class Place:
    """A row. `key` is the receiver's, `step` the event of the timeline that fails, `time_out` the field of StageTimeouts.

    `refusal` is the 5yz reply and `refusal_class` what it comes to; `lost_class` what a failure without a reply does.
    """

    key: str
    stage: Stage
    step: str
    time_out: str
    refusal: str = ""
    refusal_class: str = ""
    lost_class: str = "network"
    position: int = 0  # of the recipient, at RCPT


_TLS = ("STARTTLS", "tls", "554 5.3.3 not supported", "protocol", "tls_required")
_NO_USER = ("550 5.1.1 no such user", "invalid_recipient")
PLACES = {
    "connect": Place("", Stage.CONNECT, "connect", "connect"),
    "banner": Place("greeting", Stage.BANNER, "(greeting)", "banner", "554 5.3.2 no service here", "network"),
    "EHLO": Place("EHLO", Stage.EHLO, "EHLO", "ehlo", "550 5.7.1 go away", "policy_content"),
    "STARTTLS": Place("STARTTLS", Stage.STARTTLS, *_TLS),
    "TLS handshake": Place("handshake", Stage.STARTTLS, *_TLS),
    "AUTH": Place("AUTH", Stage.AUTH, "AUTH", "auth", "535 5.7.8 no", "relay_denied", "relay_denied"),
    "MAIL": Place("MAIL", Stage.MAIL, "MAIL", "mail", "550 5.1.8 no such sender", "sender_rejected"),
    **{
        f"RCPT, {ordinal} of three": Place(f"RCPT TO:<{recipient}>", Stage.RCPT, "RCPT", "rcpt", *_NO_USER, position=position)
        for position, (ordinal, recipient) in enumerate(zip(("1st", "2nd", "3rd"), RECIPIENTS, strict=True))
    },
    "DATA": Place("DATA", Stage.DATA, "DATA", "data", "554 5.5.1 no valid recipients", "protocol"),
    "final dot": Place(".", Stage.FINAL_DOT, "(message", "final_dot", "550 5.7.1 looks like spam", "policy_content"),
    "RSET after refusals": Place("RSET", Stage.RCPT, "RSET", "reset", "502 5.5.1 no", "invalid_recipient"),
    "QUIT": Place("QUIT", Stage.FINAL_DOT, "", "reset", "500 5.5.2 no"),
}


@dataclass(frozen=True)
class Case:
    """One cell on one kind of route, `mx` or `relay`."""

    row: str
    fault: str
    cell: Cell
    route: str

    def __str__(self) -> str:
        return f"{self.row}: {FAULTS[self.fault][0]} ({self.route})"

    @property
    def place(self) -> Place:
        return PLACES[self.row.removesuffix(", MX host").removesuffix(", smarthost")]

    @property
    def tls(self) -> bool:
        return self.place.stage is Stage.STARTTLS

    @property
    def say(self) -> Say:
        return FAULTS[self.fault][1] or self.place.refusal

    @property
    def replied(self) -> bool:
        """Whether the server says no in good order."""
        return self.fault in ("4yz", "5yz", "421")

    @property
    def noticed(self) -> Place:
        """Where the fault shows: a reply that came too early is the next command's."""
        if self.fault != "early" or self.cell is not Cell.NEXT:
            return self.place
        order = [row for row, place in PLACES.items() if place.step != "STARTTLS" and (row != "AUTH" or self.route != "mx")]
        return PLACES[order[order.index(self.row.partition(", smarthost")[0]) + 1]]

    @property
    def stage(self) -> Stage:
        """That of the outcomes. A reply to the message that came before it is told as a trouble of DATA: no dot was sent."""
        return Stage.DATA if self.noticed is not self.place and self.place.key == "DATA" else self.noticed.stage

    @property
    def bounce_class(self) -> str:
        """That of the recipients who are not delivered to, when there is no other host."""
        if self.row == "RSET after refusals" or self.fault == "5yz":
            return self.place.refusal_class
        return "network" if self.replied else self.noticed.lost_class

    @property
    def dispositions(self) -> tuple[Disposition, ...]:
        """One for each recipient, when there is another host."""
        ends = {
            Cell.LATER: Disposition.DEFERRED,
            Cell.BOUNCED: Disposition.BOUNCED,
            Cell.FAILED: Disposition.FAILED,
            Cell.SPAM: Disposition.FILTERED,
            Cell.TWICE: Disposition.DEFERRED,
        }
        end = ends.get(self.cell, Disposition.DELIVERED)
        alone = self.place.step == "RCPT"
        return tuple(Disposition.DELIVERED if alone and self.place.position != each else end for each in range(3))


def cases() -> Iterator[Case]:
    """Every cell that there is, for every route that it is for."""
    for row, cells in grid():
        routes = ("mx",) if row.endswith("MX host") else ("relay",) if row.endswith("smarthost") else ("mx", "relay")
        for fault, cell in zip(FAULTS, cells, strict=True):
            yield from (Case(row, fault, cell, route) for route in routes if cell is not Cell.NONE)


def grid() -> Iterator[tuple[str, list[Cell]]]:
    """The rows of the grid."""
    head, *lines = _GRID.strip("\n").splitlines()
    assert head.split() == list(FAULTS)
    for line in lines:
        yield line[:27].strip(), [Cell[word.upper()] for word in line[27:].split()]


# What a server may show instead of a certificate in good order, and what becomes of the mail by MX and by smarthost.
CERTIFICATES: dict[str, tuple[Cell, Cell]] = {
    "nobody we know signed it": (Cell.OK, Cell.NEXT),
    "for another name": (Cell.OK, Cell.NEXT),
    "expired": (Cell.OK, Cell.NEXT),
    "none, for TLS 1.1 is all it speaks": (Cell.PLAIN, Cell.NEXT),
}

STAGES_TABLE = FaultTable(
    "smtp-stages",
    ["At", *(label for label, _ in FAULTS.values())],
    [[row, *(str(cell) for cell in cells)] for row, cells in grid()],
)
CERTIFICATES_TABLE = FaultTable(
    "smtp-certificates",
    ["Certificate of the host", "MX host", "Smarthost"],
    [[certificate, str(mx), str(relay)] for certificate, (mx, relay) in CERTIFICATES.items()],
)
