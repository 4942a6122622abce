"""Command lines of SMTP, read strictly: nothing here has input or output."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

MAX_COMMAND = 2048  # octets: 512 (RFC 5321 section 4.5.3.1.4), and what SIZE, AUTH, SMTPUTF8 and DSN each add
MAX_AUTH = 16384  # octets: 12,288 (RFC 4954 section 4), and what tokens have grown to since

# esmtp-keyword and esmtp-value of RFC 5321 section 4.1.2; RFC 6531 section 3.3 lets a value have UTF-8.
_parameter = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9-]*)(?:=(?P<value>[^\x00-\x20=\x7f]+))?")
# A path with nothing between keyword and bracket, or with blanks, which many clients send. Quoted local parts are let through
# here, so that the parser of addresses says why they are refused.
_path = re.compile(r"\s*<(?P<path>(?:\"(?:[^\"\\]|\\.)*\"|[^<>\"])*)>(?P<rest>.*)", re.DOTALL)


class SyntaxRefused(ValueError):
    """A command that can't be read. `text` names the rule, and is fit for a reply."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


@dataclass(frozen=True, slots=True)
class Path:
    """The argument of MAIL or RCPT: what stands in the brackets, and parameters by their names in upper case."""

    address: str
    parameters: Mapping[str, str]


def parse_line(line: bytes) -> tuple[str, str]:
    """Verb in upper case, and argument, of a line with its CRLF. Raises SyntaxRefused."""
    if not line.endswith(b"\r\n"):
        raise SyntaxRefused("Lines of SMTP end with CR LF, and this one does not")
    try:
        text = line[:-2].decode("utf-8")
    except UnicodeDecodeError:
        raise SyntaxRefused("The command is not UTF-8") from None
    if any((character < " " and character != "\t") or character == "\x7f" for character in text):
        raise SyntaxRefused("The command holds a control character")
    verb, _, argument = text.strip(" \t").partition(" ")
    if not verb.isascii():
        raise SyntaxRefused("There is no such command")
    return verb.upper(), argument.strip(" \t")


def parse_path(keyword: str, argument: str) -> Path:
    """What follows MAIL (`FROM:`) or RCPT (`TO:`). Raises SyntaxRefused."""
    syntax = f"Syntax: {'MAIL' if keyword == 'FROM:' else 'RCPT'} {keyword}<address> [parameters]"
    if argument[: len(keyword)].upper() != keyword:
        raise SyntaxRefused(syntax)
    found = _path.fullmatch(argument[len(keyword) :])
    if found is None or (found["rest"] and not found["rest"][0].isspace()):
        raise SyntaxRefused(f"{syntax}, with the address in angle brackets")
    parameters: dict[str, str] = {}
    for word in found["rest"].split():
        parameter = _parameter.fullmatch(word)
        if parameter is None:
            raise SyntaxRefused("A parameter is NAME or NAME=VALUE")
        name = parameter["name"].upper()
        if name in parameters:
            raise SyntaxRefused(f"The parameter {name} stands there twice")
        parameters[name] = parameter["value"] or ""
    return Path(found["path"], parameters)


def parse_size(value: str) -> int:
    """The octets that a client declares with SIZE (RFC 1870 section 3). Raises SyntaxRefused."""
    if not (value.isascii() and value.isdecimal() and len(value) <= 20):
        raise SyntaxRefused("SIZE must be a number of octets")
    return int(value)
