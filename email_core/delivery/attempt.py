"""One attempt to deliver an envelope: choose the way, find the hosts, hold the conversation, say what became of whom.

`attempt_delivery` reads like that list. Whatever a peer or the network does is an outcome; an exception that leaves is a
fault of ours.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from email_core.clock import Clock
from email_core.delivery.destinations import Destinations
from email_core.delivery.envelope import LEAST_SECONDS, Attempt
from email_core.delivery.mx_hosts import MxFailure, MxHosts, find_mx_hosts
from email_core.delivery.outcome import AttemptReport, Disposition, Outcome, Reply, Stage
from email_core.delivery.reply import accepted, temporary_by_default
from email_core.delivery.routes import SIMULATOR_DOMAIN, MxRoute, Route, SimulatorRoute, SmarthostRoute, TlsMode, parse_routes
from email_core.delivery.run import HostUnusable, Run
from email_core.delivery.simulator import simulate
from email_core.delivery.time_budget import OutOfTime, StageTimeouts, TimeBudget
from email_core.delivery.transcript import Transcript
from email_core.delivery.verdicts import Verdicts
from email_core.dns.resolver import DnsResolver, Resolver
from email_core.errors import WorkerBusy
from email_core.message.address import Address
from email_core.settings import Settings, SettingsError

if TYPE_CHECKING:
    from email_core.delivery.dialler import Dialler

__all__ = ["Attempt", "Courier"]

# A tenant reads it: how many they are, and whose, is for the log.
ALL_RUNS_TAKEN = "as many conversations as may be are going on with that destination"


class Courier:
    """Makes the attempts of a worker. Holds its idle connections; no I/O happens before the first attempt."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        resolver: Resolver,
        *,
        timeouts: StageTimeouts | None = None,
        destinations: Destinations | None = None,
        random: Callable[[], float] = random.random,
    ) -> None:
        """Raises RouteError when POSTRIDER_ROUTES is wrong, SettingsError when our EHLO name is."""
        self._settings = settings
        self._clock = clock
        self._resolver = resolver
        self._timeouts = timeouts or StageTimeouts()
        self._destinations = destinations or Destinations(clock)
        self._random = random
        self._routes = parse_routes(settings.routes)
        self._ehlo_name = _ehlo_name(settings)
        self._dialler: Dialler | None = None

    @classmethod
    def from_settings(cls, settings: Settings, clock: Clock) -> Courier:
        """The courier of an installation, on the DNS of its settings. Raises RouteError and ResolverSettingError."""
        return cls(settings, clock, DnsResolver(settings.dns_server, monotonic=clock.monotonic))

    async def attempt_delivery(self, attempt: Attempt) -> AttemptReport:
        """Make one attempt. Every recipient gets one outcome, and the report tells the story.

        Raises WorkerBusy when as many runs as may be are at the destination and nothing at all was tried before: the same
        attempt is to be made a little later. An impatient one is handed over instead.
        """
        run = self._begin(attempt)
        verdicts = Verdicts(attempt.recipients, run.transcript)
        handed_over = False
        try:
            if attempt.seconds and attempt.seconds < LEAST_SECONDS:
                raise OutOfTime(Stage.ROUTE, impatient=False)
            self._simulate(attempt, verdicts, run)
            await self._deliver(attempt, verdicts, run)
        except OutOfTime as out:
            handed_over = self._give_up(out, verdicts, run)
        except WorkerBusy:
            if not attempt.impatient:
                raise
            handed_over = self._leave(verdicts, run)
        return AttemptReport(verdicts.outcomes, run.transcript.events, handed_over)

    def refuse_when_full(self, addresses: Sequence[str]) -> None:
        """Raises WorkerBusy when a patient attempt for these forward-paths would, by its first route."""
        if isinstance(self._routes[0], MxRoute):
            for domain in {address.rpartition("@")[2] for address in addresses}:
                with self._destinations.run_at(domain):
                    pass

    async def close(self) -> None:
        """End the idle connections."""
        if self._dialler is not None:
            self._dialler.pool.close()
            await asyncio.sleep(0)  # the loop closes them at its next turn

    def _begin(self, attempt: Attempt) -> Run:
        patience = self._settings.impatience_seconds if attempt.impatient else None
        seconds = min(self._settings.run_seconds, attempt.seconds or self._settings.run_seconds)
        budget = TimeBudget(self._clock, self._timeouts, run_seconds=seconds, patience=patience)
        return Run(self._clock, budget, Transcript(self._clock), self._ehlo_name)

    def _simulate(self, attempt: Attempt, verdicts: Verdicts, run: Run) -> None:
        recipients = [recipient for recipient in verdicts.pending if recipient.domain == SIMULATOR_DOMAIN]
        if recipients:
            run.transcript.route(SimulatorRoute().name, "test recipients never leave")
        stalling = []
        for recipient in recipients:
            answer = simulate(recipient.local, number=attempt.number)
            if answer.stalls and attempt.impatient:
                stalling.append(recipient)
                continue
            run.transcript.command(f"RCPT TO:<{recipient.addr_spec}>", answer.reply, 0.0)
            if answer.disposition is not None:
                verdicts.settle(Outcome(recipient.addr_spec, answer.disposition, answer.reply, answer.stage, SIMULATOR_DOMAIN))
            elif accepted(answer.reply):
                verdicts.deliver([recipient], answer.reply, mx_host=SIMULATOR_DOMAIN)
            else:
                verdicts.refuse([recipient], answer.reply, answer.stage, mx_host=SIMULATOR_DOMAIN)
        if stalling:
            raise OutOfTime(Stage.BANNER, impatient=True)

    async def _deliver(self, attempt: Attempt, verdicts: Verdicts, run: Run) -> None:
        """By the first route that can be used."""
        why = "the first one of the settings"
        failures: dict[str, HostUnusable] = {}
        for position, route in enumerate(self._routes):
            if not verdicts.pending:
                return
            run.transcript.route(route.name, why)
            more_follow = position + 1 < len(self._routes)
            for recipients, unusable in await self._by_route(route, attempt, verdicts, run, more_follow=more_follow):
                failures |= {recipient.addr_spec: unusable for recipient in recipients}
            why = "the one before could not be used"
        for recipient in verdicts.pending:
            unusable = failures[recipient.addr_spec]
            verdicts.defer(
                [recipient],
                unusable.stage,
                unusable.reason,
                mx_host=unusable.host,
                reply=unusable.reply,
                withheld=unusable.withheld,
            )

    async def _by_route(
        self, route: Route, attempt: Attempt, verdicts: Verdicts, run: Run, *, more_follow: bool
    ) -> list[tuple[Sequence[Address], HostUnusable]]:
        """Deliver by a route; whom it left over, and why."""
        if isinstance(route, SmarthostRoute):
            recipients = verdicts.pending
            unusable = await self._by_smarthost(route, attempt, recipients, verdicts, run, more_follow=more_follow)
            return [(recipients, unusable)] if unusable else []
        left_over: list[tuple[Sequence[Address], HostUnusable]] = []
        domains = tuple(dict.fromkeys(recipient.domain for recipient in verdicts.pending))
        for domain in domains:
            recipients = tuple(recipient for recipient in verdicts.pending if recipient.domain == domain)
            more = more_follow or domain != domains[-1]
            unusable = await self._by_mx(domain, attempt, recipients, verdicts, run, more_follow=more)
            if unusable:
                left_over.append((recipients, unusable))
        return left_over

    async def _by_smarthost(
        self,
        route: SmarthostRoute,
        attempt: Attempt,
        recipients: Sequence[Address],
        verdicts: Verdicts,
        run: Run,
        *,
        more_follow: bool,
    ) -> HostUnusable | None:
        from email_core.delivery.smtp_connection import NextHop

        hop = NextHop(route.host, route.host, route.port, route.tls, route.username, route.password)
        return await self._open_dialler().deliver([hop], attempt, recipients, verdicts, run, more_follow=more_follow)

    async def _by_mx(
        self, domain: str, attempt: Attempt, recipients: Sequence[Address], verdicts: Verdicts, run: Run, *, more_follow: bool
    ) -> HostUnusable | None:
        run.budget.begin_host(others_left=more_follow)
        with ExitStack() as place:
            try:
                place.enter_context(self._destinations.run_at(domain))
            except WorkerBusy:
                if attempt.impatient or not run.transcript.began:
                    raise
                # What was asked already must be told, and counts as a try: no relay is asked again ahead of the schedule.
                return HostUnusable(Stage.ROUTE, ALL_RUNS_TAKEN)
            return await self._to_domain(domain, attempt, recipients, verdicts, run, more_follow=more_follow)

    async def _to_domain(
        self, domain: str, attempt: Attempt, recipients: Sequence[Address], verdicts: Verdicts, run: Run, *, more_follow: bool
    ) -> HostUnusable | None:
        found = await self._mx_hosts(domain, run)
        if isinstance(found, MxFailure):
            run.transcript.mx_failed(domain, found.reply, found.reason)
            if temporary_by_default(found.reply):
                return HostUnusable(Stage.DNS, found.reason, reply=found.reply)
            verdicts.refuse(recipients, found.reply, Stage.DNS, reason=found.reason)
            return None
        from email_core.delivery.smtp_connection import NextHop

        run.transcript.mx(
            domain,
            [f"{host.preference} {host.name} {' '.join(host.addresses)}" for host in found.hosts],
            implicit=found.implicit,
        )
        hops = [
            NextHop(host.name, address, self._settings.mx_port, TlsMode.OPPORTUNISTIC)
            for host in found.hosts
            for address in host.addresses
        ]
        return await self._open_dialler().deliver(hops, attempt, recipients, verdicts, run, more_follow=more_follow)

    async def _mx_hosts(self, domain: str, run: Run) -> MxHosts | MxFailure:
        allowance = run.budget.before_data(Stage.DNS)
        try:
            async with asyncio.timeout(allowance.seconds):
                return await find_mx_hosts(
                    domain, self._resolver, allow_private=self._settings.allow_private_addresses, random=self._random
                )
        except TimeoutError:
            if allowance.last:
                raise run.budget.out_of_time(Stage.DNS) from None
            return MxFailure(Reply(451, "4.4.3", "DNS: no answer in time"), "DNS: no answer in time")

    def _give_up(self, out: OutOfTime, verdicts: Verdicts, run: Run) -> bool:
        """Nobody has the message of those that are left; whether a patient attempt shall go on at once."""
        handed_over = out.impatient and _nobody_has_it(verdicts)
        run.transcript.gave_up(
            out.stage, "handed over to a patient attempt" if handed_over else "the time of the run is used up"
        )
        if handed_over:
            verdicts.hand_over(verdicts.pending, out.stage)
        else:
            verdicts.defer(verdicts.pending, out.stage, "the time of the run was used up")
        return handed_over

    def _leave(self, verdicts: Verdicts, run: Run) -> bool:
        """A destination has all its runs, and this attempt is impatient; whether a patient one shall go on at once."""
        handed_over = _nobody_has_it(verdicts)
        why = f"{ALL_RUNS_TAKEN}; handed over to a patient attempt" if handed_over else ALL_RUNS_TAKEN
        run.transcript.gave_up(Stage.ROUTE, why)
        if handed_over:
            verdicts.hand_over(verdicts.pending, Stage.ROUTE)
        else:
            verdicts.defer(verdicts.pending, Stage.ROUTE, ALL_RUNS_TAKEN)
        return handed_over

    def _open_dialler(self) -> Dialler:
        if self._dialler is None:
            # Imported with the first delivery: aiosmtplib costs a cold start 90 milliseconds.
            from email_core.delivery.dialler import Dialler

            self._dialler = Dialler(self._clock, self._destinations)
        return self._dialler


def _nobody_has_it(verdicts: Verdicts) -> bool:
    # Where somebody has it already, or may have it, the attempt counts: its outcomes must be kept.
    return not any(outcome.disposition is Disposition.DELIVERED or outcome.indeterminate for outcome in verdicts.outcomes)


def _ehlo_name(settings: Settings) -> str:
    name = settings.ehlo_name or settings.bounce_domain
    # RFC 5321 section 4.1.1.1: a domain, or an address literal from a host without a name.
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[A-Za-z0-9.:]{1,60}\]", name):
        raise SettingsError(
            f"POSTRIDER_EHLO_NAME must be the host name of the sending address, as in mail.example.com; it is {name!r}"
        )
    return name
