"""From fields of ordinary programs are read, and the tricks of row 8 of the security list are refused."""

from __future__ import annotations

import pytest

from email_core.message.mailbox import MailboxError, read_mailbox


@pytest.mark.parametrize(
    ("value", "address", "name"),
    [
        ("jane@example.com", "jane@example.com", ""),
        ("  jane@EXAMPLE.com\t", "jane@example.com", ""),
        ("<jane@example.com>", "jane@example.com", ""),
        ("Jane <jane@example.com>", "jane@example.com", "Jane"),
        ("Jane Q. Doe <jane@example.com>", "jane@example.com", "Jane Q. Doe"),
        ("Jane<jane@example.com>", "jane@example.com", "Jane"),
        ('"Doe, Jane" <jane@example.com>', "jane@example.com", "Doe, Jane"),
        ('"Jane \\"JD\\" Doe" <jane@example.com>', "jane@example.com", 'Jane "JD" Doe'),
        ('"<evil@example.net>" <jane@example.com>', "jane@example.com", "<evil@example.net>"),
        ("=?utf-8?q?J=C3=B6rg?= <jane@example.com>", "jane@example.com", "Jörg"),
        ("=?utf-8?b?SsO2?= =?utf-8?b?cmc=?= <jane@example.com>", "jane@example.com", "Jörg"),
        ("=?iso-8859-1?Q?J=F6rg?= Doe <jane@example.com>", "jane@example.com", "Jörg Doe"),
        ("=?none?q?J=F6rg?= <jane@example.com>", "jane@example.com", "=?none?q?J=F6rg?="),
        ("=?utf-8*de?q?J=C3=B6rg?= <jane@example.com>", "jane@example.com", "Jörg"),
        ("jane@example.com (Jane)", "jane@example.com", ""),
        ("(a (nested) one) Jane (x) <jane@example.com> (\\) y)", "jane@example.com", "Jane"),
        ("Jörg <jane@example.com>", "jane@example.com", "Jörg"),
        ("jörg@bücher.example", "jörg@xn--bcher-kva.example", ""),
    ],
)
def test_mailbox_is_read(value: str, address: str, name: str) -> None:
    found = read_mailbox(value)

    assert (found.addr_spec, found.display_name) == (address, name)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "no address"),
        ("(jane@example.com)", "no address"),
        ("Jane", 'no "@"'),
        ("a@example.com, b@example.com", "several mailboxes"),
        ("Doe, Jane <jane@example.com>", "comma outside of quotes"),
        ("<a@example.com,b@example.com>", "several mailboxes"),
        ("a@example.com b@example.com", "space"),
        ("<a@example.com><b@example.com>", "angle brackets in the wrong place"),
        ("<a@example.com> b", "angle brackets in the wrong place"),
        ("<a@example.com> <b@example.com>", "angle brackets in the wrong place"),
        ("<<a@example.com>>", "angle brackets in the wrong place"),
        ("a@example.com>", "angle brackets in the wrong place"),
        ("<a@example.com", "angle brackets in the wrong place"),
        ("Team: a@example.com;", "group syntax"),
        ("Team:;", "group syntax"),
        ("undisclosed-recipients:;", "group syntax"),
        ("<@relay.example,@b.example:a@example.com>", "names several"),
        ("<@relay.example:a@example.com>", "group syntax or a route"),
        ("a@b.example@example.com", 'more than one "@"'),
        ("a(b)@example.com", "comment inside"),
        ("a@(b)example.com", "comment inside"),
        ("<a@example.com(b)>", "comment inside"),
        ("a@example.com (", "comment that does not end"),
        ("(" * 12 + ")" * 12 + " a@example.com", "comments inside of comments"),
        ('"a b"@example.com', "space"),
        ('"ab"@example.com', "quoted local part"),
        ('"a@evil.example>"@example.com', "quoted local part"),
        ("a@[127.0.0.1]", "domain literal"),
        ("a@example.com.", "ends with a dot"),
        ("a@127.0.0.1", "top-level domain"),
        ("user%evil.example@example.com", "percent"),
        ("evil.example!user@example.com", "exclamation mark"),
        ("=?utf-8?q?a=40evil.example?=@example.com", "encoded word"),
        ("=?utf-8?q?a=40evil.example=3E?=", 'no "@"'),
        ("x <=?utf-8?q?a?=@example.com>", "encoded word"),
        ("a@=?utf-8?q?example?=.com", "not allowed in a domain"),
        ("< a@example.com >", "space"),
        ("a @ example.com", "space"),
        ("x" * 65 + "@example.com", "64 octets"),
        ("a@" + "x." * 126 + "com", "254 octets"),
        ("jane@evil.example <a@example.com>", '"@" in the name'),
        ("[x] <a@example.com>", '"[" in the name'),
        ('"Jane <a@example.com>', "quote that does not end"),
        ("Jane\\ Doe <a@example.com>", "backslash outside"),
        ("=?utf-8?q?a=0D=0ABcc=3A_x?= <a@example.com>", "control character"),
        ('"=?utf-8?q?a=0D=0ABcc=3A_x?=" <a@example.com>', "control character"),
        ("=?utf-8?b?4oCuZXZpbA==?= <a@example.com>", "control character"),
        ("=?utf-8*en?q?=E2=80=AEevil?= <a@example.com>", "control character"),
        ("=?none?q?x?= =?utf-8?q?=E2=80=AEevil?= <a@example.com>", "control character"),
        ("a@example.com (=?utf-8?q?=E2=80=AEevil?=)", "comment that has a control character"),
        ("\u202elive (x) <a@example.com>", "control character"),
        ("x" * 257 + " <a@example.com>", "256 characters"),
        ("x" * 2000 + " <a@example.com>", "longer than 2000"),
        ("a\x00@example.com", "control or invisible"),
        ("jane\u200b@example.com", "control or invisible"),
    ],
    ids=ascii,
)
def test_mailbox_with_two_readings_is_refused(value: str, reason: str) -> None:
    with pytest.raises(MailboxError) as refused:
        read_mailbox(value)

    assert reason in refused.value.reason


def test_mailbox_of_hostile_length_is_refused_at_once() -> None:
    for piece in ("(", '"', "\\", "=?", "a ", "<", ",", '"\\'):
        with pytest.raises(MailboxError):
            read_mailbox(piece * (1999 // len(piece)))
