"""Header text that any mail system can carry: RFC 2047 encoded words, RFC 2231 parameters, address lists, and folding.

Nothing here judges its input; `headers` has the rules. What is written is ASCII except for local parts that RFC 2047
can't encode, and a fold stands only where a blank was, so that unfolding restores the text octet for octet.
"""

from __future__ import annotations

import re
import unicodedata
from binascii import b2a_base64
from collections.abc import Iterable, Sequence

from email_core.message.address import Address
from email_core.message.limits import ENCODED_WORD_LINE, MAX_ENCODED_WORD, MAX_LINE, PREFERRED_LINE

_Q_START, _B_START, _END = b"=?utf-8?q?", b"=?utf-8?b?", b"?="
_OVERHEAD = len(_Q_START) + len(_END)
_ALPHANUMERIC = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
# What may stand for itself in a phrase (RFC 2047 section 5 (3)); unstructured text could have more, one table is enough.
_Q_LITERAL = _ALPHANUMERIC + b"!*+-/"
_q_octet = [bytes([octet]) if octet in _Q_LITERAL else b"=%02X" % octet for octet in range(256)]
_q_octet[0x20] = b"_"
_ATTRIBUTE_LITERAL = _ALPHANUMERIC + b"!#$&+-.^_`{|}~"  # attribute-char of RFC 2231 section 7
_percent_octet = [bytes([octet]) if octet in _ATTRIBUTE_LITERAL else b"%%%02X" % octet for octet in range(256)]

_word_with_its_blanks = re.compile(r" *[^ ]+")
_atoms = re.compile(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+(?: [A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+)*")
_plain_value = re.compile(r"[!#-\[\]-~]+(?: [!#-\[\]-~]+)*")  # printable ASCII, single blanks inside, no quote or backslash
PHRASE_WORD = ENCODED_WORD_LINE - len("Reply-To: ")  # so that the first line of no address list is too long
_SHORT = 60  # a quoted string of this length fits a line with any of our field and parameter names


def fold_unstructured(name: str, value: str, *, literal: bool = False) -> bytes:
    """The field `name: value` without its last CRLF: ASCII folded at its blanks, other text in encoded words.

    `literal`: readers shall see exactly this text, so what looks like an encoded word, begins or ends with a blank, or
    can't be folded is encoded too. Without it such text stays as the caller wrote it.
    """
    if value.isascii():
        plain = not literal or ("=?" not in value and value == value.strip(" "))
        if plain and len(name) + 2 + len(value) <= PREFERRED_LINE:
            return f"{name}: {value}".encode()
        folded = _folded_at_blanks(name, value) if plain else b""
        if plain and not (literal and any(len(line) > MAX_LINE for line in folded.split(b"\r\n"))):
            return folded
    words = encoded_words(value, first=ENCODED_WORD_LINE - len(name) - 2)
    return name.encode() + b": " + b"\r\n ".join(words)


def _folded_at_blanks(name: str, value: str) -> bytes:
    lines: list[str] = []
    line = f"{name}:"
    room = PREFERRED_LINE
    for word in _word_with_its_blanks.findall(f" {value}"):
        # The first word stays with the name: a field whose first line is empty is legal and yet misread by some.
        if len(line) + len(word) > room and (lines or len(line) > len(name) + 1):
            lines.append(line)
            line = ""
        line += word
    lines.append(line)
    return "\r\n".join(lines).encode()


def encoded_words(text: str, *, first: int = MAX_ENCODED_WORD, rest: int = MAX_ENCODED_WORD) -> list[bytes]:
    """The text as RFC 2047 encoded words of at most `first` and then `rest` octets, Q or B, whichever is shorter.

    No word ends inside a character (RFC 2047 section 5), and each holds at least one.
    """
    octets = text.encode()
    length_in_q = len(octets) + 2 * len(octets.translate(None, _Q_LITERAL + b" "))
    in_q = length_in_q <= (len(octets) + 2) // 3 * 4
    words = []
    room = min(first, MAX_ENCODED_WORD) - _OVERHEAD
    piece: list[bytes] = []
    used = 0
    for character in text:
        unit = character.encode()
        size = sum(len(_q_octet[octet]) for octet in unit) if in_q else len(unit)
        if piece and (used + size if in_q else (used + size + 2) // 3 * 4) > room:
            words.append(_encoded_word(b"".join(piece), in_q))
            piece, used, room = [], 0, min(rest, MAX_ENCODED_WORD) - _OVERHEAD
        piece.append(unit)
        used += size
    words.append(_encoded_word(b"".join(piece), in_q))
    return words


def _encoded_word(octets: bytes, in_q: bool) -> bytes:
    if in_q:
        return _Q_START + b"".join([_q_octet[octet] for octet in octets]) + _END
    return _B_START + b2a_base64(octets, newline=False) + _END


def address_field(name: str, addresses: Iterable[Address]) -> bytes:
    """The field `name: a, b, c` without its last CRLF, folded between addresses and between the words of a name.

    A local part outside ASCII stands in UTF-8 (RFC 6532): no encoding exists for it.
    """
    words: list[bytes] = []
    for address in addresses:
        if words:
            words[-1] += b","
        if address.display_name:
            words += _phrase(address.display_name)
            words.append(f"<{address.addr_spec}>".encode())
        else:
            words.append(address.addr_spec.encode())
    return fold_words(name, words)


def fold_words(name: str, words: Iterable[bytes]) -> bytes:
    """The field `name: words` without its last CRLF, folded between words so that its lines have 76 octets where they can."""
    lines = []
    line = f"{name}:".encode()
    empty = True
    for word in words:
        if not empty and len(line) + 1 + len(word) > ENCODED_WORD_LINE:
            lines.append(line)
            line = b""
        line += b" " + word
        empty = False
    lines.append(line)
    return b"\r\n".join(lines)


def _phrase(name: str) -> list[bytes]:
    if name.isascii() and len(name) <= _SHORT and "=?" not in name:
        if _atoms.fullmatch(name):
            return [name.encode()]
        if " ".join(name.split()) == name:
            quoted = name.replace("\\", "\\\\").replace('"', '\\"')
            return [f'"{quoted}"'.encode()]
    # Long names, and blanks at the ends or in a row, which readers would drop from a quoted string.
    return encoded_words(name, first=PHRASE_WORD, rest=PHRASE_WORD)


def structured_field(name: str, value: str, parameters: Sequence[bytes] = ()) -> bytes:
    """The field `name: value; parameter; ...` without its last CRLF, each parameter on a line of its own."""
    return b";\r\n ".join([f"{name}: {value}".encode(), *parameters])


def parameter(name: str, value: str) -> list[bytes]:
    """`name="value"`, or the extended form of RFC 2231 when the value is long or more than plain ASCII.

    Both forms of one parameter never stand side by side: Python's parser then takes the first, JavaMail's the last.
    """
    if len(value) <= _SHORT and _plain_value.fullmatch(value) and "=?" not in value:
        return [f'{name}="{value}"'.encode()]
    units = [b"".join([_percent_octet[octet] for octet in character.encode()]) for character in value]
    start = f"{name}*=utf-8''".encode()
    if len(start) + sum(map(len, units)) < ENCODED_WORD_LINE:
        return [start + b"".join(units)]
    pieces = []
    piece = f"{name}*0*=utf-8''".encode()
    for unit in units:
        if len(piece) + len(unit) >= ENCODED_WORD_LINE:
            pieces.append(piece)
            piece = f"{name}*{len(pieces)}*=".encode()
        piece += unit
    return [*pieces, piece]


def ascii_file_name(name: str) -> str:
    """A short file name in plain ASCII that resembles the given one and keeps its extension, for old readers."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    plain = re.sub(r'[^ -~]|["\\]|=(?=\?)', "_", bare)
    plain = " ".join(plain.split()) or "_"
    if len(plain) <= _SHORT:
        return plain
    stem, dot, extension = plain.rpartition(".")
    if not dot or len(extension) > 10:
        return plain[:_SHORT].rstrip(" ")
    return f"{stem[: _SHORT - 1 - len(extension)].rstrip(' ')}.{extension}"
