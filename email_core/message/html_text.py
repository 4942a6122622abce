"""A text part for a message that came with HTML only.

html2text lays the text out, but never sees the HTML: its parser, and the standard library's below it, take minutes for
64 KB of "<a " or of line breaks, and no clock may stop them here. What it gets are the events of a linear scan, with
nothing that its output could grow out of proportion with: few tags, no attributes, and nesting that ends somewhere.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from email_core.message.limits import MAX_HTML_LAID_OUT, MAX_HTML_READ

if TYPE_CHECKING:
    from html2text import HTML2Text

_LAID_OUT = frozenset(
    ("p", "div", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "pre", "dl", "dt", "dd", "tr")
)
_NESTED = frozenset(("ul", "ol", "blockquote", "pre", "dl"))
_MAX_NESTING = 8  # of each; html2text indents every line of a list by its depth
_UNSEEN = frozenset(("style", "script", "title", "template", "object", "iframe"))
_UNTERMINATED_QUOTES = 16  # after so many tags with an open quote, quotes no longer hide a ">"

_tag = re.compile(r"""<(/?)([a-zA-Z][a-zA-Z0-9:-]{0,40}+)([^"'>]*+(?:(?:"[^"]*+"|'[^']*+')[^"'>]*+)*+)>""")
_rough_tag = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:-]{0,40}+)([^>]*+)>")
_href = re.compile(r"""(?:^|[\s"'/])href\s*+=\s*+(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_alt = re.compile(r"""(?:^|[\s"'/])alt\s*+=\s*+(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_MAX_ATTRIBUTES = 4096  # characters of a tag that are searched for a link: two searches that give up early cost as much
_link_worth_showing = re.compile(r"(?:https?://|mailto:|tel:)[^\s<>]+", re.IGNORECASE)
_blanks = re.compile(r"\s++")
_blank_lines = re.compile(r"\n{3,}")


def text_from_html(source: str) -> str:
    """The text of an HTML body, with the targets of its links, in lines that end with LF; empty when it has none.

    HTML of more than MAX_HTML_LAID_OUT characters is only freed of its tags, and MAX_HTML_READ characters are read.
    """
    if len(source) <= MAX_HTML_LAID_OUT:
        text = _laid_out(source)
    else:
        text = _tags_stripped(source[:MAX_HTML_READ]) + "\n\n[...]" * (len(source) > MAX_HTML_READ)
    lines = [line.rstrip() for line in text.replace("\xa0", " ").splitlines()]
    text = _blank_lines.sub("\n\n", "\n".join(lines)).strip("\n")
    return f"{text}\n" if text.strip() else ""


def _laid_out(source: str) -> str:
    # Imported here: 27 milliseconds that a message with a text of its own does not pay.
    from html2text import HTML2Text

    converter = HTML2Text(bodywidth=0)
    converter.ignore_tables = True  # mail is laid out in tables; their borders would be all that one sees
    opened: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    for tag, text in _with_link_targets(_tokens(source)):
        name = tag.lstrip("/")
        if not tag:
            _write(converter, text, opened["pre"] > 0)
        elif name not in _NESTED:
            converter.handle_tag(name, {}, start=tag == name)
        elif tag == name and opened[name] >= (1 if name == "pre" else _MAX_NESTING):
            skipped[name] += 1
        elif tag == name:
            opened[name] += 1
            converter.handle_tag(name, {}, start=True)
        elif skipped[name]:
            skipped[name] -= 1
        elif opened[name]:
            opened[name] -= 1
            converter.handle_tag(name, {}, start=False)
    return converter.finish()


def _write(converter: HTML2Text, text: str, preformatted: bool) -> None:
    if preformatted:
        text = _blank_lines.sub("\n\n", "\n".join(text.splitlines()) + "\n" * text.endswith("\n"))
    # True: the text is not to be escaped for Markdown, whose backslashes would confuse a human reader.
    converter.handle_data(text, True)


def _tags_stripped(source: str) -> str:
    pieces = []
    for tag, text in _with_link_targets(_tokens(source)):
        if not tag:
            pieces.append(_blanks.sub(" ", text))
        elif tag != "tr":
            pieces.append("\n" if tag in ("br", "/tr", "li", "hr") else "\n\n")
    return "\n".join(" ".join(line.split()) for line in "".join(pieces).split("\n"))


def _with_link_targets(tokens: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The tokens that matter for the layout: anchors, images and cells as text, and `(tag, "")` for the laid-out tags."""
    target = ""
    shown: list[str] = []
    for tag, text in tokens:
        if not tag:
            if target:
                shown.append(text)
            yield tag, text
        elif tag == "a":
            target, shown = _attribute(_href, text), []
        elif tag == "/a" and target:
            if _link_worth_showing.fullmatch(target) and "".join(shown).strip() not in (target, target.removeprefix("mailto:")):
                yield "", f" <{target}>"
            target = ""
        elif tag == "img" and (alternative := _attribute(_alt, text)):
            yield "", f" {alternative} "
        elif tag in ("/td", "/th"):
            yield "", " "
        elif tag.lstrip("/") in _LAID_OUT:
            yield tag, ""


def _attribute(pattern: re.Pattern[str], attributes: str) -> str:
    match = pattern.search(attributes, 0, _MAX_ATTRIBUTES)
    return _unescaped(next(filter(None, match.groups()), "")).strip() if match else ""


def _tokens(source: str) -> Iterator[tuple[str, str]]:
    """`("", text)`, `("name", attributes)` and `("/name", "")` in their order; comments and unseen elements are left out.

    Linear: every search either moves on to what it found or ends the scan, but for the few that `quotes_left` counts.
    """
    position = 0
    quotes_left = _UNTERMINATED_QUOTES
    last_end = source.rfind(">")
    while (start := source.find("<", position)) >= 0:
        if start > position:
            yield "", _unescaped(source[position:start])
        following = source[start + 1 : start + 2]
        match = None
        if start < last_end and (following == "/" or following.isalpha()):
            match = _tag.match(source, start) if quotes_left else None
            if match is None:
                quotes_left = max(0, quotes_left - 1)
                match = _rough_tag.match(source, start)
        if match:
            closing, name, attributes = match.groups()
            name = name.lower()
            position = match.end()
            yield f"{closing}{name}", attributes
            if name in _UNSEEN and not closing:
                position = _end_of_unseen(source, position, name)
        elif following in ("!", "?", "/"):
            closer = "-->" if source.startswith("<!--", start) else ">"
            end = source.find(closer, start + 2)
            position = end + len(closer) if end >= 0 else 0
        else:
            yield "", "<"
            position = start + 1
        if position <= start:
            return  # what is never closed hides the rest, as in a browser
    if position < len(source):
        yield "", _unescaped(source[position:])


def _end_of_unseen(source: str, position: int, name: str) -> int:
    end = re.compile(f"</{name}", re.IGNORECASE).search(source, position)
    return end.start() if end else 0  # nothing may follow what is never closed


def _unescaped(text: str) -> str:
    if "&" not in text:
        return text
    try:
        return html.unescape(text)
    except ValueError:  # a character reference of more digits than Python converts
        return text
