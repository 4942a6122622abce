"""One strict parser for the addresses of every door: HTTP, SMTP and suppression lists.

What it accepts is a dot-atom and a domain of at least two labels (RFC 5321 section 4.1.2), nothing around or between
them. RFC 5321 allows more: quoted local parts, domain literals. They are refused, because mail systems disagree about
what they mean, and that disagreement is how one mailbox passes for another. `email.utils` is never used: what it
makes of hostile text differs between patch releases of Python.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from email_core.message.limits import MAX_ADDRESS, MAX_DOMAIN, MAX_LABEL, MAX_LOCAL_PART


class AddressError(ValueError):
    """Not an address that we send to or from. `reason` names the rule and the remedy, and quotes nothing of the text."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox. `local` keeps its case (RFC 5321 section 2.4); `domain` is in lower-case A-labels without a last dot."""

    local: str
    domain: str
    display_name: str = ""

    @property
    def addr_spec(self) -> str:
        """`local@domain`, as it stands in a header and in an SMTP command."""
        return f"{self.local}@{self.domain}"

    @property
    def key(self) -> str:
        """The form for suppressing: no known receiver tells mailboxes apart by case."""
        if self.local.isascii():
            return f"{self.local.lower()}@{self.domain}"
        # Canonical caseless matching, D145 in chapter 3 of the Unicode Standard; the form C that is left can be read.
        folded = unicodedata.normalize("NFD", self.local).casefold()
        return f"{unicodedata.normalize('NFC', folded)}@{self.domain}"

    @property
    def mailbox(self) -> str:
        """The form for telling the recipients of a message apart: without case, as `key`, and `ß` is not `ss` here.

        A receiver may well have two mailboxes of those names. Who is suppressed is held back under both, and who is a
        recipient gets its mail: each errs on its safe side.
        """
        return f"{unicodedata.normalize('NFC', self.local.lower())}@{self.domain}"

    @property
    def needs_smtputf8(self) -> bool:
        """Whether this address can only travel to servers that offer SMTPUTF8 (RFC 6531)."""
        return not self.local.isascii()


# atext of RFC 5322 section 3.2.3 without "%" and "!": see _PUNCTUATION.
_ATEXT = r"[A-Za-z0-9#$&'*+\-/=?^_`{|}~]"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
# The last label begins with a letter (RFC 1123 section 2.1), so 127.1 and 10.0.0.0x1 are no domains.
_TOP_LABEL = r"[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = rf"(?:{_LABEL}\.)+{_TOP_LABEL}"
_ascii_address = re.compile(rf"({_ATEXT}+(?:\.{_ATEXT}+)*)@({_DOMAIN})")
_ascii_domain = re.compile(_DOMAIN)
_atext = re.compile(_ATEXT)
_ascii_sign = re.compile(r"[^A-Za-z0-9\x80-\U0010ffff]")
_domain_character = re.compile(r"[A-Za-z0-9.-]")

# C0, DEL and C1; bidirectional controls; line and paragraph separators; characters that show nothing; lone surrogates;
# tags. U+200C and U+200D stay for the domain, where IDNA decides about them (RFC 5892 appendix A).
_unseen = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)

_PUNCTUATION = {
    '"': "has a quoted local part: write it without quotes, or use another address",
    "(": "has a comment: remove the parentheses and what they hold",
    ")": "has a comment: remove the parentheses and what they hold",
    "<": "has angle brackets: give the address alone and the name as displayName",
    ">": "has angle brackets: give the address alone and the name as displayName",
    "[": "has a domain literal: give the domain's name, not its IP address",
    "]": "has a domain literal: give the domain's name, not its IP address",
    ",": "has a comma: give one address in each entry",
    ";": "has group syntax: give each member of the group as an address of its own",
    ":": "has group syntax or a route: give each member of the group as an address of its own",
    "\\": "has a backslash, which is only allowed in quoted local parts, and these are not accepted",
    # Postfix by default reads user%host@relay and host!user@relay as mail for another host (allow_percent_hack,
    # swap_bangpath); Exim's default configuration refuses both characters, and so do we.
    "%": "has a percent sign, which some servers take for a route to another host: use another address",
    "!": "has an exclamation mark, which some servers take for a route to another host: use another address",
}
_punctuation = re.compile("[" + re.escape("".join(_PUNCTUATION)) + "]")


def parse_address(text: str, display_name: str = "") -> Address:
    """The address that `text` is, the whole of it. Raises AddressError.

    The display name is taken as it is: `headers.check_display_name` judges it.
    """
    if len(text) <= MAX_ADDRESS and text.isascii() and (match := _ascii_address.fullmatch(text)):
        local, domain = match.groups()
        domain = domain.lower()
        if len(local) <= MAX_LOCAL_PART and len(domain) <= MAX_DOMAIN and "=?" not in local and "xn--" not in domain:
            return Address(local, domain, display_name)
    return _parse_slowly(text, display_name)


def parse_domain(text: str) -> str:
    """The domain in lower-case A-labels (IDNA 2008 after UTS 46 mapping, non-transitional). Raises AddressError."""
    if not text:
        raise AddressError("has no domain: write it as name@example.com")
    if len(text) > MAX_DOMAIN:
        raise AddressError(f"has a domain of more than {MAX_DOMAIN} octets (RFC 5321 section 4.5.3.1.2)")
    _refuse_unseen(text)
    if not text.isascii() or "xn--" in text.lower():
        text = _to_a_labels(text)
    if len(text) <= MAX_DOMAIN and _ascii_domain.fullmatch(text):
        return text.lower()
    raise AddressError(_what_is_wrong_with_domain(text))


def _parse_slowly(text: str, display_name: str) -> Address:
    """For what the one expression did not settle: international addresses, and the reason why others are refused."""
    if not text:
        raise AddressError("is empty: write it as name@example.com")
    if len(text) > MAX_ADDRESS:
        raise AddressError(f"is longer than {MAX_ADDRESS} octets (RFC 5321 section 4.5.3.1.3)")
    _refuse_unseen(text)
    if any(character.isspace() for character in text):
        raise AddressError("has a space: remove it, and give a display name as displayName")
    if found := _punctuation.search(text):
        raise AddressError(_PUNCTUATION[found[0]])
    local, at, domain = text.rpartition("@")
    if not at:
        raise AddressError('has no "@": write it as name@example.com')
    if "@" in local:
        raise AddressError('has more than one "@": write it as name@example.com')
    _check_local(local)
    address = Address(local, parse_domain(domain), display_name)
    if len(address.addr_spec.encode()) > MAX_ADDRESS:
        raise AddressError(f"is longer than {MAX_ADDRESS} octets once its domain is in A-labels (RFC 5321 section 4.5.3.1.3)")
    return address


def _refuse_unseen(text: str) -> None:
    if found := _unseen.search(text):
        raise AddressError(f"has a control or invisible character (U+{ord(found[0]):04X}): remove it")


def _check_local(local: str) -> None:
    if not local:
        raise AddressError('has nothing before the "@": write it as name@example.com')
    if len(local.encode()) > MAX_LOCAL_PART:
        raise AddressError(f'has more than {MAX_LOCAL_PART} octets before the "@" (RFC 5321 section 4.5.3.1.1)')
    if local[0] == "." or local[-1] == "." or ".." in local:
        raise AddressError("has a local part that begins or ends with a dot, or two dots in a row (RFC 5322 section 3.2.3)")
    if "=?" in local:
        # All of its characters are atext, yet a parser that decodes encoded words first sees another address.
        raise AddressError("has an RFC 2047 encoded word: write the characters themselves (RFC 6531)")
    if not unicodedata.is_normalized("NFC", local):
        raise AddressError("has a local part that is not in Unicode normalisation form C (RFC 6532 section 3.1): compose it")
    if unicodedata.category(local[0])[0] == "M":
        raise AddressError("has a combining mark at its beginning, which would join what stands before it: remove it")
    for character in local:
        if not (character == "." or _atext.match(character) or _is_utf8_atext(character)):
            raise AddressError(
                f"has a character that is not allowed in a local part (U+{ord(character):04X}, RFC 5322 section 3.2.3)"
            )
    if not local.isascii() and _signs(unicodedata.normalize("NFKC", local)) != _signs(local):
        # U+FF20 is a character of its own to us and an "@" to a server that normalises with NFKC.
        raise AddressError("has a character that some servers read as punctuation (Unicode form KC): use another address")


def _signs(text: str) -> list[str]:
    return _ascii_sign.findall(text)


def _is_utf8_atext(character: str) -> bool:
    # RFC 6532 section 3.2 adds every non-ASCII character to atext. Unassigned, private and format characters (Cn, Co,
    # Cf) and separators (Z) have no agreed look or normal form, so that two addresses could not be told apart.
    return character > "\x7f" and unicodedata.category(character)[0] in "LMNPS"


def _to_a_labels(domain: str) -> str:
    # Imported here: eleven milliseconds and half a megabyte that ordinary addresses do not need.
    import idna

    try:
        # The mapping can put dots, slashes and "@" where other characters were: the caller checks the result as ASCII.
        return idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise AddressError("has a domain that is not a valid internationalised name (IDNA 2008, RFC 5891)") from error


def _what_is_wrong_with_domain(domain: str) -> str:
    labels = domain.split(".")
    if len(domain) > MAX_DOMAIN:
        return f"has a domain of more than {MAX_DOMAIN} octets in A-labels (RFC 5321 section 4.5.3.1.2)"
    if labels[-1] == "" and all(labels[:-1]):
        return "has a domain that ends with a dot: remove it"
    if "" in labels:
        return "has a domain that begins with a dot or has two dots in a row (RFC 5321 section 4.1.2)"
    for character in domain:
        if not _domain_character.match(character):
            return f"has a character that is not allowed in a domain (U+{ord(character):04X}, RFC 5321 section 4.1.2)"
    if any(len(label) > MAX_LABEL for label in labels):
        return f"has a domain label of more than {MAX_LABEL} octets (RFC 1035 section 2.3.4)"
    if any(label[0] == "-" or label[-1] == "-" for label in labels):
        return "has a domain label that begins or ends with a hyphen (RFC 5321 section 4.1.2)"
    if len(labels) == 1:
        return "has a domain without a dot: give the whole name, as in example.com"
    return "has a top-level domain that does not begin with a letter: give a domain's name, not an IP address"
