"""ARC (RFC 8617): the chain that a message brought along is verified, and our own set is added to it.

Sealing comes last, after our own DKIM signature (RFC 8617 section 5.1, step 1). A chain that fails gets no set of ours, whether
it says so itself (section 5.1, step 2) or we found it: nobody could use what we would add, and RFC 8617 obliges nobody to seal.
A chain that could not be verified because the DNS did not answer is left as it is too, for a seal that says pass or fail would
be a guess.

Verified on dkimpy (see `verification`), and sealed by our own signer: dkimpy seals in pure Python under the interpreter lock,
at thirty times the cost, reads the results from the message by another library, and canonicalises the body in quadratic time.
Pure: records, keys and the time are brought.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from email_core.signing.canonical import NotAHeader, canonical_body, canonical_fields
from email_core.signing.dkim import OVER_SIGNED, SIGNED_WHEN_PRESENT, SigningError, SigningKey
from email_core.signing.key_record import KeyRecords
from email_core.signing.signature_field import signature_field
from email_core.signing.verification import (
    Field,
    Rejected,
    Signature,
    SignedMessage,
    Verdict,
    check_signature,
    header_digest,
    key_for,
    read_signature,
)

MOST_INSTANCES = 50  # RFC 8617 section 4.2.1
RESULTS, MESSAGE_SIGNATURE, SEAL = b"arc-authentication-results", b"arc-message-signature", b"arc-seal"
_SET = (RESULTS, MESSAGE_SIGNATURE, SEAL)  # in the order in which a seal signs them (RFC 8617 section 5.1.1)
_instance = re.compile(rb"[ \t\r\n]*i[ \t\r\n]*=[ \t\r\n]*([0-9]{1,3})[ \t\r\n]*;")
_instance_tag = re.compile(rb"[0-9]{1,3}")


class ChainState(StrEnum):
    """The state of a chain in the words of RFC 8617 section 4.4, and UNKNOWN when the DNS kept it from being told."""

    NONE = "none"
    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ArcSet:
    """The three fields that one hop added."""

    results: Field
    message_signature: Signature
    seal: Signature


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain, read but not verified. `fault` is why it can't be valid, whatever its signatures say; empty otherwise."""

    sets: tuple[ArcSet, ...] = ()
    fault: str = ""

    @property
    def questions(self) -> tuple[str, ...]:
        """The names of the key records that `verify_chain` needs."""
        if self.fault or not self.sets:
            return ()
        names = [self.sets[-1].message_signature.question, *(each.seal.question for each in self.sets)]
        return tuple(name for name in dict.fromkeys(names) if name)


@dataclass(frozen=True, slots=True)
class ChainResult:
    """What a chain is worth. `instance` is the number of its sets; `domain` sealed last."""

    state: ChainState
    instance: int = 0
    domain: str = ""
    why: str = ""

    @property
    def extendable(self) -> bool:
        """Whether our set may be added."""
        return self.state in (ChainState.NONE, ChainState.PASS) and self.instance < MOST_INSTANCES


def read_chain(message: SignedMessage) -> Chain:
    """The chain of a message (RFC 8617 section 5.2, steps 1 to 3). Raises nothing."""
    found: dict[tuple[int, bytes], Field] = {}
    for each in message.fields:
        name = each[0].lower()
        if name not in _SET:
            continue
        instance = _instance_of(name, each)
        if not 1 <= instance <= MOST_INSTANCES:
            return Chain(fault=f"an {each[0].decode()} has no instance from 1 to {MOST_INSTANCES}")
        if (instance, name) in found:
            return Chain(fault=f"instance {instance} has two {each[0].decode()} fields")
        found[instance, name] = each
    last = max((instance for instance, _ in found), default=0)
    sets = []
    for instance in range(1, last + 1):
        parts = [found.get((instance, name)) for name in _SET]
        results, message_signature, seal = parts
        if results is None or message_signature is None or seal is None:
            return Chain(fault=f"instance {instance} of the chain is not complete")
        try:
            sets.append(ArcSet(results, read_signature(message_signature), read_signature(seal)))
        except Rejected as rejected:
            return Chain(fault=f"instance {instance}: {rejected}")
    return Chain(tuple(sets), _fault_of_seals(sets))


def verify_chain(message: SignedMessage, chain: Chain, records: KeyRecords, *, now: float) -> ChainResult:
    """Verify a chain (RFC 8617 section 5.2): the newest message signature, and every seal. `now`: seconds since the epoch."""
    if chain.fault:
        return ChainResult(ChainState.FAIL, len(chain.sets), why=chain.fault)
    if not chain.sets:
        return ChainResult(ChainState.NONE)
    last, domain = len(chain.sets), chain.sets[-1].seal.domain
    step = f"message signature {last}"
    try:
        _check_message_signature(message, chain.sets[-1].message_signature, records, now)
        for instance in range(last, 0, -1):
            step = f"seal {instance}"
            _check_seal(chain.sets[:instance], records)
    except Rejected as rejected:
        state = ChainState.UNKNOWN if rejected.verdict is Verdict.TEMPERROR else ChainState.FAIL
        return ChainResult(state, last, domain, f"{step}: {rejected}")
    return ChainResult(ChainState.PASS, last, domain)


def sealing_key(keys: Sequence[SigningKey]) -> SigningKey | None:
    """The key of a domain that seals: the first of RSA, for ARC knows no other (RFC 8617 section 4.1.3)."""
    return next((key for key in keys if isinstance(key.private_key, RSAPrivateKey)), None)


def seal(message: bytes, chain: Chain, state: ChainState, results: str, key: SigningKey, *, now: float) -> bytes:
    """The three fields to put before a message, its own DKIM signature included, that has a verified chain or none.

    `results` is the value of the Authentication-Results that it got here. Raises SigningError when the chain may not be
    extended, the key is not RSA, or the header is malformed.
    """
    instance = len(chain.sets) + 1
    if state not in (ChainState.NONE, ChainState.PASS) or instance > MOST_INSTANCES:
        raise SigningError(f"a chain of {len(chain.sets)} sets in the state {state} is not extended")
    if not isinstance(key.private_key, RSAPrivateKey):
        raise SigningError(f"the key of {key} is not RSA, which ARC needs")
    end = message.find(b"\r\n\r\n")
    header, body = (message[: end + 2], message[end + 4 :]) if end >= 0 else (message, b"")
    try:
        fields = canonical_fields(header)
    except NotAHeader as error:
        raise SigningError(str(error)) from error
    results_field = b"ARC-Authentication-Results: i=%d; %b\r\n" % (instance, results.encode())
    names, signed = _signed_fields(fields)
    if b"from" not in names:  # RFC 6376 section 5.4
        raise SigningError("the message has no From field")
    body_hash = base64.b64encode(hashlib.sha256(canonical_body(body)).digest())
    common = (b" a=rsa-sha256;", b" d=%b;" % key.domain.encode(), b" s=%b;" % key.selector.encode(), b" t=%d;" % int(now))
    listed = [b" h=%b:" % names[0], *(b"%b:" % name for name in names[1:-1]), b"%b;" % names[-1]]
    tags = [b" i=%d;" % instance, *common, b" c=relaxed/relaxed;", *listed, b" bh=%b;" % body_hash]
    message_signature = signature_field(b"ARC-Message-Signature", tags, key.private_key, signed)
    earlier = [field for each in chain.sets for field in (each.results, each.message_signature.field, each.seal.field)]
    text = b"".join(b"%b:%b" % field for field in earlier) + results_field + message_signature
    canonical = b"".join(field for _, field in canonical_fields(text))
    tags = [b" i=%d;" % instance, *common, b" cv=%b;" % state.encode()]
    return signature_field(b"ARC-Seal", tags, key.private_key, canonical) + message_signature + results_field


def _signed_fields(fields: Sequence[tuple[bytes, bytes]]) -> tuple[list[bytes], bytes]:
    """The names for h= and the canonical fields. DKIM-Signature is signed too, Authentication-Results and ARC's own fields are
    not (RFC 8617 section 4.1.2)."""
    by_name: dict[bytes, list[bytes]] = {}
    for name, canonical in reversed(fields):
        by_name.setdefault(name, []).append(canonical)
    names: list[bytes] = []
    signed: list[bytes] = []
    for name in (*OVER_SIGNED, *SIGNED_WHEN_PRESENT, b"dkim-signature"):
        present = by_name.get(name, [])
        names += [name] * len(present)
        signed += present
    return names, b"".join(signed)


def _instance_of(name: bytes, found: Field) -> int:
    """The instance of a field; 0 when it has none. In ARC-Authentication-Results it comes first, elsewhere it is a tag."""
    if name == RESULTS:
        start = _instance.match(found[1])
        return int(start[1]) if start else 0
    try:
        value = read_signature(found).tags.get(b"i", b"")
    except Rejected:
        return 0
    return int(value) if _instance_tag.fullmatch(value) else 0


def _fault_of_seals(sets: Sequence[ArcSet]) -> str:
    for instance, each in enumerate(sets, 1):
        tags = each.seal.tags
        said = tags.get(b"cv", b"").lower()
        if said == b"fail":
            return f"seal {instance} says cv=fail"
        if said != (b"none" if instance == 1 else b"pass"):
            return f"seal {instance} says neither none at the beginning nor pass after it"
        if b"h" in tags:  # RFC 8617 section 4.1.3
            return f"seal {instance} has h="
    return ""


def _check_message_signature(message: SignedMessage, signature: Signature, records: KeyRecords, now: float) -> None:
    if signature.text(b"a").lower() != "rsa-sha256":
        raise Rejected(Verdict.PERMERROR, "a= is not rsa-sha256")
    if SEAL in [name.strip().lower() for name in signature.tags.get(b"h", b"").split(b":")]:
        raise Rejected(Verdict.PERMERROR, "h= lists ARC-Seal")  # RFC 8617 section 4.1.2
    check_signature(message, signature, records, now=now)


def _check_seal(sets: Sequence[ArcSet], records: KeyRecords) -> None:
    """Check the newest seal of the sets: it signs all of them, the oldest first (RFC 8617 section 5.1.1)."""
    seal_of_last = sets[-1].seal
    if seal_of_last.text(b"a").lower() != "rsa-sha256":
        raise Rejected(Verdict.PERMERROR, "a= is not rsa-sha256")
    key = key_for(seal_of_last, records)
    # The last one of a name is taken first, so the oldest set has to stand last.
    fields = [field for each in reversed(sets) for field in (each.results, each.message_signature.field, each.seal.field)]
    names = (_SET * len(sets))[:-1]
    if not key.verifies(header_digest(fields, names, seal_of_last), seal_of_last.octets(b"b")):
        raise Rejected(Verdict.FAIL, "a field of the chain was changed, or another key sealed")
