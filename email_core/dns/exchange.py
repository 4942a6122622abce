"""One question to one of several servers, over UDP and, when the answer does not fit, over TCP.

dnspython compares source, id and question of what comes back, the question's name without regard to case; whatever else
arrives is ignored until the time is over, so that nobody beside the way can end a question.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from email_core.dns.looks import Trouble, Unanswered

if TYPE_CHECKING:
    import dns.message
    import dns.name

TIMEOUT = 3.0  # seconds for one question to one server
PATIENCE = 1.0  # seconds until the second server is asked too
MOST_SERVERS = 2  # that are asked the same
PAYLOAD = 1232  # octets over UDP: what no path cuts into fragments (DNS Flag Day 2020)


def _fit(_: dns.message.Message) -> str:
    return ""


async def ask(
    addresses: Sequence[str], port: int, name: dns.name.Name, kind: str, *, recursive: bool,
    unfit: Callable[[dns.message.Message], str] = _fit,
) -> tuple[dns.message.Message, str]:  # fmt: skip
    """The first answer of the servers, and the address that it came from. Raises Unanswered as the first server failed.

    An answer is NOERROR or NXDOMAIN, and `unfit` does not say why it is none. The second server is asked when the first one
    fails or says nothing for a second.
    """
    waiting: set[asyncio.Task[tuple[dns.message.Message, str]]] = set()
    failure: Unanswered | None = None
    left = list(addresses[:MOST_SERVERS])
    try:
        while left or waiting:
            if left:
                waiting.add(asyncio.create_task(_ask_one(left.pop(0), port, name, kind, recursive, unfit)))
            done, waiting = await asyncio.wait(waiting, timeout=PATIENCE if left else None, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = task.exception()
                if error is None:
                    return task.result()
                if not isinstance(error, Unanswered):
                    raise error
                failure = failure or error
    finally:
        for task in waiting:
            task.cancel()
    raise failure or Unanswered(Trouble.UNREACHABLE, "there is no server to ask")


async def _ask_one(
    address: str, port: int, name: dns.name.Name, kind: str, recursive: bool, unfit: Callable[[dns.message.Message], str]
) -> tuple[dns.message.Message, str]:
    import dns.exception
    import dns.rcode

    what = f"{address} on {name.to_text(omit_final_dot=True)} {kind}"
    try:
        async with asyncio.timeout(TIMEOUT):
            response = await _exchange(address, port, name, kind, recursive, edns=True)
            if response.rcode() in (dns.rcode.FORMERR, dns.rcode.NOTIMP):
                # RFC 6891 section 7: an old server that does not know EDNS.
                response = await _exchange(address, port, name, kind, recursive, edns=False)
    except (TimeoutError, dns.exception.Timeout):
        raise Unanswered(Trouble.TIMED_OUT, f"no answer from {what} in {TIMEOUT:g} seconds") from None
    except (dns.exception.DNSException, EOFError, ValueError) as error:
        raise Unanswered(Trouble.UNUSABLE, f"nonsense from {what}: {type(error).__name__}") from error
    except OSError as error:
        raise Unanswered(Trouble.UNREACHABLE, f"no connection to {what}: {type(error).__name__}") from error
    rcode = response.rcode()
    if rcode in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        why = unfit(response)
        if why:
            raise Unanswered(Trouble.UNUSABLE, f"{why} from {what}")
        return response, address
    troubles = {dns.rcode.SERVFAIL: Trouble.SERVER_FAILURE, dns.rcode.REFUSED: Trouble.REFUSED}
    raise Unanswered(troubles.get(rcode, Trouble.UNUSABLE), f"{dns.rcode.to_text(rcode)} from {what}")


async def _exchange(
    address: str, port: int, name: dns.name.Name, kind: str, recursive: bool, *, edns: bool
) -> dns.message.Message:
    import dns.asyncquery
    import dns.flags
    import dns.message

    question = dns.message.make_query(
        name, kind, use_edns=0 if edns else False, payload=PAYLOAD, flags=dns.flags.RD if recursive else 0
    )
    response = await dns.asyncquery.udp(
        question, address, TIMEOUT, port, ignore_unexpected=True, ignore_errors=True, ignore_trailing=True
    )
    if response.flags & dns.flags.TC:
        response = await dns.asyncquery.tcp(question, address, TIMEOUT, port, ignore_trailing=True)
        if response.flags & dns.flags.TC:
            what = f"{address} on {name.to_text(omit_final_dot=True)} {kind}"
            raise Unanswered(Trouble.UNUSABLE, f"an answer that is cut off over TCP as well, from {what}")
    return response
