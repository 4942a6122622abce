import dataclasses

import pytest

from email_core.message.address import Address, AddressError, parse_address, parse_domain

ACCEPTED = {
    "jane@example.org": "jane@example.org",
    "Jane.Doe@Example.ORG": "Jane.Doe@example.org",
    "a@b.co": "a@b.co",
    "a+tag@example.org": "a+tag@example.org",
    "customer/department=shipping@example.org": "customer/department=shipping@example.org",
    "#$&'*+-/?=^_`{|}~@example.org": "#$&'*+-/?=^_`{|}~@example.org",
    "_@example.org": "_@example.org",
    "-a-@example.org": "-a-@example.org",
    "a.b.c.d@example.org": "a.b.c.d@example.org",
    "123@example.org": "123@example.org",
    "x" * 64 + "@example.org": "x" * 64 + "@example.org",
    "a@1.example.org": "a@1.example.org",
    "a@3com.com": "a@3com.com",
    "a@x-y.example.org": "a@x-y.example.org",
    "a@r3---sn.example.org": "a@r3---sn.example.org",
    "a@" + "b" * 63 + ".org": "a@" + "b" * 63 + ".org",
    "a@simulator.postrider.test": "a@simulator.postrider.test",
    # Exactly 254 octets with a local part of 64.
    "x" * 64 + "@" + ".".join(["b" * 61, "c" * 61, "d" * 62, "co"]): "x" * 64
    + "@"
    + ".".join(["b" * 61, "c" * 61, "d" * 62, "co"]),
    "a@exämple.com": "a@xn--exmple-cua.com",
    "a@EXÄMPLE.com": "a@xn--exmple-cua.com",
    "a@xn--exmple-cua.com": "a@xn--exmple-cua.com",
    "a@XN--EXMPLE-CUA.COM": "a@xn--exmple-cua.com",
    "a@straße.de": "a@xn--strae-oqa.de",  # non-transitional: not strasse.de
    "a@例え.テスト": "a@xn--r8jz45g.xn--zckzah",
    "a@ｅｘａｍｐｌｅ.org": "a@example.org",
    "a@例え。org": "a@xn--r8jz45g.org",
    "a@exa\u0308mple.com": "a@xn--exmple-cua.com",
    "a@نامه\u200cای.com": "a@xn--mgba3gch31f060k.com",  # a joiner where RFC 5892 appendix A.1 allows it
    "jörg@example.org": "jörg@example.org",
    "用户@例え.org": "用户@xn--r8jz45g.org",
    "😀@example.org": "😀@example.org",
    "é" * 32 + "@example.org": "é" * 32 + "@example.org",
}


@pytest.mark.parametrize("text", ACCEPTED)
def test_address_accepted_has_this_addr_spec(text: str) -> None:
    address = parse_address(text)

    assert address.addr_spec == ACCEPTED[text]
    assert parse_address(address.addr_spec) == address


# Each with a part of the reason, so that a case is not refused for another reason than the one it is about.
REFUSED = [
    ("", "is empty"),
    ("@", "nothing before"),
    ("jane", 'no "@"'),
    ("@example.org", "nothing before"),
    ("jane@", "no domain"),
    # controls, in every place
    ("jane@example.org\r\nBcc: x@y.co", "U+000D"),
    ("jane@example.org\n", "U+000A"),
    ("\rjane@example.org", "U+000D"),
    ("ja\x00ne@example.org", "U+0000"),
    ("ja\tne@example.org", "U+0009"),
    ("ja\x7fne@example.org", "U+007F"),
    ("ja\x85ne@example.org", "U+0085"),
    ("jane@exam\x1bple.org", "U+001B"),
    ("jane@example.org\u2028", "U+2028"),
    ("jane\u2029@example.org", "U+2029"),
    ("jane\u202e@example.org", "U+202E"),
    ("jane@\u2066example.org", "U+2066"),
    ("jane\u200f@example.org", "U+200F"),
    ("jane\ud800@example.org", "U+D800"),
    ("jane\u200b@example.org", "U+200B"),
    ("jane@exam\u00adple.org", "U+00AD"),
    ("\ufeffjane@example.org", "U+FEFF"),
    ("jane\U000e0041@example.org", "U+E0041"),
    ("ja\u200dne@example.org", "U+200D"),
    # spaces
    (" jane@example.org", "space"),
    ("jane@example.org ", "space"),
    ("jane doe@example.org", "space"),
    ("jane@exam ple.org", "space"),
    ("jane\u00a0@example.org", "space"),
    ("jane\u3000@example.org", "space"),
    # what surrounds an address elsewhere
    ("Jane <jane@example.org>", "space"),
    ("<jane@example.org>", "angle"),
    ("<>", "angle"),
    ("jane(comment)@example.org", "comment"),
    ("(comment)jane@example.org", "comment"),
    ("jane@example.org(comment)", "comment"),
    ("jane@(comment)example.org", "comment"),
    ("friends:jane@example.org;", "group"),
    ("undisclosed-recipients:;", "group"),
    ("<@relay.example:jane@example.org>", "angle"),
    ("@relay.example:jane@example.org", "route"),
    ("jane@example.org,joe@example.org", "comma"),
    ("jane@example.org;joe@example.org", "group"),
    # quoted local parts
    ('"jane"@example.org', "quoted"),
    ('"jane@victim.example"@example.org', "quoted"),
    ('"jane\\"@victim.example>"@example.org', "quoted"),
    ('ja"n"e@example.org', "quoted"),
    ("ja\\ne@example.org", "backslash"),
    # dots
    (".jane@example.org", "dot"),
    ("jane.@example.org", "dot"),
    ("jane..doe@example.org", "dot"),
    ("jane@.example.org", "dot"),
    ("jane@example..org", "dot"),
    ("jane@example.org.", "ends with a dot"),
    ("jane@.", "dot"),
    # more than one "@", routes
    ("a@b@c", "more than one"),
    ("jane@victim.example@example.org", "more than one"),
    ("jane@@example.org", "more than one"),
    ("user%x@y", "percent"),
    ("user%victim.example@example.org", "percent"),
    ("host!user@example.org", "exclamation"),
    # encoded words: Splitting the Email Atom
    ("=?utf-8?q?=6a=61=6e=65?=@example.org", "encoded word"),
    ("=?x?q?jane=40victim.example=3e=00?=jane@example.org", "encoded word"),
    ("=?utf-7?q?&AEA-?=jane@example.org", "encoded word"),
    # characters that become others
    ("jane＠victim.example@example.org", "punctuation"),
    ("jane․doe@example.org", "punctuation"),
    ("jane\u00b4@example.org", "punctuation"),
    ("e\u0301@example.org", "normalisation form C"),
    ("\u0338jane@example.org", "combining"),
    ("jane\ue000@example.org", "U+E000"),
    ("jane\u0378@example.org", "U+0378"),
    # literals and numbers
    ("jane@[192.0.2.1]", "literal"),
    ("jane@[IPv6:2001:db8::1]", "literal"),
    ("jane@192.0.2.1", "top-level"),
    ("jane@127.1", "top-level"),
    ("jane@2130706433", "without a dot"),
    ("jane@127.0.0.0x1", "top-level"),
    ("jane@example.123", "top-level"),
    # domains
    ("jane@localhost", "without a dot"),
    ("jane@-example.org", "hyphen"),
    ("jane@example-.org", "hyphen"),
    ("jane@example.-org", "hyphen"),
    ("jane@exam_ple.org", "U+005F"),
    ("jane@example.org/x", "U+002F"),
    ("jane@exa$mple.org", "U+0024"),
    ("jane@" + "b" * 64 + ".org", "label of more than 63"),
    ("a@" + ".".join(["b" * 63] * 4) + ".co", "longer than 254"),
    ("a@xn--.org", "internationalised"),
    ("a@xn--a.org", "internationalised"),
    ("a@xn--exmple-cua-.com", "internationalised"),
    ("a@xn--zzzzzzzzzz99999999.org", "internationalised"),
    ("a@exa／mple.org", "internationalised"),
    ("a@exa＠mple.org", "internationalised"),
    ("a@☃.org", "internationalised"),
    ("a@a\u200db.org", "internationalised"),
    ("a@⒈com", "internationalised"),
    ("a@" + "ä" * 60 + ".org", "internationalised"),
    # lengths
    ("x" * 65 + "@example.org", "more than 64"),
    ("é" * 33 + "@example.org", "more than 64"),
    ("x" * 64 + "@" + ".".join(["b" * 61, "c" * 61, "d" * 63, "co"]), "longer than 254"),
    ("x" * 64 + "@" + ".".join(["bücher" * 5] * 5) + ".org", "longer than 254"),
    ("a" * 1_000_000 + "@example.org", "longer than 254"),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED, ids=[ascii(text)[:50] for text, _ in REFUSED])
def test_address_refused_says_why(text: str, reason: str) -> None:
    with pytest.raises(AddressError) as refusal:
        parse_address(text)

    assert reason in refusal.value.reason
    assert refusal.value.reason.isascii() and refusal.value.reason.isprintable()


def test_key_of_addresses_that_differ_by_case_is_equal() -> None:
    assert parse_address("Jane@Example.org").key == parse_address("jane@EXAMPLE.ORG").key == "jane@example.org"
    assert parse_address("JÖRG@example.org").key == parse_address("jörg@example.org").key
    assert parse_address("STRASSE@example.org").key == parse_address("straße@example.org").key


def test_mailbox_tells_apart_what_a_receiver_may_and_case_it_does_not() -> None:
    assert parse_address("Jane@Example.org").mailbox == parse_address("jane@EXAMPLE.ORG").mailbox == "jane@example.org"
    assert parse_address("JÖRG@example.org").mailbox == parse_address("jörg@example.org").mailbox
    assert parse_address("STRASSE@example.org").mailbox != parse_address("straße@example.org").mailbox


def test_key_leaves_the_display_name_out() -> None:
    assert parse_address("jane@example.org", "Jane").key == parse_address("jane@example.org").key


def test_needs_smtputf8_only_for_a_local_part_outside_ascii() -> None:
    assert parse_address("jörg@example.org").needs_smtputf8
    assert not parse_address("joerg@exämple.org").needs_smtputf8


def test_display_name_is_kept_as_given() -> None:
    assert parse_address("jane@example.org", "Jane, Doe") == Address("jane", "example.org", "Jane, Doe")


def test_address_can_not_be_changed_after_the_check() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse_address("jane@example.org").local = "joe\r\n"  # type: ignore[misc]


def test_domain_alone_is_parsed_by_the_same_rules() -> None:
    assert parse_domain("Mail.Exämple.COM") == "mail.xn--exmple-cua.com"
    with pytest.raises(AddressError, match="without a dot"):
        parse_domain("localhost")
    with pytest.raises(AddressError, match=r"U\+000A"):
        parse_domain("example.org\n")
    with pytest.raises(AddressError, match="more than 253"):
        parse_domain("b" * 254)
