"""One mail transaction over a ready connection: MAIL, RCPT for each recipient, DATA, the body, the final dot.

What the receiver says about a recipient is a verdict at once. When the connection fails before the final dot was sent, the
recipients without a verdict are left to another host; when it fails after that, they are deferred and marked, for the
receiver may have the message (RFC 1047).
"""

from __future__ import annotations

from collections.abc import Sequence

from email_core.delivery.envelope import Attempt, wire_path
from email_core.delivery.outcome import Reply, Stage
from email_core.delivery.reply import CLOSING, accepted, parse_reply
from email_core.delivery.run import HostUnusable, Run
from email_core.delivery.smtp_connection import Connection
from email_core.delivery.smtp_wire import WireFault
from email_core.delivery.verdicts import Verdicts
from email_core.message.address import Address
from email_core.message.dsn_options import NOTHING_ASKED, mail_parameters, rcpt_parameters

_BAD_PARAMETER = (500, 501, 504, 555)  # RFC 5321 sections 4.1.1.11 and 4.2.2; 500 is also for a line that is too long


async def send(connection: Connection, attempt: Attempt, recipients: Sequence[Address], verdicts: Verdicts, run: Run) -> bool:
    """Send the message to these recipients over the connection, and record the verdicts.

    Returns whether the connection is ready for the next message; if not, it needs a RSET first. Raises HostUnusable and
    OutOfTime; then the recipients that have no verdict are free to be tried elsewhere.
    """
    sendable, options = _fit(connection, attempt, recipients, verdicts)
    if not sendable:
        return True
    path = wire_path(attempt.reverse_path) if attempt.reverse_path else b"<>"
    line = b" ".join([b"MAIL FROM:" + (path or b""), *options])
    # A pooled connection may be dead without our knowing; a new one needs its half of the time then.
    reply = await connection.command(run, Stage.MAIL, line, share=0.5 if connection.messages else 1.0)
    if not accepted(reply):
        if not 500 <= reply.code <= 599:
            raise HostUnusable(Stage.MAIL, "did not take the message now", host=connection.hop.host, reply=reply)
        verdicts.refuse(sendable, reply, Stage.MAIL, mx_host=connection.hop.host)
        return False
    taken = await _offer_recipients(connection, attempt, sendable, verdicts, run)
    return bool(taken) and await _offer_message(connection, attempt, taken, verdicts, run)


async def reset(connection: Connection, run: Run) -> bool:
    """Bring a connection back to the start after a transaction that was not finished; whether it can be used again."""
    if not connection.wire.usable:
        return False
    started = run.clock.monotonic()
    try:
        raw = await connection.wire.command(b"RSET", timeout=run.budget.reset())
    except WireFault as fault:
        run.transcript.command("RSET", None, run.clock.monotonic() - started, fault.reason)
        return False
    reply = parse_reply(raw.code, raw.text.split("\n"))
    run.transcript.command("RSET", reply, run.clock.monotonic() - started)
    return accepted(reply)


def _fit(
    connection: Connection, attempt: Attempt, recipients: Sequence[Address], verdicts: Verdicts
) -> tuple[list[Address], list[bytes]]:
    """Who can be sent to over this connection, and the options of MAIL; who cannot gets the verdict here."""
    host = connection.hop.host
    sendable = _with_valid_path(recipients, verdicts)
    foreign = [recipient for recipient in sendable if attempt.utf8_header or recipient.needs_smtputf8]
    if foreign and not connection.offers("smtputf8"):
        # RFC 6531 section 3.1: never downgraded, for a changed address is another mailbox.
        reply = Reply(553, "5.6.7", f"the message needs SMTPUTF8, and {host} does not offer it")
        verdicts.refuse(foreign, reply, Stage.MAIL, mx_host=host)
        sendable = [recipient for recipient in sendable if recipient not in foreign]
        foreign = []
    size, limit = len(attempt.message), connection.size_limit
    if limit and size > limit:
        # RFC 1870 section 6.1: the server would say so itself, after MAIL or, worse, after the body.
        reply = Reply(552, "5.3.4", f"the message has {size} octets, and {host} takes {limit}")
        verdicts.refuse(sendable, reply, Stage.MAIL, mx_host=host)
        return [], []
    # RFC 6531 section 3.1 item 5: a server with SMTPUTF8 has 8BITMIME too.
    if attempt.eight_bit and not (connection.offers("8bitmime") or foreign):
        # RFC 6152 section 3: 8-bit bodies only to servers that take them. Converting would break the signature.
        reply = Reply(554, "5.6.3", f"the message has 8-bit text, and {host} does not offer 8BITMIME")
        verdicts.refuse(sendable, reply, Stage.MAIL, mx_host=host)
        return [], []
    options = [b"SIZE=%d" % size] if connection.offers("size") else []
    options += [b"BODY=8BITMIME"] if attempt.eight_bit else []
    options += [b"SMTPUTF8"] if foreign else []
    if connection.offers("dsn") and attempt.reverse_path:  # of a null one nobody is ever told
        options += [parameter.encode() for parameter in mail_parameters(attempt.options)]
    return sendable, options


def _with_valid_path(recipients: Sequence[Address], verdicts: Verdicts) -> list[Address]:
    wrong = [recipient for recipient in recipients if wire_path(recipient.addr_spec) is None]
    verdicts.refuse(wrong, Reply(553, "5.1.3", "the address does not fit an SMTP command"), Stage.RCPT)
    return [recipient for recipient in recipients if recipient not in wrong]


async def _offer_recipients(
    connection: Connection, attempt: Attempt, recipients: Sequence[Address], verdicts: Verdicts, run: Run
) -> list[Address]:
    """RCPT for each; those that the server took."""
    host = connection.hop.host
    taken: list[Address] = []
    for recipient in recipients:
        reply = await _offer_recipient(connection, attempt, recipient, run)
        if accepted(reply):
            taken.append(recipient)
        elif reply.code == CLOSING or reply.code < 400:
            # RFC 5321 section 3.8: about the host and not about this recipient, as a connection that is lost.
            reason = "closed the conversation" if reply.code == CLOSING else "answered RCPT with neither yes nor no"
            raise HostUnusable(Stage.RCPT, reason, host=host, reply=reply)
        else:
            verdicts.refuse([recipient], reply, Stage.RCPT, mx_host=host)
    return taken


async def _offer_recipient(connection: Connection, attempt: Attempt, recipient: Address, run: Run) -> Reply:
    """RCPT with an ORCPT of ours where the client gave none, and again without it when the server does not like that."""
    plain = _rcpt_line(connection, attempt, recipient)
    # Of a null reverse-path nobody is told anything, so it needs no name for the recipient.
    named = bool(attempt.reverse_path) and not connection.refuses_orcpt
    line = _rcpt_line(connection, attempt, recipient, recipient.addr_spec) if named else plain
    reply = await connection.command(run, Stage.RCPT, line)
    if line == plain or not _is_about_parameters(reply):
        return reply
    reply = await connection.command(run, Stage.RCPT, plain)
    connection.refuses_orcpt = accepted(reply)  # it may have been the address all the same
    return reply


def _rcpt_line(connection: Connection, attempt: Attempt, recipient: Address, original: str = "") -> bytes:
    """RCPT, with NOTIFY and ORCPT for a server that offers DSN, which then reports to our reverse-path."""
    line = b"RCPT TO:" + (wire_path(recipient.addr_spec) or b"")
    if not connection.offers("dsn"):
        return line
    asked = attempt.recipient_options.get(recipient.addr_spec, NOTHING_ASKED)
    return b" ".join([line, *(parameter.encode() for parameter in rcpt_parameters(asked, original))])


def _is_about_parameters(reply: Reply) -> bool:
    """Whether a refusal may be about what stands behind the address: one of 5.1.x is about the address itself."""
    return reply.enhanced == "5.5.4" or (reply.code in _BAD_PARAMETER and not reply.enhanced.startswith("5.1."))


async def _offer_message(
    connection: Connection, attempt: Attempt, taken: Sequence[Address], verdicts: Verdicts, run: Run
) -> bool:
    """DATA and the body for the recipients that were taken; whether the transaction came to its end."""
    host = connection.hop.host
    reply = await connection.command(run, Stage.DATA, b"DATA")
    if reply.code != 354:
        if reply.code < 400:
            raise HostUnusable(Stage.DATA, "answered DATA with something else than 354", host=host, reply=reply)
        if reply.code < 500:  # as after MAIL: it has taken nothing, and judged nobody
            raise HostUnusable(Stage.DATA, "did not take the message now", host=host, reply=reply)
        verdicts.refuse(taken, reply, Stage.DATA, mx_host=host)
        return False
    wire = connection.wire
    started = run.clock.monotonic()
    shown = f"(message of {len(attempt.message)} octets)"
    try:
        raw = await wire.body(attempt.message, block_timeout=run.budget.block, dot_timeout=run.budget.final_dot)
    except WireFault as fault:
        run.transcript.command(shown, None, run.clock.monotonic() - started, fault.reason)
        if not wire.dot_sent:
            raise connection.lost(Stage.DATA, fault.reason) from fault
        reason = f"{fault.reason}; the receiver may have the message"
        verdicts.defer(taken, Stage.FINAL_DOT, reason, mx_host=host, indeterminate=True)
        return False
    connection.messages += 1
    reply = parse_reply(raw.code, raw.text.split("\n"))
    run.transcript.command(shown, reply, run.clock.monotonic() - started)
    _judge(taken, reply, verdicts, host=host, dot_sent=wire.dot_sent)
    if reply.code == CLOSING:
        wire.hang_up()
    elif 300 <= reply.code <= 399:
        wire.abort()  # it may take a QUIT for more of the message
    return wire.dot_sent and wire.usable


def _judge(taken: Sequence[Address], reply: Reply, verdicts: Verdicts, *, host: str, dot_sent: bool) -> None:
    """What the reply to the message means; it holds for all recipients that were taken."""
    stage = Stage.FINAL_DOT if dot_sent else Stage.DATA
    if reply.code >= 400:
        verdicts.refuse(taken, reply, stage, mx_host=host)
    elif accepted(reply) and dot_sent:
        verdicts.deliver(taken, reply, mx_host=host)
    else:
        # A yes before the end of the message, or neither yes nor no after it: nobody knows what the receiver has.
        reason = "an answer that makes no sense here; the receiver may have the message"
        verdicts.defer(taken, stage, reason, mx_host=host, reply=reply, indeterminate=True)
