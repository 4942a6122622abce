"""SPF records (RFC 7208): read, judged term by term, and counted as a receiver counts their lookups."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

VERSION = "v=spf1"

_directive = re.compile(r"([-+~?]?)([A-Za-z0-9]+)(?:([:/])(.*))?", re.DOTALL)
_modifier = re.compile(r"([A-Za-z][A-Za-z0-9._-]*)=(.*)", re.DOTALL)
_prefix_lengths = re.compile(r"(?:/(\d{1,2}))?(?://(\d{1,3}))?")
_macro = re.compile(r"%\{[slodiphcrtvSLODIPHCRTV][0-9]*[rR]?[-.+,/_=]*\}|%%|%_|%-")
_NEEDS_DOMAIN = ("include", "exists")
_MECHANISMS = ("all", "include", "a", "mx", "ptr", "ip4", "ip6", "exists")


@dataclass(frozen=True, slots=True)
class Term:
    """A mechanism with its qualifier, or a modifier (`redirect`, qualifier empty). `value` is a domain or a network."""

    text: str
    name: str
    qualifier: str = "+"
    value: str = ""


@dataclass(frozen=True, slots=True)
class SpfRecord:
    """The terms of one record. `invalid` is the first term that can't be read: a receiver then gives up with permerror."""

    terms: tuple[Term, ...]
    invalid: str = ""

    @property
    def all(self) -> Term | None:
        """The `all` that ends it. Terms behind it are never looked at."""
        return next((term for term in self.terms if term.name == "all"), None)

    @property
    def effective(self) -> tuple[Term, ...]:
        """The terms that a receiver may come to: mechanisms up to `all`, and redirect when there is no `all`."""
        seen: list[Term] = []
        for term in self.terms:
            if term.name == "all":
                return tuple(kept for kept in [*seen, term] if kept.name != "redirect")
            seen.append(term)
        # RFC 7208 section 6.1: redirect counts when nothing matched, wherever it stands.
        return tuple(sorted(seen, key=lambda term: term.name == "redirect"))

    @property
    def redirect(self) -> str:
        """The domain of a redirect that has an effect; empty otherwise."""
        return next((term.value for term in self.effective if term.name == "redirect"), "")


def spf_values(texts: Sequence[str]) -> tuple[str, ...]:
    """Those TXT values that are SPF records (RFC 7208 section 4.5)."""
    return tuple(text for text in texts if text.lower() == VERSION or text.lower().startswith(f"{VERSION} "))


def parse_spf(text: str) -> SpfRecord:
    """The record. Never raises: what can't be read is in `invalid`."""
    terms: list[Term] = []
    for word in text[len(VERSION) :].split(" "):
        if not word:
            continue
        term = _term(word)
        if term is None:
            return SpfRecord(tuple(terms), word)
        terms.append(term)
    for name in ("redirect", "exp"):
        several = [term for term in terms if term.name == name]
        if len(several) > 1:  # RFC 7208 section 6
            return SpfRecord(tuple(terms), several[1].text)
    return SpfRecord(tuple(terms))


def _term(word: str) -> Term | None:
    modifier = _modifier.fullmatch(word)
    if modifier is not None:
        name = modifier[1].lower()
        if name in ("redirect", "exp") and not _is_domain(modifier[2]):
            return None
        return Term(word, name, "", modifier[2].lower().rstrip("."))
    directive = _directive.fullmatch(word)
    if directive is None or directive[2].lower() not in _MECHANISMS:
        return None
    qualifier, name = directive[1] or "+", directive[2].lower()
    separator, rest = directive[3] or "", directive[4] or ""
    value = _value(name, separator, rest)
    return None if value is None else Term(word, name, qualifier, value.lower().rstrip("."))


def _value(name: str, separator: str, rest: str) -> str | None:
    """The domain or network of a mechanism; None when it can't have it."""
    if name == "all":
        return None if separator else ""
    if name in ("ip4", "ip6"):
        return rest if separator == ":" and _is_network(rest, 4 if name == "ip4" else 6) else None
    if name in _NEEDS_DOMAIN:
        return rest if separator == ":" and _is_domain(rest) else None
    if name == "ptr":
        return rest if not separator or (separator == ":" and _is_domain(rest)) else None
    domain, slash, lengths = (rest.partition("/") if separator == ":" else ("", "/", rest)) if separator else ("", "", "")
    if (separator == ":" and not _is_domain(domain)) or not _are_lengths(slash + lengths):
        return None
    return domain


def _are_lengths(text: str) -> bool:
    found = _prefix_lengths.fullmatch(text)
    return found is not None and int(found[1] or 0) <= 32 and int(found[2] or 0) <= 128


def _is_network(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_network(text, strict=False).version == version and "%" not in text
    except ValueError:
        return False


def _is_domain(text: str) -> bool:
    # RFC 7208 section 7.1: visible characters and macros; a toplabel at the end, which is no number.
    plain = _macro.sub("", text)
    if not text or "%" in plain or not all("!" <= character <= "~" for character in plain):
        return False
    return ("." in text.rstrip(".") or plain != text) and not plain.rstrip(".").rpartition(".")[2].isdigit()
