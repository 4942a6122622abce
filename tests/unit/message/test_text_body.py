import base64
import quopri

import pytest

from email_core.message.text_body import encode_text


def decoded(text: str) -> str:
    encoding, octets = encode_text(text)
    decode = {"7bit": bytes, "quoted-printable": quopri.decodestring, "base64": base64.b64decode}[encoding]
    return decode(octets).decode()


@pytest.mark.parametrize(
    "text", ["plain\r\n", "plain", "a\nb\rc\r\nd", "tab\there", "trailing \nblank", "", "." * 998, "a\n.\nb\n..\n"]
)
def test_ascii_text_stands_as_it_is(text: str) -> None:
    encoding, octets = encode_text(text)

    assert encoding == "7bit"
    assert octets.decode().split("\r\n") == [*text.splitlines(), ""]


@pytest.mark.parametrize("before", ["", "a\n", "\n" * 999, "a" * 998 + "\n", ("a" * 97 + "\n") * 11])
@pytest.mark.parametrize("after", ["", "a\n", "\n" * 999, "a" * 998 + "\n"])
def test_line_of_998_octets_stands_as_it_is_and_one_of_999_does_not_wherever_it_is(before: str, after: str) -> None:
    assert encode_text(f"{before}{'a' * 998}\n{after}").encoding == "7bit"
    assert encode_text(f"{before}{'a' * 999}\n{after}").encoding == "quoted-printable"


ENCODED = {
    "umlauts": ("Grüße aus dem herbstlichen Köln, und bis bald!\n", "quoted-printable"),
    "long line": ("a" * 999 + "\n", "quoted-printable"),
    "minified html": ("<p>x</p>" * 2000, "quoted-printable"),
    "mbox line": ("a\nFrom here on\nFromage\n", "quoted-printable"),
    "mbox line first": ("From here on\n", "quoted-printable"),
    "mbox line among others": ("ü" + "x " * 400 + "\nFrom " + "here " * 40 + "\n", "quoted-printable"),
    "what a boundary looks like": ("a\n--=_x\n", "quoted-printable"),
    "control characters": ("a\x00b\x07c\x0b and quite a bit more of text\n", "quoted-printable"),
    "dot alone": ("ü and quite a bit more of text\n.\n", "quoted-printable"),
    "dot behind a soft line break": ("ü " + "x" * 73 + " .\n", "quoted-printable"),
    "blank that makes a line too long": ("ü" + "x" * 69 + " \n" + "x" * 74 + " \n" + "x" * 74 + "\t\n", "quoted-printable"),
    "japanese": ("注文の確認\n" * 30, "base64"),
    "emoji": ("😀" * 500, "base64"),
    "equals signs": ("=" * 999, "base64"),
}


@pytest.mark.parametrize(("text", "encoding"), ENCODED.values(), ids=ENCODED)
def test_other_text_is_encoded_and_decodes_to_itself(text: str, encoding: str) -> None:
    chosen, octets = encode_text(text)
    lines = octets.split(b"\r\n")

    assert chosen == encoding
    assert decoded(text) == text.rstrip("\n").replace("\n", "\r\n") + "\r\n"
    assert all(len(line) <= 76 for line in lines) and lines[-1] == b""
    assert not any(line.startswith(b"From ") or line == b"." or line.endswith((b" ", b"\t")) for line in lines)
    assert b"=_" not in octets


@pytest.mark.parametrize("line_end", ["\n", "\r", "\r\n"])
def test_every_line_end_becomes_crlf(line_end: str) -> None:
    assert decoded(f"a{line_end}{line_end}b{line_end}") == "a\r\n\r\nb\r\n"
    assert decoded(f"ä{line_end}{line_end}b and more{line_end}") == "ä\r\n\r\nb and more\r\n"
