"""The parameters of RFC 3461: what is read, what is refused, and that what is kept can be written again."""

from __future__ import annotations

import pytest

from email_core.message.dsn_options import (
    MessageOptions,
    RecipientOptions,
    encode_xtext,
    mail_parameters,
    notify_of,
    notify_text,
    rcpt_parameters,
    read_message_options,
    read_recipient_options,
)
from email_core.message.refusal import MessageRefused
from email_core.returns.status_report import typed_address


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ([], MessageOptions()),
        (["SIZE=100", "BODY=8BITMIME", "SMTPUTF8"], MessageOptions()),
        (["RET=FULL"], MessageOptions(ret="FULL")),
        (["ret=hdrs", "ENVID=QQ314159"], MessageOptions("HDRS", "QQ314159")),
        (["ENVID=a+2Bb+3Dc+20d"], MessageOptions(envid="a+b=c d")),
        (["ENVID=" + "x" * 100], MessageOptions(envid="x" * 100)),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_options_of_mail_are_read(parameters: list[str], expected: MessageOptions) -> None:
    assert read_message_options(parameters) == expected


@pytest.mark.parametrize(
    ("parameter", "notify", "orcpt"),
    [
        ("NOTIFY=NEVER", frozenset({"NEVER"}), ""),
        ("notify=success,Failure,DELAY", frozenset({"SUCCESS", "FAILURE", "DELAY"}), ""),
        ("NOTIFY=DELAY,DELAY", frozenset({"DELAY"}), ""),
        ("ORCPT=rfc822;Bob+2Bnews@Example.COM", None, "rfc822;Bob+news@Example.COM"),
        ("ORCPT=RFC822;a+20b@example.com", None, "rfc822;a b@example.com"),
        ("ORCPT=utf-8;\\x{E9}@example.com", None, "utf-8;\\x{E9}@example.com"),
    ],
)
def test_options_of_rcpt_are_read(parameter: str, notify: frozenset[str] | None, orcpt: str) -> None:
    assert read_recipient_options(["FOO=bar", parameter]) == RecipientOptions(notify, orcpt)


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        (["RET=SOME"], "RET must be FULL or HDRS"),
        (["RET"], "RET must be"),
        (["RET=FULL", "ret=FULL"], "RET is given twice"),
        (["ENVID="], "ENVID must have 1 to 100"),
        (["ENVID=" + "x" * 101], "ENVID must have 1 to 100"),
        (["ENVID=a=b"], "ENVID is not xtext"),
        (["ENVID=a+b"], "ENVID is not xtext"),
        (["ENVID=a+2b"], "ENVID is not xtext"),
        (["ENVID=é"], "ENVID is not xtext"),
        (["ENVID=a+0D+0ABcc:"], "ENVID has a character"),
        (["ENVID=+00"], "ENVID has a character"),
        (["ENVID=+E9"], "ENVID has a character"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_option_of_mail_that_is_wrong_is_refused_by_name(parameters: list[str], names: str) -> None:
    with pytest.raises(MessageRefused) as refused:
        read_message_options(parameters)

    assert refused.value.text.startswith(names)
    assert (refused.value.code, refused.value.enhanced) == (501, "5.5.4")


@pytest.mark.parametrize(
    ("parameter", "names"),
    [
        ("NOTIFY=", "NOTIFY must be NEVER"),
        ("NOTIFY=NEVER,DELAY", "NOTIFY must be NEVER"),
        ("NOTIFY=SOMETIMES", "NOTIFY must be NEVER"),
        ("NOTIFY=SUCCESS,", "NOTIFY must be NEVER"),
        ("ORCPT=bob@example.com", "ORCPT must be type;address"),
        ("ORCPT=rfc822;", "ORCPT must be type;address"),
        ("ORCPT=rfc 822;x", "ORCPT must be type;address"),
        ("ORCPT=rfc822;" + "x" * 500, "ORCPT must be type;address"),
        ("ORCPT=rfc822;x+0D+0ARCPT", "ORCPT has a character"),
        ("ORCPT=rfc822;x y", "ORCPT is not xtext"),
        ("ORCPT=rfc822;\\x{E9}@example.com", "ORCPT has embedded Unicode"),
        ("ORCPT=rfc822;é@example.com", "ORCPT is not xtext"),
    ],
    ids=lambda value: value[:40],
)
def test_option_of_rcpt_that_is_wrong_is_refused_by_name(parameter: str, names: str) -> None:
    with pytest.raises(MessageRefused) as refused:
        read_recipient_options([parameter])

    assert refused.value.text.startswith(names)


@pytest.mark.parametrize("text", ["QQ314159", "a+b=c d", "~!", "".join(map(chr, range(32, 127)))])
def test_xtext_is_read_back_as_it_was(text: str) -> None:
    encoded = encode_xtext(text)

    assert " " not in encoded and "=" not in encoded
    options = RecipientOptions(orcpt=f"rfc822;{text}")
    assert read_recipient_options(rcpt_parameters(options)) == options


def test_xtext_of_an_address_outside_of_ascii_is_ascii() -> None:
    assert encode_xtext("é@example.com") == "\\x{E9}@example.com"


def test_orcpt_in_utf8_is_kept_in_its_form_for_ascii() -> None:
    options = read_recipient_options(["ORCPT=utf-8;gr\u00fc+2Bx@example.com"])

    assert options.orcpt == "utf-8;gr\\x{FC}+x@example.com"
    # RFC 6533 section 3: `+` and `=` have this form, too, in a utf-8-addr-xtext.
    assert rcpt_parameters(options) == ["ORCPT=utf-8;gr\\x{FC}\\x{2B}x@example.com"]


@pytest.mark.parametrize(
    ("address", "sent"),
    [
        ("ann@example.com", ["ORCPT=rfc822;ann@example.com"]),
        ("ann+a=b@example.com", ["ORCPT=rfc822;ann+2Ba+3Db@example.com"]),
        ("gr\u00fc+\u4e2d=\U0001f4e7@example.com", ["ORCPT=utf-8;gr\\x{FC}\\x{2B}\\x{4E2D}\\x{3D}\\x{1F4E7}@example.com"]),
        ("x" * 488 + "@a.bc", ["ORCPT=rfc822;" + "x" * 488 + "@a.bc"]),  # RFC 3461 section 4.2: 500 characters
        ("x" * 489 + "@a.bc", []),
        ("\u00fc" * 32 + "@" + "a" * 63 + ".test", ["ORCPT=utf-8;" + "\\x{FC}" * 32 + "@" + "a" * 63 + ".test"]),
        ("", []),
    ],
    ids=["ascii", "xtext", "utf8", "longest", "too-long", "long-utf8", "none"],
)
def test_orcpt_of_ours_names_the_recipient_that_the_client_gave_none_for(address: str, sent: list[str]) -> None:
    assert rcpt_parameters(RecipientOptions(), address) == sent
    given = RecipientOptions(orcpt="rfc822;list@example.com")
    assert rcpt_parameters(given, address) == ["ORCPT=rfc822;list@example.com"]
    if sent:
        back = typed_address(read_recipient_options(sent).orcpt)
        assert back == (address if len(address) < 254 else "")


def test_orcpt_that_is_too_long_for_its_form_in_ascii_is_left_out() -> None:
    options = read_recipient_options(["ORCPT=utf-8;" + "\u00fc" * 100 + "@example.com"])
    assert rcpt_parameters(options, "ann@example.com") == []  # and is no other one: it was given


def test_notify_is_written_in_one_order() -> None:
    assert notify_text(frozenset(("DELAY", "SUCCESS"))) == "SUCCESS,DELAY"
    assert notify_text(frozenset(("NEVER",))) == "NEVER"
    assert notify_text(None) == ""
    for asked in (None, frozenset(("NEVER",)), frozenset(("DELAY", "SUCCESS"))):
        assert notify_of(notify_text(asked)) == asked


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("", []),
        ("NEVER", ["NOTIFY=FAILURE"]),
        ("SUCCESS,DELAY", ["NOTIFY=SUCCESS,FAILURE,DELAY"]),
        ("FAILURE", ["NOTIFY=FAILURE"]),
    ],
)
def test_failure_is_always_asked_of_the_next_server(asked: str, sent: list[str]) -> None:
    assert rcpt_parameters(RecipientOptions(notify_of(asked))) == sent


def test_header_is_asked_of_the_next_server_whatever_the_client_said() -> None:
    assert mail_parameters(MessageOptions()) == ["RET=HDRS"]
    assert mail_parameters(MessageOptions("HDRS", "a b+c")) == ["RET=HDRS", "ENVID=a+20b+2Bc"]
    assert mail_parameters(MessageOptions("FULL")) == ["RET=HDRS"]
