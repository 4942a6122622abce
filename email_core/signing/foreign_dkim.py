"""The DKIM signatures that a message brought along, verified (RFC 6376 section 6)."""

from __future__ import annotations

from dataclasses import dataclass

from email_core.signing.key_record import KeyRecords
from email_core.signing.verification import (
    MOST_SIGNATURES,
    Rejected,
    Signature,
    SignedMessage,
    Verdict,
    check_signature,
    key_for,
    read_signature,
)

SHOWN_SIGNATURE = 8  # characters of b= that tell signatures apart (RFC 6008)


@dataclass(frozen=True, slots=True)
class DkimResult:
    """What became of one signature. `signature` is the beginning of its b=; what could not be read is empty."""

    verdict: Verdict
    domain: str = ""
    selector: str = ""
    algorithm: str = ""
    signature: str = ""
    why: str = ""


def dkim_questions(message: SignedMessage) -> tuple[str, ...]:
    """The names of the key records that `verify_dkim` needs."""
    names = []
    for found in message.named(b"dkim-signature")[:MOST_SIGNATURES]:
        try:
            names.append(read_signature(found).question)
        except Rejected:
            continue  # verify_dkim says so
    return tuple(name for name in dict.fromkeys(names) if name)


def verify_dkim(message: SignedMessage, records: KeyRecords, *, now: float) -> tuple[DkimResult, ...]:
    """The result of each signature from the top, of the first five; `now` is in seconds since the epoch."""
    results = []
    for found in message.named(b"dkim-signature")[:MOST_SIGNATURES]:
        signature = None
        try:
            signature = read_signature(found)
            _check(message, signature, records, now)
            results.append(_result(Verdict.PASS, signature))
        except Rejected as rejected:
            results.append(_result(rejected.verdict, signature, str(rejected)))
    return tuple(results)


def _check(message: SignedMessage, signature: Signature, records: KeyRecords, now: float) -> None:
    if signature.tags.get(b"v") != b"1":
        raise Rejected(Verdict.PERMERROR, "v= is not 1")
    if signature.text(b"a").lower() == "rsa-sha1":  # RFC 8301 section 3.1
        raise Rejected(Verdict.FAIL, "rsa-sha1 counts as no signature any more")
    identity = signature.text(b"i").lower().rpartition("@")[2] or signature.domain
    if identity != signature.domain:
        if not identity.endswith(f".{signature.domain}"):
            raise Rejected(Verdict.PERMERROR, "i= is not below d=")
        if key_for(signature, records).exact_domain:
            raise Rejected(Verdict.PERMERROR, "the key signs for its own domain only")
    check_signature(message, signature, records, now=now)


def _result(verdict: Verdict, signature: Signature | None, why: str = "") -> DkimResult:
    if signature is None or not signature.question:
        return DkimResult(verdict, why=why)
    shown = "".join(signature.text(b"b").split())[:SHOWN_SIGNATURE]
    algorithm = signature.text(b"a").lower()
    return DkimResult(verdict, signature.domain, signature.selector, algorithm, shown, why)
