"""An explanation as text for a terminal: what it came to first, the story after it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from email_core.explain.explanation import Explanation, Recipient, ReplyExplanation, Step, door_words, octets

_LABELS = 16  # columns


@dataclass(frozen=True, slots=True)
class Look:
    """How wide the lines may be, in columns, and whether headings may be bold."""

    width: int = 100
    bold: bool = False


def message_text(explanation: Explanation, look: Look) -> str:
    """The text of a message's explanation. Whatever a server said comes out as printable characters on lines of ours."""
    lines = [_heading(f"Message {explanation.id}", look), *_about(explanation, look)]
    for group in _groups(explanation.recipients):
        lines += ["", *_recipient(group, look)]
    lines += ["", *_story(explanation, look)]
    return "\n".join(lines) + "\n"


def reply_text(explanation: ReplyExplanation, look: Look) -> str:
    """The text of a reply's explanation."""
    who = f" from {explanation.mx}" if explanation.mx else ""
    lines = [
        _heading(f"Reply {explanation.reply}", look),
        *_field("said", f"at stage {explanation.stage}{who}", look),
        *_field("it means", explanation.meaning, look),
        *_field("what follows", explanation.next, look),
        *_field("suppression", explanation.suppression, look),
        *_field("what to do", explanation.what_to_do, look),
        *_field("for operator", explanation.for_operator, look),
    ]
    if explanation.rule:
        meaning = f" ({explanation.class_meaning})" if explanation.class_meaning else ""
        disposition = f", which comes to: {explanation.disposition}" if explanation.disposition else ""
        lines += _field("rule", f"{explanation.rule}, class {explanation.bounce_class}{meaning}{disposition}", look)
    return "\n".join(lines) + "\n"


def _about(explanation: Explanation, look: Look) -> list[str]:
    door = door_words(explanation.door)
    lines = _field("from", explanation.sender, look)
    lines += _field("accepted", f"{_moment(explanation.accepted_at)}, {door}, {octets(explanation.size)}", look)
    lines += _field("status", f"{explanation.status}. {explanation.meaning}", look)
    if explanation.error_code:
        lines += _field("error", f"{explanation.error_code}. {explanation.error_reason}", look)
    return lines + _field("Message-ID", explanation.message_id, look)


def _groups(recipients: Iterable[Recipient]) -> list[list[Recipient]]:
    """Recipients of whom the same is to be said are told together: fifty that were delivered are one paragraph."""
    groups: dict[tuple[object, ...], list[Recipient]] = {}
    for each in recipients:
        same = (
            each.status,
            each.tries,
            each.meaning,
            each.next,
            each.what_to_do,
            each.for_operator,
            each.last_reply,
            each.rule,
        )
        groups.setdefault((*same, each.host, each.possible_duplicate), []).append(each)
    return list(groups.values())


def _recipient(group: Sequence[Recipient], look: Look) -> list[str]:
    first = group[0]
    addresses = ", ".join(each.address if each.kind == "to" else f"{each.address} ({each.kind})" for each in group)
    untried = "not tried" if first.final else "not tried yet"
    tries = untried if not first.tries else "1 try" if first.tries == 1 else f"{first.tries} tries"
    last = f", the last one at {_moment(first.last_try_at)}" if first.last_try_at and first.tries else ""
    lines = [_heading(f"{addresses}: {first.status}", look), *_field("it means", first.meaning, look)]
    if first.last_reply:
        lines += _field("the answer", first.last_reply, look)
    if first.duplicate_meaning:
        lines += _field("maybe twice", first.duplicate_meaning, look)
    lines += _field("what is next", first.next, look)
    lines += _field("what to do", first.what_to_do, look)
    lines += _field("for operator", first.for_operator, look)
    lines += _field("tried", f"{tries}{last}{f', by {first.host}' if first.host else ''}", look)
    if first.rule:
        named = f", class {first.bounce_class}" if first.bounce_class else ""
        lines += _field("rule", f"{first.rule}{named}", look)
    return lines


def _story(explanation: Explanation, look: Look) -> list[str]:
    several = len({step.envelope for step in explanation.steps} - {0}) > 1
    lines = [_heading(f"What happened, times in UTC{', and by which of the deliveries' if several else ''}", look)]
    day = ""
    for step in explanation.steps:
        if step.at[:10] != day:
            day = step.at[:10]
            lines.append(f"  {day}")
        lines += _step(step, look, several=several)
    return lines


def _step(step: Step, look: Look, *, several: bool) -> list[str]:
    number = f"{step.envelope or '':>3} " if several else ""
    return _wrapped(f"    {step.at[11:23]} {number} ", step.text, look)


def _field(label: str, text: str, look: Look) -> list[str]:
    return _wrapped(f"  {label:<{_LABELS - 2}}", text, look) if text else []


def _wrapped(start: str, text: str, look: Look) -> list[str]:
    # Long words are replies, keys and addresses, which are copied in one piece.
    return textwrap.wrap(
        _printable(text),
        max(look.width, 40),
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    ) or [start.rstrip()]


def _heading(text: str, look: Look) -> str:
    shown = _printable(text)
    return f"\x1b[1m{shown}\x1b[0m" if look.bold else shown


def _moment(at: str | None) -> str:
    return f"{at[:10]} {at[11:19]} UTC" if at else ""


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in " ".join(text.split()))
