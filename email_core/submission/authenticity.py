"""What a message proves that brought signatures of its own: they are verified as it came, reported, and sealed as it goes.

A forwarder or a mailing list submits mail that others signed. Its DKIM signatures and its ARC chain are judged before anything
of the message is changed. Then our own DKIM signature is made, what was found goes before it as Authentication-Results (RFC
8601), and last of all comes our ARC set (RFC 8617 section 5.1). Nothing here keeps a message from being sent: what can't be
looked at, or looked up in time, leaves it without a seal, and its timeline says so.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass

from email_core.delivery.outcome import TimelineEvent
from email_core.dns.answers import Answer, Found, TemporaryFailure
from email_core.dns.resolver import Resolver
from email_core.message.authentication_results import (
    MethodResult,
    authentication_results,
    authentication_results_field,
    without_results_of,
)
from email_core.signing.arc import Chain, ChainResult, ChainState, read_chain, seal, sealing_key, verify_chain
from email_core.signing.dkim import SigningError, SigningKey, sign
from email_core.signing.foreign_dkim import DkimResult, dkim_questions, verify_dkim
from email_core.signing.key_record import KeyRecords
from email_core.signing.verification import NotVerifiable, SignedMessage, read_message

LOOK_UP_SECONDS = 10.0  # for all records together
MOST_AT_ONCE = 10  # questions to the DNS

_brought = re.compile(rb"(?:^|\r\n)(?:dkim-signature|arc-seal|arc-message-signature|arc-authentication-results)[ \t]*:", re.I)


_NO_CHAIN, _NO_RESULT = Chain(), ChainResult(ChainState.NONE)


@dataclass(frozen=True, slots=True)
class Authenticity:
    """What was found out about a message as it came. `fault` is why nothing could be; then it gets no seal."""

    dkim: tuple[DkimResult, ...] = ()
    chain: Chain = _NO_CHAIN
    arc: ChainResult = _NO_RESULT
    fault: str = ""

    def results(self, authserv_id: str) -> str:
        """The value of Authentication-Results. A chain that could not be verified is not mentioned: ARC has no word for it."""
        results = [MethodResult("auth", "pass")]  # its submitter had the password; the user name is nobody's business
        results += [_dkim_result(result) for result in self.dkim]
        if self.arc.state is not ChainState.UNKNOWN and not self.fault:
            results.append(MethodResult("arc", self.arc.state, reason=self.arc.why))
        return authentication_results(authserv_id, results)


def brought_signatures(message: bytes) -> bool:
    """Whether a message has a DKIM signature or a part of an ARC chain in its header."""
    end = message.find(b"\r\n\r\n")
    return bool(_brought.search(message, 0, end + 2 if end >= 0 else len(message)))


async def authenticity(message: bytes, resolver: Resolver, *, now: float) -> Authenticity | None:
    """Judge the signatures of a message as it came; None when it has none. Raises nothing for what it holds.

    `now` is in seconds since the epoch.
    """
    if not brought_signatures(message):
        return None
    # In a thread whatever the size: a small message with a hostile header is as much work as a large one.
    try:
        read, chain, questions = await asyncio.to_thread(_read, message)
    except NotVerifiable as error:
        return Authenticity(fault=str(error))
    records = await key_records(questions, resolver)
    return await asyncio.to_thread(_judged, read, chain, records, now)


async def key_records(names: Sequence[str], resolver: Resolver) -> KeyRecords:
    """The key records of the names; one that nobody told of within ten seconds is missing."""
    found: dict[str, str | None] = {}
    places = asyncio.Semaphore(MOST_AT_ONCE)

    async def ask(name: str) -> None:
        async with places:
            answer = await resolver.txt(name)
        if not isinstance(answer, TemporaryFailure):
            found[name] = _key_record(answer)

    tasks = [asyncio.create_task(ask(name)) for name in dict.fromkeys(names)]
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=LOOK_UP_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return found


def signed_and_sealed(
    message: bytes,
    found: Authenticity | None,
    keys: Sequence[SigningKey],
    *,
    authserv_id: str,
    now: float,
    valid_for: float,
) -> tuple[bytes, TimelineEvent | None]:
    """A message that came by SMTP as it goes out, and what is told of the signatures that it brought, if it brought any.

    Results that claim to be ours are taken out, for only ours may say so (RFC 8601 section 5). Raises SigningError when it
    can't be signed: then it waits. `now` is in seconds since the epoch, `valid_for` in seconds.
    """
    message, _ = without_results_of(authserv_id, message)
    signed = sign(message, keys, now=now, valid_for=valid_for) + message
    return (signed, None) if found is None else sealed(signed, found, keys, authserv_id=authserv_id, now=now)


def sealed(
    message: bytes, found: Authenticity, keys: Sequence[SigningKey], *, authserv_id: str, now: float
) -> tuple[bytes, TimelineEvent]:
    """The message, our DKIM signature on it, with the results and, when the chain allows it, our ARC set before it.

    The event tells what was found and whether it was sealed.
    """
    results = found.results(authserv_id)
    reported = authentication_results_field(results) + message
    facts: dict[str, object] = {
        "dkim": [f"{result.verdict} {result.domain}".strip() for result in found.dkim],
        "arc": str(found.arc.state),
        "instance": found.arc.instance,
    }
    key = sealing_key(keys)
    why = found.fault or found.arc.why
    if not why and not found.arc.extendable:
        why = f"the chain has {found.arc.instance} sets, which is as many as one may have"
    if not why and key is None:
        why = "the domain has no RSA key, and ARC knows no other"
    if not why and key is not None:
        try:
            set_of_ours = seal(reported, found.chain, found.arc.state, results, key, now=now)
        except SigningError as error:
            why = str(error)
        else:
            return set_of_ours + reported, TimelineEvent(now, "arc-sealed", {**facts, "instance": found.arc.instance + 1})
    return reported, TimelineEvent(now, "arc-unsealed", {**facts, "why": why})


def _read(message: bytes) -> tuple[SignedMessage, Chain, tuple[str, ...]]:
    """A message taken apart, its chain, and which key records are needed."""
    read = read_message(message)
    chain = read_chain(read)
    return read, chain, (*dkim_questions(read), *chain.questions)


def _judged(read: SignedMessage, chain: Chain, records: KeyRecords, now: float) -> Authenticity:
    return Authenticity(verify_dkim(read, records, now=now), chain, verify_chain(read, chain, records, now=now))


def _key_record(answer: Answer[str]) -> str | None:
    """The record of an answer that is a key: other TXT records may stand beside it, as wildcards bring them."""
    records = answer.records if isinstance(answer, Found) else ()
    return next((record for record in records if "p=" in record), None)


def _dkim_result(result: DkimResult) -> MethodResult:
    properties = []
    if result.domain:
        properties = [("header.d", result.domain), ("header.s", result.selector), ("header.a", result.algorithm)]
        properties.append(("header.b", result.signature))  # RFC 6008
    return MethodResult("dkim", result.verdict, tuple(properties), reason=result.why)
