"""The header of a message that came in raw UTF-8 as one in ASCII, which every server takes.

Printers, scanners and scripts of old write `Subject: Grüße` and never heard of SMTPUTF8. A submission server may mend what has
a clear solution (RFC 6409 section 8), and what stands in text, in names and in file names has one: the encoded words of RFC
2047 and the parameters of RFC 2231, as `compose` writes them. Nothing encodes an address, an id or a date.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from email_core.message.encoded_words import PHRASE_WORD, encoded_words, fold_words, parameter, structured_field
from email_core.message.limits import ENCODED_WORD_LINE, MAX_ENCODED_WORD, MAX_LINE
from email_core.message.mailbox import ENCODED_WORD, MailboxError, Token, read_tokens
from email_core.message.mime_header import MAX_HEADER, Field, Header, display_name
from email_core.message.refusal import MALFORMED, TOO_LARGE, MessageRefused

_ADDRESSES = frozenset((
    "from", "sender", "reply-to", "to", "cc", "resent-from", "resent-sender", "resent-reply-to", "resent-to", "resent-cc",
    "disposition-notification-to", "return-receipt-to", "errors-to", "mail-followup-to", "mail-reply-to", "apparently-to",
    "x-confirm-reading-to", "list-id",
))  # fmt: skip
_PARAMETERS = ("content-type", "content-disposition")
# Fields of a syntax in which no text stands; what is not named here is unstructured (RFC 5322 section 3.6.8).
_structured = re.compile(
    "date|resent-date|message-id|resent-message-id|in-reply-to|references|received|received-spf|return-path|delivered-to|"
    "mime-version|content-(?!description$).*|dkim-.*|domainkey-.*|arc-.*|authentication-results|list-.*|auto-submitted|"
    "feedback-id|original-recipient|autocrypt|require-recipient-valid-since"
)
_text_encoded_word = re.compile(rf"(?:(?<= )|\A){ENCODED_WORD.pattern}(?= |\Z)")
_quoted_pair = re.compile(r"\\(.)")
_main_value = re.compile(r"[!#-'*+\-./0-9A-Z^_`a-z{|}~]+")
_parameter = re.compile(
    r"""(?: *;)+ *(?P<name>[!#-'*+\-.0-9A-Z^_`a-z{|}~]+) *= *(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^ ;"()\\]+))"""
)
_FEW_OCTETS = 4 * 1024  # of a header are encoded in some ten milliseconds, whatever they are
_REMEDY = "Encode them (RFC 2047), or say SMTPUTF8 with MAIL (RFC 6531)."

# A run of text, and whether it is an encoded word that stays as it is.
_Run = tuple[str, bool]


def in_ascii(header: Header, *, unsent: Collection[str] = ()) -> Header:
    """The header with raw UTF-8 encoded; `unsent` are names of fields that stay as they are, for nobody gets to see them.

    Fields in ASCII stay octet for octet. Raises MessageRefused when UTF-8 stands where nothing encodes it.
    """
    fields = tuple(
        field if field.raw.isascii() or field.name in unsent else Field(field.name, _encoded(field)) for field in header.fields
    )
    if sum(len(field.raw) for field in fields) > MAX_HEADER:
        text = f"The header is larger than {MAX_HEADER} octets in encoded words. Leave out fields that nobody needs."
        raise MessageRefused(TOO_LARGE, text)
    return Header(fields, header.body_start)


def may_encode_much(message: bytes) -> bool:
    """Whether encoding the header may take so long that an event loop should not wait for it."""
    end = message.find(b"\r\n\r\n", 0, MAX_HEADER)
    header = message[: end if end >= 0 else MAX_HEADER]
    return len(header) > _FEW_OCTETS and not header.isascii()


def _encoded(field: Field) -> bytes:
    name = field.raw.partition(b":")[0].decode()
    # A tab stands where somebody folded; in an encoded word it would be a control character.
    value = field.value.replace("\t", " ")
    if field.name in _ADDRESSES:
        encoded = fold_words(name, _address_words(field, value))
    elif field.name in _PARAMETERS:
        encoded = _with_parameters(field, name, value)
    elif _structured.fullmatch(field.name):
        raise _refused(field, "outside of ASCII, where none may stand encoded. Leave them out, or say SMTPUTF8 with MAIL.")
    else:
        first = min(max(ENCODED_WORD_LINE - len(name) - 2, 0), MAX_ENCODED_WORD)
        encoded = fold_words(name, _words_of_runs(_runs_of_text(value), first, MAX_ENCODED_WORD))
    if any(len(line) > MAX_LINE for line in encoded.split(b"\r\n")):
        raise _refused(field, f"outside of ASCII, and can't be folded to lines of {MAX_LINE} octets. {_REMEDY}")
    return encoded + b"\r\n"


def _runs_of_text(text: str) -> list[_Run]:
    """Text with the encoded words in it. Blanks between two of them are none (RFC 2047 section 6.2)."""
    runs: list[_Run] = []
    at = 0
    for match in _text_encoded_word.finditer(text):
        if match[0].isascii():
            runs += [(text[at : match.start()], False), (match[0], True)]
            at = match.end()
    runs.append((text[at:], False))
    return [(run, encoded) for run, encoded in runs if encoded or run.strip(" ")]


def _runs_of_phrase(tokens: Sequence[Token]) -> list[_Run]:
    """A name with the encoded words in it. The blank that separates text from one of them must be in the text."""
    runs: list[_Run] = []
    text: list[str] = []  # "" for an encoded word beside it
    for token in tokens:
        if token.kind == "atom" and token.text.isascii() and ENCODED_WORD.fullmatch(token.text):
            if any(text):
                runs.append((" ".join([*text, ""]), False))
            runs.append((token.text, True))
            text = [""]
        else:
            text.append(token.text)
    if any(text):
        runs.append((" ".join(text), False))
    return runs


def _words_of_runs(runs: Sequence[_Run], first: int, rest: int) -> list[bytes]:
    words: list[bytes] = []
    for text, encoded in runs:
        words += [text.encode()] if encoded else encoded_words(text, first=rest if words else first, rest=rest)
    return words


def _address_words(field: Field, value: str) -> list[bytes]:
    """The words of an address field, a fold between any two of which is one that was a blank before or is free to be one."""
    try:
        tokens, comments = read_tokens(value)
    except MailboxError as error:
        raise _refused(field, f"outside of ASCII, and {error.reason}. {_REMEDY}") from error
    marked = [*tokens, *(Token("comment", value[start:end], start, end) for start, end in comments)]
    words: list[bytes] = []
    first = min(ENCODED_WORD_LINE - len(field.name) - 3, PHRASE_WORD)  # the first word stands beside the name of the field
    glue_at = -1
    for element in _elements(sorted(marked, key=lambda token: token.start)):
        phrase = _foreign_phrase(field, element)
        replaced = {token.start for token in phrase}
        for token in element:
            if token.start in replaced:
                if token is phrase[0]:  # RFC 2047 section 5 (3): encoded words stand apart
                    words += _words_of_runs(_runs_of_phrase(phrase), PHRASE_WORD if words else first, PHRASE_WORD)
                continue
            if not token.text.isascii():
                words += _comment_words(token.text, PHRASE_WORD if words else first)
            elif token.start == glue_at:
                words[-1] += value[token.start : token.end].encode()
            else:
                words.append(value[token.start : token.end].encode())
            glue_at = token.end
    return words


def _elements(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """The tokens of each mailbox and each name of a group, with the comma, colon or semicolon behind it."""
    element: list[Token] = []
    closed_by = ""
    for token in tokens:
        element.append(token)
        if closed_by:
            closed_by = "" if token.kind == closed_by else closed_by
        elif token.kind in "<[":
            closed_by = ">" if token.kind == "<" else "]"
        elif token.kind in ",:;":
            yield element
            element = []
    yield element


def _foreign_phrase(field: Field, element: Sequence[Token]) -> list[Token]:
    """The tokens of a name that is not ASCII; none when it is. Raises MessageRefused when an address is not ASCII."""
    words = [token for token in element if token.kind != "comment"]
    kinds = [token.kind for token in words]
    if "<" in kinds:
        phrase = words[: kinds.index("<")]
    elif "@" in kinds:
        phrase = []
    else:
        # The name of a group, or a name alone, which old programs write without an address.
        phrase = words[:-1] if kinds and kinds[-1] in (",", ":", ";") else words
    if not all(token.text.isascii() for token in words[len(phrase) :]):
        raise _refused(field, "outside of ASCII in an address, which nothing encodes. Say SMTPUTF8 with MAIL (RFC 6531).")
    if all(token.text.isascii() for token in phrase):
        return []
    if any(token.kind not in ("atom", "quoted") for token in phrase):
        raise _refused(field, f"outside of ASCII in a name that needs double quotes. Put it in quotes. {_REMEDY}")
    return list(phrase)


def _comment_words(comment: str, first: int) -> list[bytes]:
    text = _quoted_pair.sub(r"\1", comment[1:-1]).strip(" ")
    words = _words_of_runs(_runs_of_text(text), first, PHRASE_WORD)
    words[0] = b"(" + words[0]
    words[-1] += b")"
    return words


def _with_parameters(field: Field, name: str, value: str) -> bytes:
    main = _main_value.match(value)
    found: list[tuple[str, str, str]] = []
    at = main.end() if main else 0
    while main and (match := _parameter.match(value, at)):
        text = _quoted_pair.sub(r"\1", match["quoted"]) if match["bare"] is None else match["bare"]
        found.append((match["name"], text, match[0].lstrip("; ")))
        at = match.end()
    names = {each.lower() for each, _, _ in found}
    if main is None or value[at:].strip("; ") or len(names) < len(found):
        text = f'outside of ASCII, and its parameters have two readings. Write each once, as filename="...". {_REMEDY}'
        raise _refused(field, text)
    parameters: list[bytes] = []
    for each, text, written in found:
        if written.isascii():
            parameters.append(written.encode())
        elif each.lower() in ("boundary", "charset") or "*" in each:
            raise _refused(field, f"outside of ASCII in {each[:20]}, which takes none. Leave them out.")
        elif not {f"{each.lower()}*", f"{each.lower()}*0*", f"{each.lower()}*0"} & names:
            # With the form of RFC 2231 beside it, it says the same for readers of old, who differ in which they take.
            parameters += parameter(each, text)
    return structured_field(name, main[0], parameters)


def _refused(field: Field, text: str) -> MessageRefused:
    return MessageRefused(MALFORMED, f"The {display_name(field.name[:60])} field has characters {text}")
