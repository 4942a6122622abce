"""What a kill run came to: every accepted recipient compared with the ledger in storage and the counts of the receiver."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from email_core.delivery.rows import LIGHT, SpooledRow, row_of
from email_core.delivery.spool import MESSAGES
from email_core.storage import Tables
from tests.kit.kill_messages import Message, message, wanted_status

_TELL_SECONDS = 10.0
_STORIES = 10  # offending messages that are told in full


@dataclass(frozen=True, slots=True)
class Offence:
    """A recipient whose ledger and arrivals do not go together. `story`: the row's timeline, then what the hosts logged."""

    operation_id: str
    recipient: str
    what: str
    story: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n    ".join([f"{self.operation_id} {self.recipient}: {self.what}", *self.story])


@dataclass
class Report:
    """The outcome. Seconds are those from the first request to the last final outcome."""

    seed: int
    messages: int
    greylisting: bool = True
    several: bool = False
    kills: int = 0
    kills_while_starting: int = 0
    recipients: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0  # recipients that have a message more than once
    arrivals: int = 0
    flagged: int = 0  # recipients marked as possible duplicates
    takeovers: int = 0
    requests_lost: int = 0  # requests whose connection ended before the answer, or that had none in time
    requests_refused: int = 0  # connections that nobody took, because the host was starting
    requests_put_off: int = 0  # answers that asked to come again
    items_left: int = 0  # in the queues when the patience was at its end; none, when all is well
    sending_seconds: float = 0.0
    seconds: float = 0.0
    exit_statuses: list[int] = field(default_factory=list)  # of the processes, when they were asked to stop at the end
    more: dict[str, int] = field(default_factory=dict)  # figures of one door alone
    lost: list[Offence] = field(default_factory=list)
    unflagged: list[Offence] = field(default_factory=list)
    wrong: list[Offence] = field(default_factory=list)

    def sent(self, numbers: Iterable[int]) -> Iterator[Message]:
        """The messages of these numbers."""
        return (message(self.seed, number, greylisting=self.greylisting, several=self.several) for number in numbers)

    @property
    def offences(self) -> list[Offence]:
        return [*self.lost, *self.unflagged, *self.wrong]

    @property
    def clean(self) -> bool:
        """Whether nothing was lost, every duplicate is flagged, and everything else is as it must be."""
        return not self.offences and not self.items_left and set(self.exit_statuses) == {0}

    def __str__(self) -> str:
        rate = self.messages / self.sending_seconds if self.sending_seconds else 0.0
        lines = [
            f"{self.messages} messages to {self.recipients} recipients, seed {self.seed}",
            f"{self.kills} kills, {self.kills_while_starting} of them while the host was starting",
            f"lost {len(self.lost)}, duplicates {self.duplicates}, of them not flagged {len(self.unflagged)}, "
            f"otherwise wrong {len(self.wrong)}",
            f"{self.flagged} recipients flagged as possible duplicates, {self.takeovers} claims taken over",
            f"final: {', '.join(f'{count} {status}' for status, count in sorted(self.statuses.items()))}",
            f"requests sent again: {self.requests_lost} that were lost with their host, {self.requests_refused} that met none, "
            f"{self.requests_put_off} that were put off",
            f"{self.seconds:.0f} s, {rate:.1f} messages a second while sending; hosts stopped with {self.exit_statuses}, "
            f"{self.items_left} items left in the queues",
            *(f"{name}: {count}" for name, count in self.more.items()),
        ]
        return "\n".join([*lines, *map(str, self.offences[:_STORIES])])

    def markdown(self) -> str:
        """The rows of a table for bench/README.md."""
        rate = self.messages / self.sending_seconds if self.sending_seconds else 0.0
        rows = {
            "messages": f"{self.messages:,}",
            "recipients": f"{self.recipients:,}",
            "kills": f"{self.kills:,}, {self.kills_while_starting:,} of them while it was starting",
            "lost": f"{len(self.lost):,}",
            "duplicates at the receiver": f"{self.duplicates:,}",
            "duplicates not flagged": f"{len(self.unflagged):,}",
            "outcomes that are otherwise wrong": f"{len(self.wrong):,}",
            "recipients flagged as possible duplicates": f"{self.flagged:,}",
            "claims taken over": f"{self.takeovers:,}",
            "requests lost with their host and sent again": f"{self.requests_lost:,}",
            "time": f"{self.seconds / 60:.1f} minutes",
            "messages a second": f"{rate:.1f}",
            **{name: f"{count:,}" for name, count in self.more.items()},
        }
        return "".join(["| Figure | Value |\n| --- | ---: |\n", *(f"| {name} | {value} |\n" for name, value in rows.items())])


class Comparison:
    """Compares messages one after the other and fills a report."""

    def __init__(
        self, report: Report, stories: AsyncIterator[Sequence[SpooledRow]], arrivals: Counter[str], *, repeated: bool = False
    ) -> None:
        """`stories` has the rows of each message, see `stories_of`.

        `repeated`: a message may be several operations, of which the one that bounces has the others suppressed.
        """
        self._repeated = repeated
        self._report = report
        self._stories = stories
        self._arrivals = arrivals

    async def compare(self, tell: Callable[[str], None]) -> None:
        """All messages; what arrived without being sent counts as wrong."""
        waiting = {each.operation_id: each for each in self._report.sent(range(self._report.messages))}
        known, told = 0, time.monotonic()
        async for rows in self._stories:
            sent = waiting.pop(rows[0].operation_id, None)
            if sent is None:
                self._report.wrong.append(Offence(rows[0].operation_id, "-", "a row of no message", story_of(rows)))
                continue
            known += self.compare_message(sent, rows)
            if time.monotonic() - told > _TELL_SECONDS:
                tell(f"{self._report.messages - len(waiting):,} of {self._report.messages:,} messages compared")
                told = time.monotonic()
        for sent in waiting.values():
            self._report.lost += [Offence(sent.operation_id, each, "accepted, and no row") for each in sent.recipients]
            known += sum(1 for each in sent.recipients if self._arrivals[f"{sent.operation_id} {each}"])
        self._report.arrivals = self._arrivals.total()
        if known != len(self._arrivals):
            unknown = len(self._arrivals) - known
            self._report.wrong.append(Offence("-", "-", f"{unknown} arrivals of messages or recipients that were never sent"))

    def compare_message(self, sent: Message, story: Sequence[SpooledRow]) -> int:
        """One message with its rows; how many of its recipients have it."""
        envelopes = [row for row in story if row.row != "message"]
        rows = envelopes if story[-1].facts.envelopes else list(story)
        if sorted(sent.recipients) != sorted(entry.address for each in rows for entry in each.ledger.entries):
            self._report.wrong.append(Offence(sent.operation_id, "-", "the ledgers have other recipients", story_of(story)))
        return sum(self._compare_row(sent, each, story) for each in rows)

    def _compare_row(self, sent: Message, row: SpooledRow, story: Sequence[SpooledRow]) -> int:
        report, there = self._report, 0
        for entry in row.ledger.entries:
            arrived = self._arrivals[f"{sent.operation_id} {entry.address}"]
            there += arrived > 0
            report.recipients += 1
            report.statuses[entry.status] += 1
            report.flagged += entry.possible_duplicate
            report.duplicates += arrived > 1

            def offence(what: str, address: str = entry.address) -> Offence:
                return Offence(sent.operation_id, address, what, story_of(story))

            if not entry.status.final:
                report.lost.append(offence(f"no final outcome, {entry.status}"))
            elif entry.status == "Delivered" and not arrived:
                report.lost.append(offence("Delivered, and never arrived"))
            elif entry.status != wanted_status(entry.address) and not (
                self._repeated and (entry.status, wanted_status(entry.address)) == ("Suppressed", "Bounced")
            ):
                report.wrong.append(offence(f"{entry.status}, arrived {arrived} times"))
            if arrived > 1 and not entry.possible_duplicate:
                report.unflagged.append(offence(f"arrived {arrived} times and is not flagged"))
            elif arrived and entry.status != "Delivered" and not entry.possible_duplicate:
                report.unflagged.append(offence(f"arrived, is {entry.status} and is not flagged"))
        return there


async def stories_of(tables: Tables) -> AsyncIterator[Sequence[SpooledRow]]:
    """The rows of each message in the table, its envelopes first, without their content.

    One walk over the table: Azurite looks through all of it for each query, so a query for each message would take hours.
    """
    story: list[SpooledRow] = []
    async for entity in tables.query(MESSAGES, "", select=("PartitionKey", "RowKey", *LIGHT), page_size=1000):
        row = row_of(str(entity.values["PartitionKey"]), str(entity.values["RowKey"]), entity)
        if story and story[0].message != row.message:
            yield story
            story = []
        story.append(row)
    if story:
        yield story


def story_of(rows: Sequence[SpooledRow]) -> tuple[str, ...]:
    """What the rows of a message tell, for an offence."""
    told = []
    for row in {each.row: each for each in rows}.values():
        ledger = row.ledger
        told.append(
            f"{row.row}: attempt {ledger.attempt}, claim until {ledger.claim_until:.3f} by {ledger.claim_token or 'nobody'}, "
            f"next at {ledger.next_attempt_at:.3f}, envelopes {row.facts.envelopes}, {row.facts.status}"
        )
        told += [
            f"  {entry.address} {entry.status} tries {entry.tries} at {entry.at:.3f} flagged {entry.possible_duplicate}"
            for entry in ledger.entries
        ]
        told += [f"  {event.at:.3f} {event.kind} {event.facts}" for event in row.timeline]
    return tuple(told)
