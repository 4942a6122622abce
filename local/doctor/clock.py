"""The clock: how far it is from that of storage and from that of a time server.

Why it matters: signatures of DKIM begin at our time, and some receivers refuse one from the future; a client's request may
be five minutes from our clock (`ALLOWED_SKEW` of `auth/hmac_access_key.py`), and the client's own error takes a part of that;
storage refuses requests that are 15 minutes off; Entra's tokens have a lifetime.
"""

from __future__ import annotations

import asyncio
import ipaddress
import platform
import sys
from email.utils import parsedate_to_datetime

from local.doctor.check import Check, Finding, left_out, notice, ok, shown_time, wrong
from local.doctor.sntp import NoTime, clock_offset, split_time_server
from local.doctor.storage import endpoint, is_loopback
from local.doctor.subject import LeftOut, Subject

NOTICE_SECONDS = 5.0  # more than the Date of an HTTP answer, which counts whole seconds, and the way there can be off
WRONG_SECONDS = 60.0  # a fifth of what a client's request may be off, and enough for a signature to be from the future
_ANSWER_SECONDS = 5.0
_GROUP = "Clock"


async def against_storage(subject: Subject) -> Finding:
    """By the Date of an answer to a request that is not signed, for a signed one may be refused for that very clock."""
    name, account = "against storage", subject.account()
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            sent, date, received = await _date_of(account.table_endpoint, subject)
    except (OSError, TimeoutError):
        return left_out(name, "storage does not answer")
    try:
        theirs = parsedate_to_datetime(date).timestamp()
    except ValueError:
        return left_out(name, "the answer of storage has no Date")
    where = endpoint(account, "tables") + (" on this machine" if is_loopback(account) else "")
    # A Date leaves out the fraction of its second: on average it is half a second old.
    return clock_finding(name, (sent + received) / 2 - theirs - 0.5, where)


async def against_time_server(subject: Subject) -> Finding:
    name, server = "against a time server", subject.options.time_server
    if not server:
        return left_out(name, "no --time-server is named")
    if subject.offline:
        return left_out(name, "--offline")
    host, port = split_time_server(server)
    try:
        ahead = await clock_offset(await _address(host, subject), port, subject.clock, seconds=_ANSWER_SECONDS)
    except TimeoutError:
        return left_out(name, f"{server} does not answer; UDP port {port} may be shut")
    except NoTime as error:
        return left_out(name, f"{server}: {error}")
    return clock_finding(name, ahead, server)


def clock_finding(name: str, ahead: float, where: str) -> Finding:
    """What it means that our clock is so many seconds ahead of another one."""
    off = abs(ahead)
    if off < NOTICE_SECONDS:
        return ok(name, f"less than {NOTICE_SECONDS:g} s from {where}")
    found = f"{shown_time(off)} {'ahead of' if ahead > 0 else 'behind'} {where}"
    if off < WRONG_SECONDS:
        return notice(name, found, how_to_set())
    return wrong(
        name,
        found,
        f"{how_to_set()}. Until then receivers may refuse signatures from another time, and requests of clients and to storage "
        "are refused when they are minutes off",
    )


def how_to_set(system: str = sys.platform, release: str = "") -> str:
    """How to have the clock set, on that platform."""
    if "microsoft" in (release or platform.release()).lower():
        return "restart WSL, whose clock stops while Windows sleeps: `wsl --shutdown` in Windows, or here `sudo hwclock -s`"
    if system == "win32":
        return "have Windows set it: `w32tm /resync` as administrator"
    if system == "darwin":
        return "have macOS set it: `sudo sntp -sS time.apple.com`"
    return "have the system keep it: `sudo timedatectl set-ntp true`; in a container or a virtual machine, on its host"


async def _address(host: str, subject: Subject) -> str:
    from email_core.dns.answers import Found, TemporaryFailure

    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        found = await subject.resolver().addresses(host)
    if isinstance(found, Found):
        return found.records[0]
    raise LeftOut(found.reason if isinstance(found, TemporaryFailure) else f"{host} has no address in the DNS")


async def _date_of(url: str, subject: Subject) -> tuple[float, str, float]:
    """Our time before, the Date of the answer, and our time after."""
    import aiohttp

    async with aiohttp.ClientSession() as session:
        sent = subject.clock.now()
        try:
            async with session.get(url) as answer:
                return sent, answer.headers.get("Date", ""), subject.clock.now()
        except aiohttp.ClientError as error:
            raise OSError(str(error)) from error


CHECKS = (
    Check(_GROUP, "against storage", against_storage, of_storage=True),
    Check(_GROUP, "against a time server", against_time_server),
)
