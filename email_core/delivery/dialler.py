"""Trying next hops one after the other until every recipient has a verdict, over pooled connections where there are some.

The next hop is tried only for recipients that nobody judged, and never once the message may have been taken. One that gave
no connection several times in a row is passed over for a while.
"""

from __future__ import annotations

from collections.abc import Sequence

from email_core.clock import Clock
from email_core.delivery import smtp_session, tls_policy
from email_core.delivery.connection_pool import ConnectionPool
from email_core.delivery.destinations import Destinations
from email_core.delivery.envelope import Attempt
from email_core.delivery.outcome import Stage
from email_core.delivery.run import HostUnusable, Run, TlsFailed
from email_core.delivery.smtp_connection import Connection, NextHop, open_connection
from email_core.delivery.smtp_wire import WireFault
from email_core.delivery.time_budget import OutOfTime
from email_core.delivery.verdicts import Verdicts
from email_core.message.address import Address

SESSION_CAP = 2  # conversations that got as far as MAIL, in one attempt; as Postfix's smtp_mx_session_limit

HASTE = 10.0  # seconds; a hop that was given less, for want of time, and did not answer has not failed

_READY = frozenset({Stage.MAIL, Stage.RCPT, Stage.DATA})


class Dialler:
    """Owns the connections of a worker and remembers whose TLS is broken."""

    def __init__(self, clock: Clock, destinations: Destinations, *, pool: ConnectionPool | None = None) -> None:
        self.pool = pool if pool is not None else ConnectionPool(clock)
        self._broken_tls = tls_policy.BrokenTls(clock.monotonic)
        self._destinations = destinations

    async def deliver(
        self,
        hops: Sequence[NextHop],
        attempt: Attempt,
        recipients: Sequence[Address],
        verdicts: Verdicts,
        run: Run,
        *,
        more_follow: bool,
    ) -> HostUnusable | None:
        """Deliver to these recipients by the first hop that can be used; why the last one could not, when they are left over.

        `more_follow`: other hops will be tried after these, so that the last of these must not use up the time either.
        Raises OutOfTime.
        """
        failure: HostUnusable | None = None
        conversations = 0
        for position, hop in enumerate(hops):
            left = [recipient for recipient in recipients if verdicts.is_pending(recipient)]
            if not left or conversations == SESSION_CAP:
                break
            run.budget.begin_host(others_left=more_follow or position + 1 < len(hops))
            try:
                await self._deliver_to(hop, attempt, left, verdicts, run)
            except HostUnusable as unusable:
                failure = unusable
                conversations += unusable.stage in _READY
                if _is_policy(unusable):
                    break
        return failure

    async def _deliver_to(
        self, hop: NextHop, attempt: Attempt, recipients: Sequence[Address], verdicts: Verdicts, run: Run
    ) -> None:
        pooled = self.pool.take(hop)
        if pooled is not None:
            run.transcript.reuse(hop.host, hop.address, hop.port, pooled.messages)
            try:
                await self._converse(pooled, attempt, recipients, verdicts, run)
                return
            except HostUnusable as unusable:
                if unusable.stage is not Stage.MAIL:
                    raise
                # The server closed it while it was idle, or has had enough of it: that says nothing about the next one.
        connection = await self._dial(hop, run, impatient=attempt.impatient)
        await self._converse(connection, attempt, recipients, verdicts, run)

    async def _dial(self, hop: NextHop, run: Run, *, impatient: bool) -> Connection:
        """A new connection that is ready, unless this hop is skipped for now; those who follow are told how it goes."""
        if silence := self._destinations.why_skipped(hop):
            run.transcript.skipped(hop.host, hop.address, hop.port, silence.failures, silence.reason)
            reason = f"not tried now, for it gave no connection {silence.failures} times in a row: {silence.reason}"
            raise HostUnusable(silence.stage, reason, host=hop.host, reply=silence.reply, withheld=silence.withheld)
        greeting = run.budget.before_data(Stage.BANNER)  # raises OutOfTime: then this hop was not even dialled
        hasty = impatient or (greeting.cut and greeting.seconds < HASTE)  # which proves nothing about the hop
        try:
            connection = await self._open(hop, run)
        except HostUnusable as unusable:
            if not (hasty and _timed_out(unusable)):
                self._destinations.gave_none(hop, unusable.stage, unusable.reason, unusable.reply, withheld=unusable.withheld)
            raise
        except OutOfTime as out:
            if not hasty:
                self._destinations.gave_none(hop, out.stage, "no answer in the time of a run")
            raise
        self._destinations.answered(hop)
        return connection

    async def _open(self, hop: NextHop, run: Run) -> Connection:
        try:
            return await open_connection(hop, run, broken_tls=hop.host in self._broken_tls)
        except TlsFailed as failed:
            if not tls_policy.may_fall_back_to_plain(hop.tls):
                raise
            run.transcript.plain(hop.host, failed.reason)
            handshake = failed.handshake
        connection = await open_connection(hop, run, broken_tls=True)
        if handshake:
            # Only now: a host that hangs up in plain too has another trouble than TLS.
            self._broken_tls.remember(hop.host)
        return connection

    async def _converse(
        self, connection: Connection, attempt: Attempt, recipients: Sequence[Address], verdicts: Verdicts, run: Run
    ) -> None:
        try:
            ready = await smtp_session.send(connection, attempt, recipients, verdicts, run)
            self._note_tls_demand(connection, verdicts)
            ready = ready or await smtp_session.reset(connection, run)
        except HostUnusable:
            connection.wire.hang_up()
            raise
        except BaseException:
            # Out of time, or cancelled: the server is in the middle of something, and a QUIT would be read as part of it.
            connection.wire.abort()
            raise
        if ready:
            self.pool.put(connection)
        else:
            connection.wire.hang_up()

    def _note_tls_demand(self, connection: Connection, verdicts: Verdicts) -> None:
        """A server that refuses mail in plain gets TLS again at the next attempt, broken or not."""
        if not connection.encrypted and any(outcome.bounce_class == "tls_required" for outcome in verdicts.outcomes):
            self._broken_tls.forget(connection.hop.host)


def _timed_out(unusable: HostUnusable) -> bool:
    return isinstance(unusable.__cause__, WireFault) and unusable.__cause__.timed_out


def _is_policy(unusable: HostUnusable) -> bool:
    """Whether another host of the same receiver would only say the same: X.7.X is its policy towards us (RFC 3463 section 3.8),
    such as the rate at which it takes our mail. Before MAIL it may be about this one host."""
    return unusable.stage in _READY and unusable.reply is not None and unusable.reply.enhanced.startswith("4.7.")
