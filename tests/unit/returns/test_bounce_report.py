"""Bounces of every form that we know of are read, and none that is broken, hostile or odd makes anything fail."""

from __future__ import annotations

import base64
import io
import random
import time
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from email_core.message.status import Action
from email_core.returns.bounce_report import MAX_STATUS_PARTS, BounceReport, Kind, read_bounce
from email_core.returns.status_report import MAX_BLOCKS, read_status
from tests.unit.returns.bounce_texts import CASES, Case, dsn

LONGEST = 3.0  # seconds for the worst of them on a busy machine; a usual report takes some milliseconds


def told(report: BounceReport) -> str:
    if report.kind is not Kind.REPORT:
        return str(report.kind)
    return "|".join(f"{each.action} {each.enhanced} {each.code} {next(iter(each.addresses), '')}" for each in report.recipients)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_bounce_of_a_known_form_is_read(case: Case) -> None:
    read = told(read_bounce(case.raw.encode()))
    assert read == case.want or read.startswith(f"{case.want} ")


def test_table_of_forms_is_as_long_as_it_says() -> None:
    assert len(CASES) >= 60


def test_report_keeps_the_words_of_the_server_without_the_code_and_who_said_them() -> None:
    [each] = read_bounce(CASES["postfix"].raw.encode()).recipients
    assert each.reply == (
        550,
        "5.1.1",
        "<ann@fabrikam.test>: Recipient address rejected: User unknown in virtual mailbox table",
    )
    assert each.remote_mta == "mx.fabrikam.test"
    report = read_bounce(CASES["gmail"].raw.encode())
    assert report.recipients[0].remote_mta == "gmail-smtp-in.l.google.com"
    assert report.recipients[0].reply.text.startswith("The email account that you tried to reach does not exist.")
    assert report.message_id == "<original-1@contoso.test>"
    assert (report.reporting_mta, report.source) == ("mx.fabrikam.test", "fields")


def test_report_in_words_gives_the_sentence_at_the_address_and_not_that_of_another() -> None:
    first, second = read_bounce(CASES["exim-words-two"].raw.encode()).recipients
    assert (first.reply.text, second.reply.text) == ("unknown", "mailbox full")


@pytest.mark.parametrize(
    ("form", "reply"),
    [
        ("qmail-local", "<ann@fabrikam.test>: Sorry, no mailbox here by that name. (#5.1.1)"),
        ("sendmail-8-words", "User unknown 550 ann@fabrikam.test... User unknown"),
        ("mdaemon", "no such user --- End Transcript ---"),
        ("lotus-domino-words", "ann@fabrikam.test because: User ann not listed in public Name & Address Book"),
    ],
)
def test_report_in_words_gives_the_reason_where_it_stands_before_or_behind_the_code(form: str, reply: str) -> None:
    [each] = read_bounce(CASES[form].raw.encode()).recipients
    assert each.reply.text == reply


def test_original_recipient_counts_before_the_final_one() -> None:
    [each] = read_bounce(CASES["orcpt-in-xtext"].raw.encode()).recipients
    assert each.addresses == ("ann+2Blist@fabrikam.test", "x@other.test")


def test_report_that_names_nobody_says_who_stands_in_it() -> None:
    [each] = read_bounce(CASES["orange-words"].raw.encode()).recipients
    assert (each.addresses, each.mentioned) == ((), ("ann@fabrikam.test",))


def test_failure_with_an_unknown_action_and_no_code_is_no_report_of_failure() -> None:
    report = read_bounce(dsn("Final-Recipient: rfc822; ann@fabrikam.test\nAction: considered").encode())
    assert all(each.action is not Action.FAILED or not each.addresses for each in report.recipients)


def test_nested_report_within_the_returned_message_names_nobody() -> None:
    inner = dsn("Final-Recipient: rfc822; victim@else.test\nAction: failed\nStatus: 5.1.1")
    outer = (
        "From: MAILER-DAEMON@x.test\nSubject: Undelivered Mail\nContent-Type: multipart/report; boundary=o\n\n"
        f"--o\nContent-Type: text/plain\n\nYour mail was not delivered: 550 5.1.1 no such user\n"
        f"--o\nContent-Type: message/rfc822\n\n{inner}\n--o--\n"
    )
    assert [each.addresses for each in read_bounce(outer.encode()).recipients] == [()]


ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "lf": lambda raw: raw.encode(),
    "crlf": lambda raw: raw.replace("\n", "\r\n").encode(),
    "cr": lambda raw: raw.replace("\n", "\r").encode(),
    "mixed-ends": lambda raw: raw.replace("\n\n", "\r\n\n").encode(),
    "mbox": lambda raw: b"From MAILER-DAEMON Mon Nov  2 10:00:00 2026\n" + raw.encode(),
    "trace-before": lambda raw: b"Received: from mx (mx [192.0.2.1])\n\tby us; Mon, 2 Nov 2026 10:00:00 +0000\n" + raw.encode(),
    "utf-16": lambda raw: raw.encode("utf-16"),
    "latin-1-mixed-in": lambda raw: raw.replace("Your", "Votre échec").encode("latin-1", "replace"),
    "nul": lambda raw: raw.replace(" ", " \0", 5).encode(),
    "upper-case-fields": lambda raw: "\n".join(
        line.upper() if line.startswith(("Final-", "Action", "Status", "Content-Type: message")) else line
        for line in raw.split("\n")
    ).encode(),
    "last-part-missing": lambda raw: raw[: raw.rfind("\n--")].encode(),
    "no-end-boundary": lambda raw: raw.replace("--=_report--", "").encode(),
    "no-mime-version": lambda raw: raw.replace("MIME-Version: 1.0\n", "").encode(),
    "blank-lines-between": lambda raw: raw.replace("\n\n", "\n\n\n\n").encode(),
    "trailing-blanks": lambda raw: raw.replace("\n", " \n").replace("\n \n", "\n\n").encode(),
}
UNHARMED = (
    "lf",
    "crlf",
    "cr",
    "mixed-ends",
    "mbox",
    "trace-before",
    "upper-case-fields",
    "last-part-missing",
    "no-mime-version",
)


# What an encoding does to a form: hexadecimal digits in capitals, the words themselves left out.
HARMED = {("upper-case-fields", "rfc6533-utf8-address"), ("last-part-missing", "groupwise")}


@pytest.mark.parametrize("name", UNHARMED)
def test_every_form_reads_the_same_however_its_lines_end(name: str) -> None:
    read = {form: told(read_bounce(ENCODINGS[name](case.raw))).lower() for form, case in CASES.items()}
    assert {form: read[form] for form in CASES if (name, form) not in HARMED} == {
        form: told(read_bounce(case.raw.encode())).lower() for form, case in CASES.items() if (name, form) not in HARMED
    }


def test_forms_in_all_their_encodings_are_740_that_are_read_to_the_letter() -> None:
    assert len(CASES) * len(UNHARMED) - len(HARMED) >= 740


BROKEN: dict[str, bytes] = {  # each of them was seen to raise
    "encoded-word-of-no-charset": "From: mailer-daemon@x\nSubject: =?ü?q?x?=\n\nfailed: 550 5.1.1\n".encode(),
    "number-of-5000-digits": b"From: mailer-daemon@x\nContent-Type: text/html\n\n550 5.1.1 failed &#" + b"9" * 5000 + b";",
    "boundary-without-a-number": b"From: mailer-daemon@x\nContent-Type: multipart/mixed; boundary*=x; boundary*0=a\n\n"
    b"550 5.1.1 failed\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_message_on_which_the_standard_library_stumbles_is_read(name: str) -> None:
    report = read_bounce(BROKEN[name])
    assert told(report) == "failed 5.1.1 550 "
    assert bool(report.trouble) == (name == "boundary-without-a-number")


def test_report_in_base64_or_quoted_printable_is_read() -> None:
    fields = "Reporting-MTA: dns; mx.test\n\nFinal-Recipient: rfc822; ann@fabrikam.test\nAction: failed\nStatus: 5.1.1\n"
    for encoding, body in (
        ("base64", base64.encodebytes(fields.encode()).decode()),
        ("quoted-printable", fields.replace("@", "=40")),
    ):
        raw = (
            "Content-Type: multipart/report; boundary=r\n\n--r\nContent-Type: message/delivery-status\n"
            f"Content-Transfer-Encoding: {encoding}\n\n{body}\n--r--\n"
        )
        assert told(read_bounce(raw.encode())) == "failed 5.1.1 0 ann@fabrikam.test"


def odd_bounces() -> list[bytes]:
    """Every form in every encoding; cut off, mixed up, wrapped and repeated."""
    chance = random.Random(20261122)
    raws = [case.raw for case in CASES.values()]
    made = [encode(raw) for raw in raws for encode in ENCODINGS.values()]
    for raw in raws:
        octets = raw.encode()
        made += [octets[: chance.randrange(len(octets) + 1)] for _ in range(3)]
        lines = raw.split("\n")
        for _ in range(3):
            kept = [line for line in lines if chance.random() > 0.15]
            made.append("\n".join(kept).encode())
        chance.shuffle(lines)
        made.append("\n".join(lines).encode())
        changed = bytearray(octets)
        for _ in range(min(30, len(changed))):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        made.append(bytes(changed))
        made.append(f"Content-Type: message/rfc822\n\n{raw}".encode())
        made.append(f"Content-Type: multipart/mixed; boundary=z\n\n--z\n{raw}\n--z\n{raw}\n--z--".encode())
        made.append(dsn("Action: failed\nFinal-Recipient: rfc822; a@b.test", human=raw).encode())
    return made


def test_odd_bounces_crash_nothing_and_read_as_something() -> None:
    odd = odd_bounces()
    assert len(odd) >= 740
    kinds = [read_bounce(raw).kind for raw in odd]
    assert {kind: kinds.count(kind) > 50 for kind in Kind} == dict.fromkeys(Kind, True)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=2000))
def test_any_octets_are_read_as_something(raw: bytes) -> None:
    assert read_bounce(raw).kind in Kind


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(CASES)), st.lists(st.tuples(st.integers(0, 3000), st.binary(max_size=40)), max_size=8))
def test_known_form_with_octets_thrown_in_is_read_as_something(name: str, thrown: list[tuple[int, bytes]]) -> None:
    raw = CASES[name].raw.encode()
    for place, octets in thrown:
        raw = raw[:place] + octets + raw[place:]
    assert read_bounce(raw).kind in Kind


def zip_bomb() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", b"\0" * 50_000_000)
    return packed.getvalue()


HOSTILE: dict[str, Callable[[], bytes]] = {
    "one-long-line": lambda: b"a" * 2**20,
    "newlines-only": lambda: b"From: mailer-daemon@x.test\n\n" + b"\n" * 2**20,
    "at-signs": lambda: b"From: mailer-daemon@x\nSubject: failure notice\n\n" + b"a@" * 2**19,
    "boundaries-only": lambda: b"Content-Type: multipart/x; boundary=a\n\n" + b"--a\n" * 2**18,
    "parameters-only": lambda: b'Content-Type: multipart/x; a="' + b';"' * 2**19 + b"\n\n--a\n",
    "folded-parameters": lambda: b"Content-Type: multipart/mixed;\n" + b" a=b;\n" * 2**17 + b"\n",
    "nested-multiparts": lambda: b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (depth, depth) for depth in range(20_000)
    ),
    "nested-messages": lambda: b"Content-Type: message/rfc822\n\n" * 2**15,
    "recipients-without-end": lambda: b"Content-Type: message/delivery-status\n\n"
    + b"Final-Recipient: rfc822; a@b.test\nAction: failed\n\n" * 20_000,
    "fields-without-end": lambda: b"X: y\n" * 2**18,
    "status-parts": lambda: b"Content-Type: multipart/x; boundary=a\n\n"
    + (b"--a\nContent-Type: message/delivery-status\n\n" + b"Action: f\nStatus: 5.1.1\n\n" * 2400 + b"\n") * 16,
    "status-without-end": lambda: b"Content-Type: message/delivery-status\n\n" + b"Status: 5.1.1\n" * 2**16,
    "encoded-words": lambda: b"From: mailer-daemon@x\nSubject: =?utf-8?q?" + b"=?" * 2**18 + b"\n\nx",
    "open-tags": lambda: b"From: mailer-daemon@x\nContent-Type: text/html\n\n" + b"<style" * 2**17,
    "entities": lambda: b"From: mailer-daemon@x\nContent-Type: text/html\n\n" + b"&amp" * 2**17,
    "codes": lambda: b"From: mailer-daemon@x\nSubject: failure notice\n\n" + b"5.5.5." * 2**17,
    "words-of-delay": lambda: b"From: mailer-daemon@x\nSubject: failure notice\n\n" + b"mail delivery " * 2**16,
    "addresses": lambda: b"X-Failed-Recipients: " + b"a@b.test," * 2**16 + b"\n\nfailed 550\n",
    "zip-bomb": lambda: dsn("Final-Recipient: rfc822; ann@fabrikam.test\nAction: failed\nStatus: 5.1.1").replace(
        "--=_report--",
        "--=_report\nContent-Type: application/zip\nContent-Transfer-Encoding: base64\n\n"
        + base64.encodebytes(zip_bomb()).decode() + "--=_report--",
    ).encode(),
    "zip-bomb-as-charset": lambda: b"From: mailer-daemon@x\nContent-Type: text/plain; charset=zip\n"
    + b"Content-Transfer-Encoding: base64\n\n" + base64.encodebytes(zip_bomb()),
    "punycode-charset": lambda: b"From: mailer-daemon@x\nContent-Type: text/plain; charset=punycode\n\n"
    + b"a-zzzzzzzz" * 2**16,
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_message_takes_little_time(name: str) -> None:
    raw = HOSTILE[name]()
    read_bounce(b"")  # what is imported once does not count
    began = time.process_time()
    report = read_bounce(raw)
    assert time.process_time() - began < LONGEST
    assert len(report.recipients) <= 100


def test_report_of_many_parts_and_blocks_is_read_as_far_as_its_bounds() -> None:
    part = "--a\nContent-Type: message/delivery-status\n\n{}\n"
    named = "Final-Recipient: rfc822; r{}@b.test\nAction: failed\n"
    parts = "".join(part.format(named.format(number)) for number in range(MAX_STATUS_PARTS + 5))
    report = read_bounce(f"Content-Type: multipart/x; boundary=a\n\n{parts}".encode())
    assert len(report.recipients) == MAX_STATUS_PARTS
    blocks = "X: y\n\n" * (MAX_BLOCKS - 1)
    assert len(read_status(f"{blocks}{named.format(1)}")[1]) == 1
    assert read_status(f"{blocks}X: y\n\n{named.format(1)}")[1] == []


def test_zip_bomb_in_a_report_does_nothing_and_the_report_counts() -> None:
    assert told(read_bounce(HOSTILE["zip-bomb"]())) == "failed 5.1.1 0 ann@fabrikam.test"
