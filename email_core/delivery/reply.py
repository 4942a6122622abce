"""SMTP replies: read once into code, enhanced status code and text, so that nothing later looks at a receiver's bytes again.

Everything here is hostile input: the text that leaves is printable ASCII of bounded length.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from email_core.delivery.outcome import Reply

MAX_TEXT = 1000  # characters kept of a reply; the longest known explanations, Gmail's, have about 600
CLOSING = 421  # RFC 5321 section 3.8: the server closes the connection after it
_MAX_LINES = 50  # lines looked at; what follows is never read

# RFC 3463 section 2: class "." subject "." detail, up to three digits each; RFC 2034 section 4 puts it first in the text.
_leading = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?=[\s:;,-]|$)", re.ASCII)
# qmail and its heirs put it last instead, as in "(#5.1.1)".
_trailing = re.compile(r"\(#([245])\.(\d{1,3})\.(\d{1,3})\)", re.ASCII)
_unprintable = re.compile(r"[^\x20-\x7e]")
_unprintable_in_lines = re.compile(r"[^\x20-\x7e\n]")


def parse_reply(code: int, lines: Iterable[str]) -> Reply:
    """The reply of that code and those text lines, given without code and line end.

    An enhanced status code counts only when its class is the code's first digit (RFC 2034 section 4); one that does not
    fit stays in the text. Every line of a long reply repeats it, and that repetition is dropped.
    """
    enhanced = ""
    texts: list[str] = []
    length = 0
    for number, line in enumerate(lines):
        if number == _MAX_LINES or length > MAX_TEXT:
            break
        line = _printable(line)
        found = _leading.match(line)
        if found and found[1] == str(code)[:1] and (enhanced in ("", _joined(found))):
            enhanced = _joined(found)
            line = line[found.end() :].lstrip(" :;,-")
        if line:
            texts.append(line)
            length += len(line) + 1
    text = "\n".join(texts)
    if len(text) > MAX_TEXT:
        text = text[: MAX_TEXT - 3] + "..."
    found = None if enhanced else _trailing.search(text)
    if found and found[1] == str(code)[:1]:
        enhanced = _joined(found)
    return Reply(code, enhanced, text)


def printable(text: str) -> str:
    """What a server said, as lines of printable ASCII: all that RFC 5321 section 4.2 lets it say."""
    return _unprintable_in_lines.sub("?", text.replace("\t", " "))


def fit_to_keep(text: str) -> str:
    """A text of the timeline or an outcome, which may hold an address in any script: what can't be shown becomes `?`."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() or character == "\n" else "?" for character in text)


def accepted(reply: Reply) -> bool:
    """Whether the command of this reply was done (2yz)."""
    return 200 <= reply.code <= 299


def temporary_by_default(reply: Reply | None) -> bool:
    """Whether a failure may pass: all but a clear 5yz. What can't be told is temporary, or mail would be lost by surprise."""
    return reply is None or not 500 <= reply.code <= 599


def _printable(line: str) -> str:
    # RFC 5321 section 4.2: a reply's text is tabs and printable ASCII. The rest could forge a line or a terminal command.
    # Cut before replacing: only what can be kept is worth the work, whatever length was sent.
    return _unprintable.sub("?", line[: MAX_TEXT + 20].replace("\t", " ")).strip()


def _joined(found: re.Match[str]) -> str:
    return f"{found[1]}.{int(found[2])}.{int(found[3])}"
