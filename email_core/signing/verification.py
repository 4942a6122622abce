"""Verifying signatures that others made: DKIM (RFC 6376), and what ARC shares with it.

dkimpy reads the tags and canonicalises the header fields; it is imported with the first signature, for that costs 120
milliseconds. The rest of it is not for hostile mail: its canonical body is quadratic on a run of blanks, and its choice of
fields in their number; it hashes the body once for each signature, its RSA computes with whatever key the DNS holds, and it
asks the clock itself. So bodies are hashed here, once, by `signing.canonical`, keys are bounded (`signing.key_record`), OpenSSL
checks, and what a header may cost is bounded before dkimpy sees it. No function here does I/O: `Signature.question` names the
record that is needed, and the caller brings it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from email_core.signing.canonical import canonical_body
from email_core.signing.key_record import KeyRecordError, KeyRecords, PublishedKey, published_key

MOST_HEADER_BYTES = 256 * 1024
MOST_FIELDS = 1000
MOST_SIGNATURE_BYTES = 8192  # of one field with tags
MOST_SIGNED_NAMES = 300  # in h=
MOST_SIGNATURES = 5  # verified of a message; RFC 6376 section 6.1 lets a verifier limit them

_field_start = re.compile(rb"([!-9;-~]+)[ \t]*:")
_name = re.compile(r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_](?:[a-z0-9_-]{0,62}))*", re.IGNORECASE)
_number = re.compile(rb"[0-9]{1,12}")

Field = tuple[bytes, bytes]


class NotVerifiable(ValueError):
    """Signatures are not looked at in a message that is malformed or larger than any honest one. The text says which."""


class Verdict(StrEnum):
    """What became of a signature, in the words of RFC 8601 section 2.7.1."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    POLICY = "policy"
    NEUTRAL = "neutral"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class Rejected(Exception):
    """A signature does not hold. `verdict` says how, the text why."""

    def __init__(self, verdict: Verdict, why: str) -> None:
        super().__init__(why)
        self.verdict = verdict


@dataclass(frozen=True)
class SignedMessage:
    """A message as its signatures see it: the fields in their order, values with their folds and CRLF, and the body."""

    fields: tuple[Field, ...]
    body: bytes
    _hashes: dict[tuple[bytes, int], bytes] = field(default_factory=dict, repr=False, compare=False)

    def named(self, name: bytes) -> tuple[Field, ...]:
        """The fields of a lower-case name, from the top."""
        return tuple(each for each in self.fields if each[0].lower() == name)

    @cached_property
    def relaxed_body(self) -> bytes:
        return canonical_body(self.body)

    @cached_property
    def simple_body(self) -> bytes:
        """RFC 6376 section 3.4.3: no empty lines at the end, and one CRLF."""
        body = self.body if self.body.endswith(b"\r\n") else self.body + b"\r\n"
        return body[: len(body.rstrip(b"\r\n"))] + b"\r\n"

    def body_hash(self, canonicalization: bytes, length: int | None) -> bytes:
        """SHA-256 of the canonical body, or of as many octets of it."""
        body = self.relaxed_body if canonicalization == b"relaxed" else self.simple_body
        key = (canonicalization, len(body) if length is None else min(length, len(body)))
        if key not in self._hashes:
            self._hashes[key] = hashlib.sha256(memoryview(body)[: key[1]]).digest()
        return self._hashes[key]


@dataclass(frozen=True, slots=True)
class Signature:
    """A field with tags, read but not judged. `question` is the name of its key record."""

    field: Field
    tags: Mapping[bytes, bytes]

    @property
    def domain(self) -> str:
        return self.text(b"d").lower()

    @property
    def selector(self) -> str:
        return self.text(b"s").lower()

    @property
    def question(self) -> str:
        """Empty when d= and s= are no names."""
        name = f"{self.selector}._domainkey.{self.domain}"
        return name if self.domain and self.selector and _name.fullmatch(name) else ""

    def text(self, tag: bytes) -> str:
        return self.tags.get(tag, b"").decode("ascii", "replace")

    def octets(self, tag: bytes) -> bytes:
        """A base64 tag. Raises Rejected."""
        try:
            return base64.b64decode(b"".join(self.tags.get(tag, b"").split()), validate=True)
        except (binascii.Error, ValueError):
            raise Rejected(Verdict.PERMERROR, f"{tag.decode()}= is no base64") from None


def read_message(message: bytes) -> SignedMessage:
    """A message taken apart. Raises NotVerifiable; linear in the size, whatever it holds."""
    end = message.find(b"\r\n\r\n")
    header, body = (message[: end + 2], message[end + 4 :]) if end >= 0 else (message, b"")
    if len(header) > MOST_HEADER_BYTES:
        raise NotVerifiable(f"the header is larger than {MOST_HEADER_BYTES} octets")
    if not message.count(b"\r\n") == message.count(b"\n") == message.count(b"\r"):
        raise NotVerifiable("the message has a CR or LF that is not part of a CRLF")
    fields: list[tuple[bytes, bytearray]] = []
    for line in header.removesuffix(b"\r\n").split(b"\r\n"):
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1][1].extend(line + b"\r\n")
        elif start := _field_start.match(line):
            fields.append((start[1], bytearray(line[start.end() :] + b"\r\n")))
        else:
            raise NotVerifiable(f"field {len(fields) + 1} of the header has no valid name and colon")
    if len(fields) > MOST_FIELDS:
        raise NotVerifiable(f"the header has more than {MOST_FIELDS} fields")
    return SignedMessage(tuple((name, bytes(value)) for name, value in fields), body)


def read_signature(found: Field) -> Signature:
    """The tags of a field. Raises Rejected when it is none that can be read."""
    from dkim.util import InvalidTagValueList, parse_tag_value

    if len(found[1]) > MOST_SIGNATURE_BYTES:
        raise Rejected(Verdict.PERMERROR, f"the signature is longer than {MOST_SIGNATURE_BYTES} octets")
    try:
        return Signature(found, parse_tag_value(found[1]))
    except InvalidTagValueList:
        raise Rejected(Verdict.PERMERROR, "the signature has malformed or repeated tags") from None


def key_for(signature: Signature, records: KeyRecords) -> PublishedKey:
    """The key that a signature names. Raises Rejected; TEMPERROR when nobody could tell."""
    question = signature.question
    if not question:
        raise Rejected(Verdict.PERMERROR, "d= and s= are no names")
    if question not in records:
        raise Rejected(Verdict.TEMPERROR, "the key could not be looked up")
    record = records[question]
    if record is None:
        raise Rejected(Verdict.PERMERROR, "there is no key record")
    try:
        key = published_key(record)
    except KeyRecordError as error:
        raise Rejected(Verdict.PERMERROR, str(error)) from None
    if key.algorithm != signature.text(b"a").lower():
        raise Rejected(Verdict.PERMERROR, "a= is not what the published key is for")
    return key


def check_signature(message: SignedMessage, signature: Signature, records: KeyRecords, *, now: float) -> None:
    """Check a signature over fields and body, as DKIM-Signature and ARC-Message-Signature are. Raises Rejected.

    `now` is in seconds since the epoch.
    """
    missing = [tag.decode() for tag in (b"a", b"b", b"bh", b"d", b"h", b"s") if not signature.tags.get(tag)]
    if missing:
        raise Rejected(Verdict.PERMERROR, f"the signature lacks {', '.join(missing)}=")
    expires_at = signature.tags.get(b"x", b"")
    if expires_at and (not _number.fullmatch(expires_at) or int(expires_at) < now):
        raise Rejected(Verdict.PERMERROR if not _number.fullmatch(expires_at) else Verdict.FAIL, "the signature has expired")
    key = key_for(signature, records)
    for_header, for_body = _canonicalizations(signature)
    length = signature.tags.get(b"l")
    if length is not None and not _number.fullmatch(length):
        raise Rejected(Verdict.PERMERROR, "l= is no number")
    if message.body_hash(for_body, None if length is None else int(length)) != signature.octets(b"bh"):
        raise Rejected(Verdict.FAIL, "the body was changed")
    names = [name.strip().lower() for name in signature.tags[b"h"].split(b":")]
    if b"from" not in names:  # RFC 6376 section 5.4
        raise Rejected(Verdict.PERMERROR, "From is not signed")
    # A second From would be shown and not be covered.
    if not key.verifies(header_digest(message.fields, [*names, b"from"], signature, for_header), signature.octets(b"b")):
        raise Rejected(Verdict.FAIL, "the header was changed, or another key signed")
    if length is not None and int(length) < len(message.relaxed_body if for_body == b"relaxed" else message.simple_body):
        raise Rejected(Verdict.POLICY, "the signature leaves the end of the body open")


def header_digest(
    fields: Sequence[Field], names: Sequence[bytes], signature: Signature, canonicalization: bytes = b"relaxed"
) -> bytes:
    """SHA-256 over the fields named, from the last one of a name up, and over the signature itself. Raises Rejected."""
    import dkim
    from dkim.canonicalization import ALGORITHMS

    if len(names) > MOST_SIGNED_NAMES:
        raise Rejected(Verdict.PERMERROR, f"more than {MOST_SIGNED_NAMES} fields are signed")
    algorithm = ALGORITHMS[canonicalization]
    selected = _selected(fields, names)
    hasher = hashlib.sha256()
    for name, value in algorithm.canonicalize_headers(selected):
        hasher.update(b"%b:%b" % (name, value))
    # Nothing is left to be selected, and the signature itself is hashed without its b= and without its CRLF.
    dkim.hash_headers(hasher, algorithm, [], [], signature.field, signature.tags)
    return hasher.digest()


def _selected(fields: Sequence[Field], names: Sequence[bytes]) -> list[Field]:
    """The fields for the names of h= (RFC 6376 section 5.4.2). dkimpy looks at every field for each name that has none."""
    left: dict[bytes, list[Field]] = {}
    for each in fields:
        left.setdefault(each[0].lower(), []).append(each)
    return [left[name].pop() for name in names if left.get(name)]


def _canonicalizations(signature: Signature) -> tuple[bytes, bytes]:
    for_header, _, for_body = signature.tags.get(b"c", b"simple/simple").lower().partition(b"/")
    for_body = for_body or b"simple"
    if not {for_header, for_body} <= {b"simple", b"relaxed"}:
        raise Rejected(Verdict.PERMERROR, "c= is not known")
    return for_header, for_body
