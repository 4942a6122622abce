"""A strict reader for header fields that name one mailbox, such as From: the name, and the address by `address.py`.

RFC 5322 lets comments, quoted strings and folds stand nearly everywhere, and mail programs disagree about many of these
places. Here they may stand around an address and in the name before it, and never inside of the address. Groups and lists
are refused, for programs differ in which member they show.
"""

from __future__ import annotations

import re
from email.errors import HeaderParseError
from email.header import decode_header
from typing import NamedTuple

from email_core.message.address import Address, AddressError, parse_address
from email_core.message.headers import check_display_name

MAX_FIELD = 2000  # characters; a name of 256 and an address of 254 in encoded words
_MAX_COMMENTS = 10  # nested in each other; nobody writes two

_blanks = re.compile(r"[ \t]+")
_atom = re.compile(r'[^ \t()<>\[\]:;@\\,"]+')
_quoted = re.compile(r'"((?:[^"\\]|\\.)*)"')
_quoted_pair = re.compile(r"\\(.)")
_comment_piece = re.compile(r"[^()\\]+|\\.|[()]")
_language = re.compile(r"(?<==\?)([^?* ]+)\*[^?* ]*(?=\?[BbQq]\?)")
ENCODED_WORD = re.compile(r"=\?[^? ]+\?[BbQq]\?[^? ]*\?=")


class MailboxError(ValueError):
    """Not one mailbox. `reason` names the rule and the remedy, and quotes nothing of the text."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Token(NamedTuple):
    """A word or a special character, with where it stands; the text of a quoted string is without quotes and backslashes."""

    kind: str  # "atom", "quoted" or the special character
    text: str
    start: int
    end: int


def read_mailbox(value: str) -> Address:
    """The mailbox that the value of a field, unfolded, names: `address`, `<address>` or `name <address>`.

    Comments are left out, encoded words of the name are decoded. Raises MailboxError.
    """
    if len(value) > MAX_FIELD:
        raise MailboxError(f"is longer than {MAX_FIELD} characters: shorten the name")
    tokens, comments = read_tokens(value)
    # Some programs show a comment as the name.
    for start, end in comments:
        if fault := check_display_name(_decoded(value[start:end])):
            raise MailboxError(f"has a comment that {fault}")
    kinds = [token.kind for token in tokens]
    _refuse_lists(kinds)
    if not tokens:
        raise MailboxError("has no address: write it as Name <name@example.com>")
    if "<" not in kinds and ">" not in kinds:
        return _address(value, tokens[0].start, tokens[-1].end, comments)
    if kinds.count("<") != 1 or kinds.count(">") != 1 or kinds[-1] != ">":
        raise MailboxError("has angle brackets in the wrong place: write it as Name <name@example.com>")
    opened = kinds.index("<")
    name = _name(tokens[:opened])
    return _address(value, tokens[opened].end, tokens[-1].start, comments, name)


def _refuse_lists(kinds: list[str]) -> None:
    # A colon inside of angle brackets is a route, which the parser of addresses refuses; a comma there is refused here too.
    outside = kinds[: kinds.index("<")] if "<" in kinds else kinds
    if ";" in kinds or ":" in outside:
        raise MailboxError("has group syntax: name one mailbox")
    if "," in kinds:
        raise MailboxError("names several mailboxes, or has a comma outside of quotes: name one mailbox")


def _address(value: str, start: int, end: int, comments: list[tuple[int, int]], name: str = "") -> Address:
    if any(start < at < end for at, _ in comments):
        raise MailboxError("has a comment inside of its address: remove the parentheses and what they hold")
    try:
        return parse_address(value[start:end], name)
    except AddressError as error:
        raise MailboxError(f"has an address that {error.reason}") from error


def _name(tokens: list[Token]) -> str:
    """The display name of a phrase. Many programs decode what looks like an encoded word in quotes, so that is judged too."""
    if tokens and tokens[0].text.startswith(".") and tokens[0].kind == "atom":
        raise MailboxError("has a name that begins with a dot: put it in double quotes")  # RFC 5322 section 4.1, obs-phrase
    words: list[str] = []
    run: list[str] = []
    for token in tokens:
        if token.kind == "atom" and ENCODED_WORD.fullmatch(token.text):
            run.append(token.text)
            continue
        if run:
            words.append(_decoded(" ".join(run)))
            run = []
        if token.kind not in ("atom", "quoted"):
            raise MailboxError(f'has "{token.kind}" in the name outside of quotes: put the name in double quotes')
        words.append(token.text)
    if run:
        words.append(_decoded(" ".join(run)))
    name = " ".join(words)
    for shown in (name, _decoded(name)):
        if fault := check_display_name(shown):
            raise MailboxError(f"has a name that {fault}")
    return name


def _decoded(text: str) -> str:
    """Encoded words as a reader that is generous shows them: with a language (RFC 2231 section 5), and each for itself.

    One whose charset is none stays as it stands, and the others are decoded all the same.
    """
    if "=?" not in text:
        return text
    try:
        pieces = decode_header(_language.sub(r"\1", text))
    except (HeaderParseError, ValueError):
        return text
    return "".join(_decoded_piece(piece, charset) for piece, charset in pieces)


def _decoded_piece(piece: bytes | str, charset: str | None) -> str:
    if isinstance(piece, str):
        return piece
    if charset is None:
        return piece.decode("raw-unicode-escape", "replace")  # as `decode_header` encodes what is between the words
    try:
        return piece.decode(charset, "replace")
    except (LookupError, UnicodeError, ValueError):
        shown = "".join(chr(octet) if chr(octet).isalnum() and octet < 128 else f"={octet:02X}" for octet in piece)
        return f"=?{charset}?q?{shown}?="


def read_tokens(value: str) -> tuple[list[Token], list[tuple[int, int]]]:
    """The tokens of an address field without comments and blanks, and where the comments stand. Raises MailboxError."""
    tokens: list[Token] = []
    comments: list[tuple[int, int]] = []
    at = 0
    while at < len(value):
        if match := _blanks.match(value, at):
            pass
        elif match := _atom.match(value, at):
            tokens.append(Token("atom", match[0], at, match.end()))
        elif match := _quoted.match(value, at):
            tokens.append(Token("quoted", _quoted_pair.sub(r"\1", match[1]), at, match.end()))
        elif value[at] == "(":
            end = _comment_end(value, at)
            comments.append((at, end))
            at = end
            continue
        elif value[at] in '"\\':
            raise MailboxError("has a quote that does not end, or a backslash outside of quotes")
        else:
            tokens.append(Token(value[at], value[at], at, at + 1))
            at += 1
            continue
        at = match.end()
    return tokens, comments


def _comment_end(value: str, at: int) -> int:
    depth = 0
    while match := _comment_piece.match(value, at):
        at = match.end()
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if not depth:
            return at
        if depth > _MAX_COMMENTS:
            break
    raise MailboxError("has a comment that does not end, or comments inside of comments: remove them")
