"""ORCPT of ours: every recipient is named to a server that offers DSN, and a server that does not like it gets none."""

from __future__ import annotations

import pytest

from email_core.delivery.outcome import Disposition
from email_core.message.dsn_options import RecipientOptions
from tests.kit.couriers import attempt, commands, courier, only
from tests.kit.pipeline import build_pipeline, draft_to
from tests.kit.smtp_receiver import EXTENSIONS, Script, SmtpReceiver

WITH_DSN = (*EXTENSIONS, "DSN")
ANN, BOB, CAROL = ("ann@example.test", "bob@example.test", "carol@example.test")
REFUSED = {
    "not-implemented": "504 5.5.4 Command parameter not implemented", "unknown": "555 5.5.4 Unsupported option: ORCPT",
    "bare": "501 Syntax error in parameters", "too-long": "500 5.5.2 Line too long", "by-status": "550 5.5.4 Invalid arguments",
}  # fmt: skip


def ours(address: str, kind: str = "rfc822") -> str:
    """RCPT as we say it where the client said nothing."""
    return f"RCPT TO:<{address}> ORCPT={kind};{address}"


def offered(receiver: SmtpReceiver) -> list[str]:
    return [command for command in receiver.commands if command.startswith("RCPT")]


async def sent(receiver: SmtpReceiver, *recipients: str, **fields: object) -> list[str]:
    """What each attempt came to, of one to the recipients and another one to Carol over the same connection."""
    sender = courier(f"capture://127.0.0.1:{receiver.port}")
    reports = [await sender.attempt_delivery(attempt(*to, **fields)) for to in (recipients, (CAROL,))]
    await sender.close()
    return [str(outcome.disposition) for report in reports for outcome in report.outcomes]


@pytest.mark.peers
async def test_each_recipient_of_http_mail_is_named_to_a_server_that_offers_dsn(azurite: str) -> None:
    async with SmtpReceiver(extensions=WITH_DSN) as receiver:
        pipeline = await build_pipeline(azurite, routes=f"capture://127.0.0.1:{receiver.port}")
        await pipeline.accept(draft_to("Ann+x@example.test", "jürgen@example.test"))
        await pipeline.drain()
        await pipeline.close()
    assert offered(receiver) == [
        "RCPT TO:<Ann+x@example.test> ORCPT=rfc822;Ann+2Bx@example.test",
        "RCPT TO:<jürgen@example.test> ORCPT=utf-8;j\\x{FC}rgen@example.test",
    ]


async def test_server_that_does_not_offer_dsn_and_null_reverse_path_get_no_orcpt() -> None:
    async with SmtpReceiver() as plain, SmtpReceiver(extensions=WITH_DSN) as with_dsn:
        assert await sent(plain, ANN) == await sent(with_dsn, ANN, reverse_path="") == ["delivered"] * 2
    assert offered(plain) == offered(with_dsn) == [f"RCPT TO:<{ANN}>", f"RCPT TO:<{CAROL}>"]


async def test_orcpt_of_the_longest_addresses_is_no_longer_than_one_may_be() -> None:
    domain = ".".join(["a" * 60] * 3) + ".test"
    wide, coded = f"{chr(0xFC) * 32}@{domain}", f"{'+' * 64}@{domain}"
    escaped = "\\x{FC}"
    async with SmtpReceiver(extensions=WITH_DSN) as receiver:
        assert await sent(receiver, wide, coded) == ["delivered"] * 3
    orcpt = [line.partition("ORCPT=")[2] for line in offered(receiver)]
    assert orcpt[:2] == [f"utf-8;{escaped * 32}@{domain}", f"rfc822;{'+2B' * 64}@{domain}"]
    assert max(map(len, orcpt)) <= 500  # RFC 3461 section 4.2


@pytest.mark.parametrize("reply", REFUSED.values(), ids=REFUSED)
async def test_server_that_refuses_orcpt_gets_the_recipient_again_without_and_is_not_asked_twice(reply: str) -> None:
    async with SmtpReceiver({ours(ANN): reply}, extensions=WITH_DSN) as receiver:
        assert await sent(receiver, ANN, BOB) == ["delivered"] * 3
    assert offered(receiver) == [ours(ANN), f"RCPT TO:<{ANN}>", f"RCPT TO:<{BOB}>", f"RCPT TO:<{CAROL}>"]
    assert receiver.kept == [(ANN, BOB), (CAROL,)]


async def test_notify_of_the_client_stays_when_orcpt_is_refused() -> None:
    options = {ANN: RecipientOptions(frozenset(("SUCCESS",)))}
    line = f"RCPT TO:<{ANN}> NOTIFY=SUCCESS,FAILURE"
    async with SmtpReceiver({f"{line} ORCPT=rfc822;{ANN}": "555 5.5.4 no"}, extensions=WITH_DSN) as receiver:
        assert await sent(receiver, ANN, recipient_options=options) == ["delivered"] * 2
    assert offered(receiver)[1] == line


async def test_orcpt_of_the_client_is_not_taken_away() -> None:
    options = {ANN: RecipientOptions(orcpt="rfc822;list@contoso.test")}
    line = f"RCPT TO:<{ANN}> ORCPT=rfc822;list@contoso.test"
    async with SmtpReceiver({line: "555 5.5.4 no"}, extensions=WITH_DSN) as receiver:
        assert await sent(receiver, ANN, BOB, recipient_options=options) == ["failed", "delivered", "delivered"]
    assert offered(receiver) == [line, ours(BOB), ours(CAROL)]


@pytest.mark.parametrize(
    ("script", "lines", "end"),
    [
        ({ours(ANN): "501 5.1.3 bad address"}, [ours(ANN)], "bounced"),
        ({ours(ANN): "550 5.1.1 no such user"}, [ours(ANN)], "bounced"),
        ({ours(ANN): "501 no", f"RCPT TO:<{ANN}>": "501 no"}, [ours(ANN), f"RCPT TO:<{ANN}>"], "failed"),
    ],
    ids=["bad-address", "no-such-user", "whatever-is-said"],
)
async def test_recipient_that_is_refused_for_itself_bounces_and_the_next_one_is_named(
    script: Script, lines: list[str], end: str
) -> None:
    async with SmtpReceiver(script, extensions=WITH_DSN) as receiver:
        assert await sent(receiver, ANN, BOB) == [end, "delivered", "delivered"]
    assert offered(receiver) == [*lines, ours(BOB), ours(CAROL)]


async def test_server_that_closes_at_the_second_rcpt_judges_nobody() -> None:
    script: Script = {ours(ANN): "555 5.5.4 no", f"RCPT TO:<{ANN}>": "421 4.7.0 too many errors"}
    async with SmtpReceiver(script, extensions=WITH_DSN) as receiver:
        sender = courier(f"capture://127.0.0.1:{receiver.port}")
        report = await sender.attempt_delivery(attempt(ANN))
        await sender.close()
    assert only(report).disposition is Disposition.DEFERRED
    assert commands(report).count("RCPT") == 2
