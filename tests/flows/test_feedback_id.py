"""Feedback-ID: outbound mail of both doors has one that is signed, and a complaint that has nothing else finds its message."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from email_core.delivery.verp import VerpToken, read_feedback_token, read_reverse_path
from email_core.submission.accept import Accepted
from smtp_relay.inbound import build_inbound
from tests.flows.test_inbound import Port25, kinds, managed
from tests.kit.mime_submission import mime, submit
from tests.kit.pipeline import Pipeline, draft_to
from tests.kit.receiver import Receiver
from tests.unit.returns.test_arf_report import arf

pytestmark = pytest.mark.peers

ABUSE = "Feedback-Type: abuse\nVersion: 1\n"


def feedback_ids(content: bytes) -> list[str]:
    header = content.partition(b"\r\n\r\n")[0].decode()
    return re.findall(r"(?im)^feedback-id: (.*)\r?$", header.replace("\r\n", "\n"))


def is_signed(content: bytes) -> bool:
    """Whether the DKIM signature on top names the field."""
    value = re.sub(rb"\s", b"", content[: content.index(b"bh=")])
    return bool(re.search(rb"h=[a-z:-]*:feedback-id[:;]", value))


async def accepted_by(pipeline: Pipeline, door: str, *recipients: str, **fields: str) -> Accepted:
    if door == "smtp":
        return await submit(pipeline, mime(**fields), *recipients)
    headers = tuple((name.replace("_", "-"), value) for name, value in fields.items())
    return await pipeline.accept(replace(draft_to(*recipients), headers=headers))


async def complained(pipeline: Pipeline, feedback_id: str, named: str = "") -> int:
    inbound = build_inbound(pipeline.services)
    report = f"{ABUSE}Original-Rcpt-To: {named}" if named else ABUSE
    returned = f"Subject: x\nFeedback-ID: {feedback_id}\n"
    return await Port25(pipeline, inbound).send(inbound.complaint_addresses[0], arf(report, returned=returned))


@pytest.mark.parametrize("door", ["http", "smtp"])
async def test_mail_has_a_signed_feedback_id_that_names_its_message_and_opens_nothing_else(
    pipeline: Pipeline, sink: Receiver, door: str
) -> None:
    accepted = await accepted_by(pipeline, door, "ann@fabrikam.test")
    await pipeline.drain()
    content = sink.received[-1].content
    [value] = feedback_ids(content)
    token, *rest = value.split(":")
    keys = pipeline.services.deliverer.verp_keys

    assert is_signed(content)
    assert rest == [pipeline.service.key, door, "postrider"]
    assert read_feedback_token(token, keys) == VerpToken(pipeline.service.key, accepted.operation_id, 0)
    assert read_reverse_path(f"{token}@{pipeline.services.settings.bounce_domain}", keys) is None


@pytest.mark.parametrize("door", ["http", "smtp"])
async def test_feedback_id_of_the_sender_is_kept_alone(pipeline: Pipeline, sink: Receiver, door: str) -> None:
    await accepted_by(pipeline, door, "ann@fabrikam.test", Feedback_Id="spring:shop:news:contoso")
    await pipeline.drain()

    assert feedback_ids(sink.received[-1].content) == ["spring:shop:news:contoso"]
    assert is_signed(sink.received[-1].content)


async def test_complaint_that_has_the_feedback_id_alone_counts(pipeline: Pipeline, sink: Receiver) -> None:
    accepted = await accepted_by(pipeline, "smtp", "fay@fabrikam.test")
    await pipeline.drain()
    [value] = feedback_ids(sink.received[-1].content)

    assert await complained(pipeline, value) == 250
    assert kinds(await pipeline.row(accepted)) == ["complaint"]
    assert await managed(pipeline, "fay@fabrikam.test") is not None


async def test_complaint_about_a_message_that_was_split_is_told_and_suppresses_nobody(
    pipeline: Pipeline, sink: Receiver
) -> None:
    accepted = await accepted_by(pipeline, "http", "gus@fabrikam.test", "hal@adatum.test")
    await pipeline.drain()
    [value] = feedback_ids(sink.received[-1].content)

    assert await complained(pipeline, value) == 250
    assert await managed(pipeline, "gus@fabrikam.test") is None
    assert await complained(pipeline, value, "HAL@adatum.test") == 250
    assert await managed(pipeline, "gus@fabrikam.test") is None
    assert await managed(pipeline, "hal@adatum.test") is None  # Gus has the same Feedback-ID, and could have written it
    assert [kinds(await pipeline.row(accepted, f"envelope:00{number}")) for number in (1, 2)] == [[], ["complaint"]]


async def test_feedback_id_with_another_mac_suppresses_nobody(pipeline: Pipeline, sink: Receiver) -> None:
    await accepted_by(pipeline, "smtp", "ivy@fabrikam.test")
    await pipeline.drain()
    [value] = feedback_ids(sink.received[-1].content)
    token, colon, rest = value.partition(":")
    forged = token[:-1] + ("a" if token[-1] != "a" else "b")

    assert await complained(pipeline, forged + colon + rest) == 250
    assert await complained(pipeline, f"b{value[1:]}") == 250
    assert await managed(pipeline, "ivy@fabrikam.test") is None
