"""Mail that a real Postfix refuses, explained to a person who does not know SMTP: what it means, what is next, what to do.

Each refusal is Postfix's own: its table of users, an access table, and greylisting by a policy server as postgrey is one.
"""

from __future__ import annotations

import socketserver
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest

from email_core.explain.explanation import Explanation, Recipient
from email_core.explain.text import Look, message_text
from email_core.settings import Settings
from tests.kit.free_ports import free_port
from tests.kit.knot import Knot
from tests.kit.peers import require
from tests.kit.pipeline import Pipeline, build_pipeline
from tests.kit.postfix import Postfix, missing_reason
from tests.kit.requests import explanation, message, post

pytestmark = pytest.mark.peers


class Greylist(socketserver.StreamRequestHandler):
    """Postfix's policy protocol: who comes for the first time is put off, whoever comes back is let in."""

    seen: set[str]

    def handle(self) -> None:
        asked: dict[str, str] = {}
        for line in self.rfile:
            name, _, value = line.decode().strip().partition("=")
            if name:
                asked[name] = value
                continue
            recipient, asked = asked["recipient"], {}
            known = recipient in self.seen or not recipient.startswith("grey")
            self.seen.add(recipient)
            action = "DUNNO" if known else "DEFER_IF_PERMIT Greylisted, see http://postgrey.schweikert.ch/help/rcpt.test.html"
            self.wfile.write(f"action={action}\n\n".encode())


@pytest.fixture
def greylist() -> Iterator[int]:
    """The port of a greylisting policy server."""
    port = free_port()
    handler = type("Greylisting", (Greylist,), {"seen": set()})
    with socketserver.ThreadingTCPServer(("127.0.0.1", port), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield port
        server.shutdown()


@pytest.fixture
def strict_postfix(greylist: int) -> Iterator[Postfix]:
    """Postfix with the users user@ and full@, of whom the latter's mailbox is full, and greylisting for grey@."""
    require(not missing_reason(), missing_reason())
    users = ", ".join(f"{{ {name}@rcpt.test = Maildir/ }}" for name in ("user", "full", "grey"))
    full = "{ full@ = 552 5.2.2 mailbox is full }"
    parameters = {
        "virtual_mailbox_maps": f"inline:{{ {users} }}",
        "smtpd_recipient_restrictions": f"check_recipient_access inline:{{ {full} }}, "
        f"check_policy_service inet:127.0.0.1:{greylist}, permit",
    }
    with Postfix("rcpt.test", parameters=parameters) as server:
        yield server


@pytest.fixture
async def pipeline(azurite: str, strict_postfix: Postfix, knot: Knot) -> AsyncIterator[Pipeline]:
    def to_the_world(settings: Settings) -> Settings:
        return replace(settings, dns_server=knot.address, mx_port=strict_postfix.port)

    knot.add_records(strict_postfix.dns_records())
    built = await build_pipeline(azurite, routes="mx", change=to_the_world)
    yield built
    await built.close()


async def explained(pipeline: Pipeline, operation_id: str) -> tuple[Explanation, Recipient]:
    answer = await explanation(pipeline, operation_id)
    assert answer.status == 200
    story = msgspec.convert(answer.body, Explanation)
    print(message_text(story, Look(width=110)))
    [recipient] = story.recipients
    return story, recipient


async def sent_to(pipeline: Pipeline, address: str) -> str:
    sent = await post(pipeline, message(recipients={"to": [{"address": address}]}))
    await pipeline.step()
    return str(sent.body["id"])


def words(story: Explanation) -> str:
    return "\n".join(step.text for step in story.steps)


async def test_explanation_unknown_user_says_that_the_address_is_wrong_and_what_to_do(pipeline: Pipeline) -> None:
    story, recipient = await explained(pipeline, await sent_to(pipeline, "nobody@rcpt.test"))
    assert (recipient.status, recipient.final, recipient.bounce_class) == ("Bounced", True, "invalid_recipient")
    assert recipient.meaning.startswith("There is no mailbox for nobody@rcpt.test: mx.rcpt.test does not know the name.")
    assert recipient.next == "Nothing: this is final."
    assert "Check the spelling of nobody@rcpt.test" in recipient.what_to_do
    assert "User unknown in virtual mailbox table" in recipient.last_reply
    told = words(story)
    assert "(MX): mx.rcpt.test at 127.0.0.2, preference 10" in told
    assert "Encrypted with TLSv1." in told
    assert "We named the recipient: RCPT TO:<nobody@rcpt.test> ORCPT=rfc822;nobody@rcpt.test -> 550 5.1.1" in told
    assert "class invalid_recipient (there is no such mailbox). nobody@rcpt.test: refused for good." in told


async def test_explanation_full_mailbox_says_who_can_make_room(pipeline: Pipeline) -> None:
    story, recipient = await explained(pipeline, await sent_to(pipeline, "full@rcpt.test"))
    assert (recipient.status, recipient.final, recipient.bounce_class) == ("Bounced", True, "mailbox_full")
    assert recipient.meaning.startswith("The mailbox of full@rcpt.test is full")
    assert recipient.next == "Nothing: this is final."
    assert "Tell the person in another way that the mailbox is full" in recipient.what_to_do
    assert "send it again as a new message" in recipient.what_to_do
    assert "552 5.2.2" in recipient.last_reply
    assert "552 5.2.2" in words(story)


async def test_explanation_greylisting_says_when_it_is_tried_again_and_then_that_it_was_taken(pipeline: Pipeline) -> None:
    operation = await sent_to(pipeline, "grey@rcpt.test")
    _, recipient = await explained(pipeline, operation)
    assert (recipient.status, recipient.final, recipient.bounce_class) == ("Deferred", False, "greylisted")
    assert "asks us to come back later (greylisting)" in recipient.meaning
    [retry] = pipeline.queues.noted
    due = datetime.fromtimestamp(pipeline.clock.now() + retry.delay, UTC)
    assert f"It is tried again at {due:%H:%M} UTC" in recipient.next
    assert "in about 5 minutes" in recipient.next
    assert f"Nothing: it is tried again at {due:%H:%M} UTC" in recipient.what_to_do
    assert "Do not send it a second time" in recipient.what_to_do
    assert recipient.next_attempt is not None and recipient.next_attempt.startswith(f"{due:%Y-%m-%dT%H:%M}")
    assert recipient.last_reply.startswith("450 4.7.1 <grey@rcpt.test>: Recipient address rejected: Greylisted")
    await pipeline.drain()
    _, recipient = await explained(pipeline, operation)
    assert (recipient.status, recipient.final, recipient.tries) == ("Delivered", True, 2)
    assert "mx.rcpt.test took the message" in recipient.meaning
    assert "no proof that it was read" in recipient.meaning
