"""SMTP smuggling through us: what comes in by SMTP or HTTP is at most one message at a Postfix behind us, strict or lax.

The lax one ends a message at lines that end with LF alone, as servers did before 2024. It is shown first that it does, for a
test with a server that nothing can be smuggled to would prove nothing.
"""

from __future__ import annotations

import asyncio
import base64
import email
import email.policy
import re
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage

import pytest

from tests.flows.test_smtp_submission_smuggling import SEQUENCES
from tests.kit.peers import require
from tests.kit.pipeline import Pipeline, build_pipeline, draft_to
from tests.kit.postfix import Postfix, knows, missing_reason
from tests.kit.requests import post
from tests.kit.smtp_relay import SENDER, RawClient, RelayFiles, RunningRelay, add_user, plain, running_relay

pytestmark = pytest.mark.peers

# A Postfix older than these parameters is lax, whatever it is told.
MODES = {
    "lax": {"smtpd_forbid_bare_newline": "no", "smtpd_forbid_unauth_pipelining": "no"},
    "strict": {
        "smtpd_forbid_bare_newline": "reject", "smtpd_forbid_unauth_pipelining": "yes", "strict_rfc821_envelopes": "yes",
    },
}  # fmt: skip
ENDS_FOR_LAX = {
    "LF.LF", "LF.CRLF", "CRLF.LF", "CRCRLF.CRLF", "CRLF.CRCRLF", "CRCRLF.CRCRLF", "LFLF.CRLF", "CRLF-LF.CRLF",
}  # fmt: skip
# What looks like an end to a reader who is careless in another way, and is text. Dots are stuffed, as a client has to.
TEXT = {
    "stuffed": b"\r\n..\r\n", "blank-dot": b"\r\n .\r\n", "dot-blank": b"\r\n.. \r\n", "dot-tab": b"\r\n..\t\r\n",
    "NEL": "\u0085.\u0085".encode(), "NEL-octet": b"\x85.\x85", "LS": "\u2028.\u2028".encode(),
    "CRLF.LS": "\r\n..\u2028\r\n".encode(), "VT": b"\r\n..\x0b\r\n", "FF": b"\x0c.\x0c", "fullwidth": "\r\n\uff0e\r\n".encode(),
    "quoted": b"=0D=0A.=0D=0A\r\n", "escaped": rb"\r\n.\r\n" + b"\r\n",
}  # fmt: skip


@dataclass
class Behind:
    """A pipeline with its SMTP door, and the Postfix that it sends everything to."""

    pipeline: Pipeline
    relay: RunningRelay
    postfix: Postfix
    is_lax: bool
    names: dict[str, str] = field(default_factory=dict)  # of the cases, by what stands in their addresses

    def case(self, name: str) -> str:
        """A mark for a case; its recipient is `m-MARK@rcpt.test`, and what is smuggled in it goes to `v-MARK@rcpt.test`."""
        mark = uuid.uuid4().hex[:12]
        self.names[mark] = name
        return mark

    async def stored(self) -> dict[str, list[str]]:
        """The names of the cases, each with `m` for a message of ours and `v` for one that was smuggled."""
        await self.pipeline.drain(1000)
        # Whatever was smuggled is behind it in the same connection, and has been done when this one is answered.
        last = self.case("the last one")
        await self.pipeline.accept(draft_to(f"m-{last}@rcpt.test"))
        await self.pipeline.drain()
        await asyncio.to_thread(self.postfix.wait_until_idle)
        found: dict[str, list[str]] = {name: [] for name in self.names.values()}
        for raw in self.postfix.stored():
            to = re.search(rb"^Delivered-To: ([mv])-(\w+)@", raw, re.MULTILINE)
            if to is not None and to[2].decode() in self.names:
                found[self.names[to[2].decode()]].append(to[1].decode())
        assert found.pop("the last one") == ["m"]
        return found

    def message(self, mark: str) -> EmailMessage:
        """The message of a case, as it is stored."""
        [raw] = [raw for raw in self.postfix.stored() if f"Delivered-To: m-{mark}@".encode() in raw]
        return email.message_from_bytes(raw, policy=email.policy.default)  # type: ignore[return-value]

    async def by_smtp(self, mark: str, text: bytes) -> str:
        """Send text and all that follows within it after DATA; the first reply."""
        client = await self.relay.with_recipient(f"m-{mark}@rcpt.test")
        assert (await client.ask("DATA")).startswith("354 ")
        await client.send(header(mark) + text)
        reply = await client.reply()
        await client.close()
        return reply


def header(mark: str) -> bytes:
    return (
        f"From: <{SENDER}>\r\nTo: <m-{mark}@rcpt.test>\r\nSubject: outer\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    ).encode()


def smuggled(mark: str) -> bytes:
    """Commands and a message that should be text, or nothing."""
    return (
        f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<v-{mark}@rcpt.test>\r\nDATA\r\n"
        f"From: <{SENDER}>\r\nSubject: smuggled\r\n\r\nHello\r\n.\r\n"
    ).encode()


@pytest.fixture(scope="module", params=MODES)
def server(request: pytest.FixtureRequest) -> Iterator[tuple[Postfix, bool]]:
    require(not missing_reason(), missing_reason())
    with Postfix("rcpt.test", parameters=MODES[request.param]) as running:
        yield running, request.param == "lax" or not knows("smtpd_forbid_bare_newline")


@pytest.fixture
async def behind(azurite: str, server: tuple[Postfix, bool], relay_files: RelayFiles) -> AsyncIterator[Behind]:
    postfix, is_lax = server
    pipeline = await build_pipeline(azurite, routes=f"smarthost://{postfix.host}:{postfix.port}?tls=opportunistic")
    user, password = await add_user(pipeline)
    async with running_relay(pipeline.services, relay_files) as relay:
        relay.user, relay.password = user, password
        yield Behind(pipeline, relay, postfix, is_lax)
    await pipeline.close()


async def test_lax_postfix_by_itself_is_smuggled_to(behind: Behind) -> None:
    for name, sequence in SEQUENCES.items():
        mark = behind.case(name)
        reader, writer = await asyncio.open_connection(behind.postfix.host, behind.postfix.port)
        client = RawClient(reader, writer)
        await client.reply()
        for line in ("EHLO client.test", f"MAIL FROM:<{SENDER}>", f"RCPT TO:<m-{mark}@rcpt.test>", "DATA"):
            await client.ask(line)
        await client.send(header(mark) + b"Hello." + sequence + smuggled(mark) + b"QUIT\r\n")
        while await client.reply():
            pass
        await client.close()
    twice = {name for name, came in (await behind.stored()).items() if sorted(came) == ["m", "v"]}
    assert twice == (ENDS_FOR_LAX if behind.is_lax else set())


async def test_sequence_by_smtp_is_refused_and_nothing_is_stored(behind: Behind) -> None:
    replies = {}
    for name, sequence in SEQUENCES.items():
        mark = behind.case(name)
        replies[name] = (await behind.by_smtp(mark, b"Hello." + sequence + smuggled(mark)))[:11]
    assert replies == dict.fromkeys(SEQUENCES, "550 5.6.11 ")
    assert await behind.stored() == {name: [] for name in SEQUENCES}


async def test_text_that_only_looks_like_an_end_by_smtp_is_one_message_with_the_same_octets(behind: Behind) -> None:
    replies, marks = {}, {}
    for name, sequence in TEXT.items():
        marks[name] = mark = behind.case(name)
        replies[name] = (await behind.by_smtp(mark, b"Hello." + sequence + smuggled(mark)))[:10]
    assert replies == dict.fromkeys(TEXT, "250 2.0.0 ")
    assert await behind.stored() == {name: ["m"] for name in TEXT}
    for name, sequence in TEXT.items():
        sent = (b"Hello." + sequence + smuggled(marks[name])).removesuffix(b".\r\n").replace(b"\r\n.", b"\r\n")
        stored = behind.message(marks[name]).get_payload(decode=True)
        assert stored == sent.replace(b"\r\n", b"\n"), name


def places(mark: str, harm: str) -> dict[str, dict[str, object]]:
    """Changes of a request that put a text wherever a text may stand."""
    to = {"address": f"m-{mark}@rcpt.test"}
    plain_text = {"subject": "outer", "plainText": "Hello."}
    attached = {"name": "a.txt", "contentType": "text/plain", "contentInBase64": base64.b64encode(harm.encode()).decode()}
    return {
        "plainText": {"content": {"subject": "outer", "plainText": harm}},
        "html": {"content": {"subject": "outer", "html": f"<p>{harm}</p>"}},
        "attachment": {"content": plain_text, "attachments": [attached]},
        "attachment name": {"content": plain_text, "attachments": [attached | {"name": harm[:100]}]},
        "attachment type": {"content": plain_text, "attachments": [attached | {"contentType": f'text/plain; x="{harm}"'}]},
        "subject": {"content": plain_text | {"subject": harm}},
        "header": {"content": plain_text, "headers": {"X-Custom": harm}},
        "header name": {"content": plain_text, "headers": {f"X-Custom: x{harm}": "x"}},
        "display name": {"content": plain_text, "recipients": {"to": [to | {"displayName": harm[:200]}]}},
        "address": {"content": plain_text, "recipients": {"to": [{"address": f"m-{mark}@rcpt.test>{harm[6:100]}"}]}},
    }


async def test_sequence_by_http_is_text_of_one_message_or_refused(behind: Behind) -> None:
    answers, expected, texts = {}, {}, {}
    for name, sequence in SEQUENCES.items():
        for place in places("", ""):
            mark = behind.case(case := f"{place} {name}")
            harm = f"Hello.{sequence.decode()}{smuggled(mark).decode()}"
            recipients = {"recipients": {"to": [{"address": f"m-{mark}@rcpt.test"}]}}
            answer = await post(behind.pipeline, {"senderAddress": SENDER, **recipients, **places(mark, harm)[place]})
            answers[case] = answer.status
            taken = place == "attachment" or (place in ("plainText", "html") and b"\0" not in sequence)
            expected[case] = 202 if taken else 400
            if taken:
                texts[mark] = (place, harm)
    assert answers == expected
    assert await behind.stored() == {case: ["m"] if status == 202 else [] for case, status in expected.items()}
    for mark, (place, harm) in texts.items():
        message = behind.message(mark)
        if place == "attachment":
            [attached] = list(message.iter_attachments())
            assert attached.get_payload(decode=True) == harm.encode(), behind.names[mark]
            continue
        part, text = (
            (message.get_body(("plain",)), harm) if place == "plainText" else (message.get_body(("html",)), f"<p>{harm}</p>")
        )
        assert part is not None and part.get_content().splitlines() == text.splitlines(), behind.names[mark]


DOTS = [
    ".",
    "..",
    "...",
    ".x",
    "..x",
    "",
    ". ",
    " .",
    ".\t",
    "",
    "x.",
    *("." * length for length in range(1, 200)),
    "",
    "",
    ".",
]
MUCH = [("." * (number % 7) + "x" * (number % 13)) for number in range(20_000)]  # each of our blocks ends elsewhere


@pytest.mark.parametrize("lines", [DOTS, MUCH], ids=["few", "many"])
async def test_lines_that_begin_with_dots_are_the_same_lines_at_the_end(behind: Behind, lines: list[str]) -> None:
    text = "\r\n".join([*lines, ""])
    by_smtp, by_http, attached = (behind.case(name) for name in ("smtp", "http", "attachment"))
    stuffed = "".join(f".{line}\r\n" if line.startswith(".") else f"{line}\r\n" for line in lines)
    assert (await behind.by_smtp(by_smtp, stuffed.encode() + b".\r\n")).startswith("250 ")
    for mark, place in ((by_http, "plainText"), (attached, "attachment")):
        recipients = {"recipients": {"to": [{"address": f"m-{mark}@rcpt.test"}]}}
        answer = await post(behind.pipeline, {"senderAddress": SENDER, **recipients, **places(mark, text)[place]})
        assert answer.status == 202
    assert await behind.stored() == {"smtp": ["m"], "http": ["m"], "attachment": ["m"]}
    assert behind.message(by_smtp).get_payload(decode=True) == text.replace("\r\n", "\n").encode()
    body = behind.message(by_http).get_body(("plain",))
    assert body is not None and body.get_content().split("\n") == text.split("\r\n")
    [file] = list(behind.message(attached).iter_attachments())
    assert file.get_payload(decode=True) == text.encode()


# What stands behind MAIL FROM:<...> and what behind RCPT TO:, with {v} for a recipient that nobody named.
COMMANDS = {
    "MAIL with LF": ("\nRCPT TO:<{v}>", "<{m}>"),
    "MAIL with CR": ("\rRCPT TO:<{v}>", "<{m}>"),
    "RCPT with LF": ("", "<{m}>\nRCPT TO:<{v}>"),
    "RCPT with CR": ("", "<{m}>\rRCPT TO:<{v}>"),
    "RCPT with NUL": ("", "<{m}>\0RCPT TO:<{v}>"),
    "RCPT with a path in quotes": ("", '<"a> RCPT TO:<{v}> "@rcpt.test>'),
    "RCPT with a route": ("", "<@rcpt.test,{v}:{m}>"),
    "ENVID with CRLF": (" ENVID=a+0D+0ARCPT+20TO:<{v}>", "<{m}>"),
    "ORCPT with CRLF": ("", "<{m}> ORCPT=rfc822;a+0D+0ARCPT+20TO:<{v}>"),
    "ORCPT with LF": ("", "<{m}> ORCPT=rfc822;a+0ARCPT+20TO:+3C{v}+3E"),
    "AUTH with CRLF": (" AUTH=a+0D+0ARCPT+20TO:<{v}>", "<{m}>"),
}


async def test_command_that_hides_another_one_is_refused_and_reaches_nobody_else(behind: Behind) -> None:
    taken = []
    for name, (mail, rcpt) in COMMANDS.items():
        mark = behind.case(name)
        spots = {"m": f"m-{mark}@rcpt.test", "v": f"v-{mark}@rcpt.test"}
        client = await behind.relay.logged_in()
        commands = f"MAIL FROM:<{SENDER}>{mail.format(**spots)}\r\nRCPT TO:{rcpt.format(**spots)}\r\nDATA\r\n"
        await client.send(commands.encode())
        replies = [await client.reply() for _ in range(3)]
        if replies[-1].startswith("354 "):
            await client.send(header(mark) + b"Hello.\r\n.\r\n")
            taken += [name] if (await client.reply()).startswith("250 ") else []
        else:
            assert any(reply.startswith("5") for reply in replies), replies
            assert (await client.ask("NOOP"))[:3] in ("250", ""), replies  # and nothing that was not read
        await client.close()
    assert taken == ["AUTH with CRLF"]  # who logged in is known better, so it goes nowhere
    assert await behind.stored() == {name: ["m"] if name in taken else [] for name in COMMANDS}


async def test_commands_in_plain_text_behind_starttls_are_nobodys(behind: Behind) -> None:
    mark = behind.case("injected")
    user = plain(behind.relay.user, behind.relay.password)
    client = await behind.relay.client("submission")
    await client.reply()
    await client.ask("EHLO client.test")
    await client.send(b"STARTTLS\r\nEHLO x\r\nAUTH PLAIN " + user.encode() + b"\r\n" + smuggled(mark))
    assert (await client.reply()).startswith("220 ")
    await client.start_tls(behind.relay.files.trusting())
    assert (await client.ask("DATA")).startswith("503 5.5.1 ")
    await client.ask("EHLO client.test")
    assert (await client.ask(f"MAIL FROM:<{SENDER}>")).startswith("530 5.7.0 ")
    await client.close()
    assert await behind.stored() == {"injected": []}
