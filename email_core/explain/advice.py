"""What a person is told of a recipient's state: the texts of advice.toml, chosen and filled in."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache, partial
from pathlib import Path
from typing import Any

from email_core.delivery.bounce_classes import RULES_FILE

TEXTS_FILE = Path(__file__).with_name("advice.toml")
RUNNING = "Running"  # a recipient that is being tried now; the ledger has no word for it
_CONDITIONS = ("class", "status", "rule", "enhanced", "text", "route")
TEXTS = ("meaning", "waiting", "sender", "operator")


@dataclass(frozen=True, slots=True)
class Situation:
    """Where a recipient stands. `status` is that of the ledger, `route` one of mx, smarthost, capture and simulator."""

    status: str
    final: bool
    bounce_class: str = ""
    rule: str = ""
    enhanced: str = ""
    reply: str = ""
    route: str = ""


@dataclass(frozen=True, slots=True)
class Names:
    """What stands in for the names in braces; these defaults are for a reply without a message around it.

    `zone`, `sender_zone` and `bounce_zone` are the domains as they stand in commands.
    """

    address: str = "the recipient's address"
    domain: str = "the recipient's domain"
    host: str = "the server"
    sender: str = "the sender's address"
    sender_domain: str = "the sender's domain"
    bounce_domain: str = "the bounce domain"
    size: str = "with its attachments"
    again: str = "later"
    zone: str = "DOMAIN"
    sender_zone: str = "SENDER-DOMAIN"
    bounce_zone: str = "BOUNCE-DOMAIN"
    selectors: str = "SELECTOR._domainkey.SENDER-DOMAIN"


NOBODY = Names()


@dataclass(frozen=True, slots=True)
class Advice:
    """What it means, and what sender and operator can do."""

    meaning: str
    sender: str
    operator: str


def advise(situation: Situation, names: Names) -> Advice:
    """The advice for a recipient. A class or a status that a newer version wrote gets the most general words there are."""
    texts = dict(_general(situation))
    case: Mapping[str, str] = next((case for case in _texts()["case"] if _fits(case, situation)), {})
    meaning = case.get("meaning", texts["meaning"])
    texts |= {name: case[name] for name in TEXTS if name in case}
    if situation.status == "Expired" and situation.bounce_class:
        meaning = f"{_texts()['status']['Expired']['meaning']} The last time: {meaning}"
    if situation.bounce_class and situation.bounce_class not in _texts()["class"]:
        unknown = _texts()["note"]["unknown_class"].format(bounce_class=situation.bounce_class)
        meaning = f"{unknown} {meaning}"
    sender = texts["sender" if situation.final else "waiting"]
    return Advice(*(capital(filled(text, names)) for text in (meaning, sender, texts["operator"])))


def filled(text: str, names: Names) -> str:
    """A text with the names in it, as one line."""
    known = {field.name: getattr(names, field.name) for field in fields(names)}
    return " ".join(text.format(**known).split())


def capital(text: str) -> str:
    """A sentence that begins with a capital, unless its first word is a name such as mx.example.com."""
    first = text.partition(" ")[0]
    return text if "." in first.rstrip(".") or "@" in first else text[:1].upper() + text[1:]


def operation_meaning(status: str) -> str:
    """What the status of the operation says; empty for one that a newer version wrote."""
    return str(_texts()["operation"].get(status, {}).get("meaning", ""))


def duplicate_meaning() -> str:
    """What `possibleDuplicate` says."""
    return " ".join(str(_texts()["note"]["possible_duplicate"]).split())


@cache
def class_meanings() -> Mapping[str, str]:
    """Each bounce class in a few words, as the bounce rules have them."""
    classes = tomllib.loads(RULES_FILE.read_bytes().decode())["class"]
    return {name: str(facts["meaning"]) for name, facts in classes.items()}


@cache
def _texts() -> Mapping[str, Any]:
    return load_texts(TEXTS_FILE.read_bytes().decode())


def load_texts(text: str) -> Mapping[str, Any]:
    """The tables of the file. Raises ValueError that names the entry and what is wrong with it."""
    tables = tomllib.loads(text)
    for section in ("status", "class"):
        for name, entry in tables[section].items():
            if set(entry) != set(TEXTS):
                raise ValueError(f"{section} {name}: must have {', '.join(TEXTS)} and nothing else")
    for case in tables["case"]:
        unknown = set(case) - {"name", *_CONDITIONS, *TEXTS}
        if "name" not in case or unknown or not set(case) & set(_CONDITIONS) or not set(case) & set(TEXTS):
            raise ValueError(f"case {case.get('name', '?')}: needs a name, a condition and a text; unknown: {sorted(unknown)}")
    return tables


def _general(situation: Situation) -> Mapping[str, str]:
    tables = _texts()
    if situation.bounce_class:
        return tables["class"].get(situation.bounce_class, tables["class"]["unknown"])  # type: ignore[no-any-return]
    missing = "Failed" if situation.final else "Deferred"
    return tables["status"].get(situation.status, tables["status"][missing])  # type: ignore[no-any-return]


def _fits(case: Mapping[str, Any], situation: Situation) -> bool:
    # Who is quoted in a reply says nothing of what it means: <dmarc@example.com> is not about DMARC.
    words = " ".join(word for word in situation.reply.lower().split() if "@" not in word)
    holds: Mapping[str, Callable[[str], bool]] = {
        "class": situation.bounce_class.__eq__,
        "status": situation.status.__eq__,
        "rule": situation.rule.__eq__,
        "route": situation.route.__eq__,
        "enhanced": partial(_same_code, situation.enhanced),
        "text": words.__contains__,
    }
    return all(any(map(holds[name], case[name])) for name in _CONDITIONS if name in case)


def _same_code(enhanced: str, pattern: str) -> bool:
    return bool(enhanced) and (enhanced == pattern or (pattern[0] == "x" and enhanced[1:] == pattern[1:]))
