"""What a client asks for in delivery status notifications: the parameters of MAIL and RCPT of RFC 3461.

ENVID and ORCPT are kept decoded. They come back in a notification and go on to the next server, so nothing passes that
could end a line there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from email_core.message.refusal import BAD_PARAMETER, MessageRefused

MAX_ENVID = 100  # octets of xtext, RFC 3461 section 4.4
MAX_ORCPT = 500  # octets of the whole parameter value, RFC 3461 section 4.2
NEVER = frozenset(("NEVER",))
_EVENTS = frozenset(("SUCCESS", "FAILURE", "DELAY"))
_xtext = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")  # RFC 3461 section 4
_hexchar = re.compile(r"\+([0-9A-F]{2})")
_literal = re.compile(r"[!-*,-<>-~]")
_address_type = re.compile(r"[A-Za-z0-9-]{1,40}")
# RFC 6533 section 3: what an address outside of ASCII has in place of its characters where only ASCII may stand.
_embedded = re.compile(r"\\x\{[0-9A-F]{2,6}\}")
_not_qchar = re.compile(rf"({_embedded.pattern})|[^!-*,-<>-\[\]-~]")


@dataclass(frozen=True, slots=True)
class MessageOptions:
    """Of MAIL: `ret` is FULL, HDRS or empty when the client did not say, `envid` the decoded ENVID or empty."""

    ret: str = ""
    envid: str = ""


@dataclass(frozen=True, slots=True)
class RecipientOptions:
    """Of RCPT: `notify` is None when the client did not say, NEVER, or some of SUCCESS, FAILURE and DELAY.

    `orcpt` is the original recipient as `type;address`, decoded, or empty.
    """

    notify: frozenset[str] | None = None
    orcpt: str = ""


NO_OPTIONS = MessageOptions()
NOTHING_ASKED = RecipientOptions()


def read_message_options(parameters: Iterable[str]) -> MessageOptions:
    """RET and ENVID among the parameters of MAIL, each `NAME=value`; others are left to the caller. Raises MessageRefused."""
    named = _named(parameters, ("RET", "ENVID"))
    return MessageOptions(
        ret=_ret(named["RET"]) if "RET" in named else "",
        envid=_envid(named["ENVID"]) if "ENVID" in named else "",
    )


def read_recipient_options(parameters: Iterable[str]) -> RecipientOptions:
    """NOTIFY and ORCPT among the parameters of RCPT, each `NAME=value`; others are the caller's. Raises MessageRefused."""
    named = _named(parameters, ("NOTIFY", "ORCPT"))
    return RecipientOptions(
        notify=_notify(named["NOTIFY"]) if "NOTIFY" in named else None,
        orcpt=_orcpt(named["ORCPT"]) if "ORCPT" in named else "",
    )


def mail_parameters(options: MessageOptions) -> list[str]:
    """The parameters of MAIL for a server that offers DSN.

    What RET asked for is for the reports that we make. Those of the next server come to our reverse-path, where one that
    returns a whole message could be too large to be taken, so the header is asked for whatever the client said.
    """
    parameters = ["RET=HDRS"]
    return [*parameters, f"ENVID={encode_xtext(options.envid)}"] if options.envid else parameters


def rcpt_parameters(options: RecipientOptions, address: str = "") -> list[str]:
    """The parameters of RCPT for a server that offers DSN.

    The reports come to our reverse-path and not to the client, and a failure has to be known here: it decides what is sent to
    that address next. So FAILURE is always asked for, also where the client said NEVER, who is told nothing all the same.

    `address` is the forward-path, for an ORCPT of ours where the client gave none (RFC 3461 section 5.2.1), and may be empty.
    An ORCPT that is longer than one may be is left out.
    """
    asked = options.notify
    parameters = [f"NOTIFY={notify_text((asked - NEVER) | {'FAILURE'})}"] if asked is not None else []
    kind, _, original = (options.orcpt or f"{'rfc822' if address.isascii() else 'utf-8'};{address}").partition(";")
    value = f"{kind};{_encode_utf8_address(original) if kind == 'utf-8' else encode_xtext(original)}"
    return [*parameters, f"ORCPT={value}"] if original and len(value) <= MAX_ORCPT else parameters


def encode_xtext(text: str) -> str:
    """Text as xtext (RFC 3461 section 4). Characters outside of ASCII become `\\x{...}` before (RFC 6533 section 3)."""
    return "".join(c if _literal.match(c) else f"+{ord(c):02X}" for c in _in_ascii(text))


def _encode_utf8_address(text: str) -> str:
    """An address as utf-8-addr-xtext (RFC 6533 section 3), which has no `+XX`, and keeps each `\\x{...}` that is there."""
    return _not_qchar.sub(lambda found: found[1] or f"\\x{{{ord(found[0]):02X}}}", text)


def notify_text(notify: frozenset[str] | None) -> str:
    """NOTIFY as it stands in a command, in one order; empty when the client did not say."""
    return ",".join(each for each in ("NEVER", "SUCCESS", "FAILURE", "DELAY") if each in (notify or ()))


def notify_of(text: str) -> frozenset[str] | None:
    """What `notify_text` made a text of."""
    return frozenset(text.split(",")) if text else None


def _named(parameters: Iterable[str], names: tuple[str, ...]) -> dict[str, str]:
    named: dict[str, str] = {}
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        name = name.upper()
        if name not in names:
            continue
        if name in named:
            raise _refused(name, "is given twice: give it once")
        named[name] = value
    return named


def _in_ascii(text: str) -> str:
    return "".join(c if c.isascii() else f"\\x{{{ord(c):02X}}}" for c in text)


def _ret(value: str) -> str:
    if value.upper() not in ("FULL", "HDRS"):
        raise _refused("RET", "must be FULL or HDRS (RFC 3461 section 4.3)")
    return value.upper()


def _envid(value: str) -> str:
    if not value or len(value) > MAX_ENVID:
        raise _refused("ENVID", f"must have 1 to {MAX_ENVID} characters (RFC 3461 section 4.4)")
    return _decoded("ENVID", value)


def _notify(value: str) -> frozenset[str]:
    asked = frozenset(value.upper().split(","))
    if asked != NEVER and not asked <= _EVENTS:
        raise _refused("NOTIFY", "must be NEVER, or a list of SUCCESS, FAILURE and DELAY (RFC 3461 section 4.1)")
    return asked


def _orcpt(value: str) -> str:
    kind, semicolon, encoded = value.partition(";")
    if len(value) > MAX_ORCPT or not semicolon or not encoded or not _address_type.fullmatch(kind):
        raise _refused("ORCPT", f"must be type;address of at most {MAX_ORCPT} characters, as in rfc822;jane@example.com")
    # RFC 6533 section 3 lets UTF-8 stand for itself. It is kept in the form for ASCII, which every server after us can read.
    address = _decoded("ORCPT", _in_ascii(encoded) if kind.lower() == "utf-8" else encoded)
    if kind.lower() != "utf-8" and _embedded.search(address):
        raise _refused("ORCPT", "has embedded Unicode characters, for which its type must be utf-8 (RFC 6533 section 3)")
    return f"{kind.lower()};{address}"


def _decoded(name: str, value: str) -> str:
    if not _xtext.fullmatch(value):
        raise _refused(name, "is not xtext: write what is not printable ASCII, and + and =, as +XX (RFC 3461 section 4)")
    text = _hexchar.sub(lambda match: chr(int(match[1], 16)), value)
    if not all(" " <= character <= "~" for character in text):
        raise _refused(name, "has a character that is not printable ASCII once it is decoded: leave it out")
    return text


def _refused(name: str, rule: str) -> MessageRefused:
    return MessageRefused(BAD_PARAMETER, f"{name} {rule}")
