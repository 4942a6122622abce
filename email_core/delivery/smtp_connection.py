"""An SMTP connection made ready: connect, greeting, EHLO, STARTTLS, EHLO, AUTH; and the commands that go over it.

Everything that can go wrong until the connection is ready is the host's trouble or ours, never the recipients': it comes out
as HostUnusable, after which another host may be tried.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import NoReturn

from aiosmtplib.esmtp import parse_esmtp_extensions

from email_core import maillog
from email_core.delivery import tls_policy
from email_core.delivery.bounce_classes import BEFORE_MAIL
from email_core.delivery.outcome import Reply, Stage
from email_core.delivery.reply import CLOSING, accepted, parse_reply
from email_core.delivery.routes import TlsMode
from email_core.delivery.run import HostUnusable, Run, TlsFailed
from email_core.delivery.smtp_wire import RawReply, SmtpWire, TlsFault, WireFault
from email_core.settings import Secret

NO_LOG_IN = "the relay did not accept our log-in; the operator's log has its reply"
NO_ENTRY = "the relay did not take our connection; the operator's log has its reply"
_NOT_SHOWN = "(about our account with the relay; not shown)"


@dataclass(frozen=True, slots=True)
class NextHop:
    """Whom to connect to. `host` is the name for certificates, bounce rules and the timeline, `address` what is dialled."""

    host: str
    address: str
    port: int
    tls: TlsMode
    username: str = ""
    password: Secret = field(default=Secret(""), repr=False)


class Connection:
    """A connection to a next hop. `messages` counts what was sent over it.

    `refuses_orcpt`: it offers DSN, and took a recipient only without the ORCPT that we had added.
    """

    def __init__(self, hop: NextHop, wire: SmtpWire) -> None:
        self.hop = hop
        self.messages = 0
        self.refuses_orcpt = False
        self.extensions: dict[str, str] = {}
        self.auth_methods: list[str] = []
        self.wire = wire
        self._tls_unproven = False  # encrypted, and nothing was heard since

    @property
    def encrypted(self) -> bool:
        return self.wire.tls_session is not None

    @property
    def size_limit(self) -> int:
        """The largest message that the server announced to take, in octets (RFC 1870); 0 when it named none."""
        limit = self.extensions.get("size", "").strip()
        return int(limit) if limit.isascii() and limit.isdecimal() and len(limit) <= 20 else 0

    def offers(self, extension: str) -> bool:
        """Whether EHLO named that extension; lower case."""
        return extension in self.extensions

    async def command(self, run: Run, stage: Stage, line: bytes, *, share: float = 1.0) -> Reply:
        """Send a command and read its reply, within the time of its stage and that share of what is left.

        Raises HostUnusable and OutOfTime.
        """
        return _reply(await self._exchange(run, stage, line, line.decode("utf-8", "replace"), share=share))

    def lost(self, stage: Stage, reason: str) -> HostUnusable:
        """The exception for a connection that ended without a judgement."""
        return HostUnusable(stage, reason, host=self.hop.host)

    def refused(self, stage: Stage, reason: str, reply: Reply | None = None, *, words: str = "") -> HostUnusable:
        """The exception for a host that said no before MAIL. `words`: what it said, where that is no reply."""
        host = self.hop.host
        if not self.hop.username:
            return HostUnusable(stage, reason, host=host, reply=reply)
        # A relay that knows us speaks of our account: its name, that it was closed, what is owed. The mail is a tenant's.
        maillog.relay_refused(host, stage=stage, reason=reason, reply=str(reply or words))
        neutral = NO_LOG_IN if stage is Stage.AUTH else NO_ENTRY
        return HostUnusable(stage, neutral, host=host, reply=reply, withheld=True)

    async def greet(self, run: Run) -> None:
        """Read the greeting and say EHLO, or HELO where EHLO is unknown (RFC 5321 section 3.2)."""
        reply = _reply(await self._exchange(run, Stage.BANNER, None, "(greeting)"))
        if not accepted(reply):
            raise self.refused(Stage.BANNER, "refused the connection", reply)
        await self._hello(run)

    async def encrypt(self, run: Run) -> None:
        """STARTTLS, and EHLO anew, for what was said in plain does not count any more (RFC 3207 section 4.2)."""
        allowance = run.budget.before_data(Stage.STARTTLS)
        started = run.clock.monotonic()
        context = tls_policy.context_for(self.hop.tls)
        try:
            refusal = await self.wire.start_tls(context, self.hop.host, timeout=allowance.seconds)
        except TlsFault as fault:
            run.transcript.command("STARTTLS", None, run.clock.monotonic() - started, fault.reason)
            if fault.timed_out and allowance.last:
                raise run.budget.out_of_time(Stage.STARTTLS) from fault
            if fault.timed_out and allowance.cut:
                # Our haste proves nothing about its TLS, and must not send the mail in plain.
                raise self.lost(Stage.STARTTLS, fault.reason) from fault
            raise TlsFailed(fault.reason, host=self.hop.host, handshake=True) from fault
        except WireFault as fault:  # before anything of TLS was said
            reason = self._fit_reason(Stage.STARTTLS, fault)
            run.transcript.command("STARTTLS", None, run.clock.monotonic() - started, reason)
            raise self.lost(Stage.STARTTLS, reason) from fault
        if refusal is not None:
            self._refused_tls(run, _reply(refusal), run.clock.monotonic() - started)
        self.note_tls(run, run.clock.monotonic() - started)
        self._tls_unproven = True
        await self._hello(run)

    def _refused_tls(self, run: Run, reply: Reply, seconds: float) -> NoReturn:
        run.transcript.command("STARTTLS", self._fit_to_show(Stage.STARTTLS, reply), seconds)
        no = self.refused(Stage.STARTTLS, "refused STARTTLS after offering it", reply)
        if reply.code == CLOSING:
            raise no  # it would say so to any command: no reason to send the mail in plain
        raise TlsFailed(no.reason, host=no.host, reply=reply, withheld=no.withheld, handshake=False)

    def note_tls(self, run: Run, seconds: float) -> None:
        """Tell the story of an encrypted connection."""
        version, cipher = self.wire.tls_session or ("", "")
        run.transcript.tls(self.hop.host, version, cipher, verified=self.hop.tls is not TlsMode.OPPORTUNISTIC, seconds=seconds)

    async def log_in(self, run: Run) -> None:
        """AUTH PLAIN, or AUTH LOGIN where that is all there is (RFC 4954). Raises HostUnusable."""
        if not tls_policy.may_authenticate(self.hop.tls, encrypted=self.encrypted, host=self.hop.host):
            raise HostUnusable(Stage.AUTH, "a password is never sent over this connection", host=self.hop.host)
        if "plain" in self.auth_methods:
            token = _encoded(f"\0{self.hop.username}\0{self.hop.password}")
            reply = await self._secret(run, b"AUTH PLAIN " + token, token, "AUTH PLAIN ***")
        elif "login" in self.auth_methods:
            reply = await self.command(run, Stage.AUTH, b"AUTH LOGIN")
            for secret, shown in (self.hop.username, "(user)"), (self.hop.password, "(password)"):
                if reply.code == 334:
                    token = _encoded(secret)
                    reply = await self._secret(run, token, token, shown)
        else:
            offered = ", ".join(self.auth_methods)[:200] or "none"
            raise self.refused(Stage.AUTH, "offers no AUTH method that we have (PLAIN, LOGIN)", words=f"AUTH {offered}")
        if reply.code != 235:
            raise self.refused(Stage.AUTH, "did not accept user and password", reply)

    async def _hello(self, run: Run) -> None:
        self.extensions, self.auth_methods = {}, []
        name = run.ehlo_name.encode("ascii")
        raw = await self._exchange(run, Stage.EHLO, b"EHLO " + name, f"EHLO {run.ehlo_name}")
        if 200 <= raw.code <= 299:
            self.extensions, self.auth_methods = parse_esmtp_extensions(raw.text)
            return
        reply = _reply(raw)
        if 500 <= raw.code <= 504 and self.wire.usable:
            reply = await self.command(run, Stage.EHLO, b"HELO " + name)
        if not accepted(reply):
            raise self.refused(Stage.EHLO, "refused EHLO", reply)

    async def _secret(self, run: Run, line: bytes, token: bytes, shown: str) -> Reply:
        return _reply(await self._exchange(run, Stage.AUTH, line, shown, secret=token.decode()))

    async def _exchange(
        self, run: Run, stage: Stage, line: bytes | None, shown: str, *, secret: str = "", share: float = 1.0
    ) -> RawReply:
        allowance = run.budget.before_data(stage, share=share)
        started = run.clock.monotonic()
        try:
            if line is None:
                raw = await self.wire.greeting(timeout=allowance.seconds)
            else:
                raw = await self.wire.command(line, timeout=allowance.seconds)
        except WireFault as fault:
            reason = self._fit_reason(stage, fault)
            run.transcript.command(shown, None, run.clock.monotonic() - started, reason)
            if fault.timed_out and allowance.last:
                raise run.budget.out_of_time(stage) from fault
            if self._tls_unproven and not (fault.timed_out and allowance.cut):
                # In TLS 1.3 our side of the handshake is done before the server looks at it: its alert comes only now.
                raise TlsFailed(reason, host=self.hop.host, handshake=True) from fault
            raise self.lost(stage, reason) from fault
        self._tls_unproven = False
        for hidden in (secret, self.hop.password) if secret else ():  # some servers repeat what they did not like
            raw = RawReply(raw.code, raw.text.replace(hidden, "***") if hidden else raw.text)
        run.transcript.command(shown, self._fit_to_show(stage, _reply(raw)), run.clock.monotonic() - started)
        return raw

    def _fit_reason(self, stage: Stage, fault: WireFault) -> str:
        if fault.ours == fault.reason or not self.hop.username or stage not in BEFORE_MAIL:
            return fault.reason
        maillog.relay_refused(self.hop.host, stage=stage, reason=fault.ours, reply=fault.reason)
        return fault.ours

    def _fit_to_show(self, stage: Stage, reply: Reply) -> Reply:
        # From a relay with our account: all but a yes before MAIL, and whatever it says to a log-in.
        about_us = stage is Stage.AUTH or (stage in BEFORE_MAIL and not accepted(reply))
        return reply._replace(text=_NOT_SHOWN) if self.hop.username and about_us else reply


async def open_connection(hop: NextHop, run: Run, *, broken_tls: bool) -> Connection:
    """A connection that is ready for MAIL. `broken_tls`: TLS with this host failed lately.

    Raises HostUnusable, TlsFailed and OutOfTime; no connection stays open then.
    """
    connection = Connection(hop, await _connect(hop, run))
    try:
        if hop.tls is TlsMode.IMPLICIT:
            connection.note_tls(run, 0.0)
        await connection.greet(run)
        if hop.tls is not TlsMode.IMPLICIT:
            await _secure(connection, run, broken_tls=broken_tls)
        if hop.username:
            await connection.log_in(run)
    except BaseException:
        connection.wire.hang_up()
        raise
    return connection


async def _secure(connection: Connection, run: Run, *, broken_tls: bool) -> None:
    hop = connection.hop
    offered = connection.offers("starttls")
    step = tls_policy.next_step(hop.tls, offered=offered, broken=broken_tls)
    if step is tls_policy.TlsStep.STARTTLS:
        await connection.encrypt(run)
    elif step is tls_policy.TlsStep.REFUSE:
        raise TlsFailed("does not offer STARTTLS, which this route requires", host=hop.host, handshake=False)
    elif offered and broken_tls and hop.tls is TlsMode.OPPORTUNISTIC:
        run.transcript.plain(hop.host, "TLS with this host failed lately")


async def _connect(hop: NextHop, run: Run) -> SmtpWire:
    allowance = run.budget.before_data(Stage.CONNECT)
    started = run.clock.monotonic()
    tls = tls_policy.context_for(hop.tls) if hop.tls is TlsMode.IMPLICIT else None
    try:
        wire = await SmtpWire.connect(hop.address, hop.port, timeout=allowance.seconds, tls=tls, tls_name=hop.host)
    except WireFault as fault:
        run.transcript.connect(hop.host, hop.address, hop.port, run.clock.monotonic() - started, fault.reason)
        if fault.timed_out and allowance.last:
            raise run.budget.out_of_time(Stage.CONNECT) from fault
        if isinstance(fault, TlsFault):
            raise TlsFailed(fault.reason, host=hop.host, handshake=True) from fault
        raise HostUnusable(Stage.CONNECT, fault.reason, host=hop.host) from fault
    run.transcript.connect(hop.host, wire.peer or hop.address, hop.port, run.clock.monotonic() - started)
    return wire


def _reply(raw: RawReply) -> Reply:
    return parse_reply(raw.code, raw.text.split("\n"))


def _encoded(secret: str) -> bytes:
    return base64.b64encode(secret.encode())
