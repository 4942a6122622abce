"""Requests that are accepted, and the draft that each of them makes."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from azure.communication.email import EmailClient
from azure.core.credentials import AzureKeyCredential
from azure.core.pipeline.transport import HttpTransport

from email_core.message.address import Address
from email_core.message.draft import Draft, decode_draft, encode_draft
from tests.unit.data_plane.requests import PNG, attachment, message, parse

JANE = {"address": "jane@fabrikam.example", "displayName": "Jane Doe"}
JOE = {"address": "joe@fabrikam.example"}


def test_request_with_every_field_becomes_a_draft_that_can_be_stored() -> None:
    draft = parse(
        message(
            senderDisplayName="Contoso Shop",
            recipients={"to": [JANE], "cc": [JOE], "bcc": [{"address": "audit@contoso.example"}]},
            replyTo=[{"address": "support@contoso.example", "displayName": "Support"}],
            headers={"X-Campaign": "42", "Message-ID": "<order-1@contoso.example>"},
            attachments=[attachment(contentId="dot")],
            userEngagementTrackingDisabled=True,
        )
    )
    assert draft.sender == Address("DoNotReply", "contoso.example", "Contoso Shop")
    assert draft.to == (Address("jane", "fabrikam.example", "Jane Doe"),)
    assert draft.cc == (Address("joe", "fabrikam.example"),)
    assert draft.bcc == (Address("audit", "contoso.example"),)
    assert draft.reply_to == (Address("support", "contoso.example", "Support"),)
    assert (draft.subject, draft.text, draft.html) == ("Your order", "It is on its way.", "<p>It is on its way.</p>")
    assert draft.headers == (("X-Campaign", "42"),)
    assert draft.message_id == "<order-1@contoso.example>"
    assert draft.tracking_disabled
    (image,) = draft.attachments
    assert (image.name, image.content_type, image.size, image.content_id) == ("dot.png", "image/png", len(PNG), "dot")
    assert base64.b64decode(image.body) == PNG
    assert decode_draft(encode_draft(draft)) == draft


def test_request_with_only_what_is_required_has_the_defaults_for_the_rest() -> None:
    draft = parse({"senderAddress": "a@b.example", "content": {"subject": "", "plainText": "x"}, "recipients": {"to": [JOE]}})
    assert draft == Draft(Address("a", "b.example"), "", to=(Address("joe", "fabrikam.example"),), text="x")


def test_null_in_optional_fields_is_the_same_as_their_absence() -> None:
    absent = parse(message(content={"subject": "s", "html": "<p>h</p>"}, recipients={"to": [JOE]}, attachments=[attachment()]))
    null = parse(
        message(
            senderDisplayName=None,
            content={"subject": "s", "plainText": None, "html": "<p>h</p>"},
            recipients={"to": [JOE | {"displayName": None}], "cc": None, "bcc": None},
            replyTo=None, headers=None, attachments=[attachment(contentId=None)], userEngagementTrackingDisabled=None,
        )
    )  # fmt: skip
    assert null == absent


def test_unknown_fields_are_ignored_wherever_they_stand() -> None:
    extended = message(
        importance="high",
        content={"subject": "Your order", "plainText": "It is on its way.", "html": "<p>It is on its way.</p>", "amp": {}},
        recipients={"to": [JANE | {"type": ["x"]}], "followUp": 10**4000},
    )
    assert parse(extended) == parse(message())


@pytest.mark.parametrize("field", ["to", "cc", "bcc"])
@pytest.mark.parametrize("others", [[], None, ...])
def test_recipients_in_one_list_alone_are_enough(field: str, others: Any) -> None:
    recipients = {name: others for name in ("to", "cc", "bcc") if others is not ...} | {field: [JOE]}
    draft = parse(message(recipients=recipients))
    assert {name: len(getattr(draft, name)) for name in ("to", "cc", "bcc")} == {"to": 0, "cc": 0, "bcc": 0} | {field: 1}


def test_recipients_that_appear_twice_are_kept_as_given() -> None:
    draft = parse(message(recipients={"to": [JOE, JOE], "cc": [{"address": "JOE@fabrikam.example"}]}))
    assert [address.addr_spec for address in (*draft.to, *draft.cc)] == [
        "joe@fabrikam.example", "joe@fabrikam.example", "JOE@fabrikam.example",
    ]  # fmt: skip


def test_fifty_recipients_over_three_lists_are_accepted() -> None:
    many = [{"address": f"user{number}@fabrikam.example"} for number in range(50)]
    draft = parse(message(recipients={"to": many[:20], "cc": many[20:40], "bcc": many[40:]}))
    assert (len(draft.to), len(draft.cc), len(draft.bcc)) == (20, 20, 10)


def test_recipient_limit_is_that_of_the_installation() -> None:
    many = [{"address": f"user{number}@fabrikam.example"} for number in range(99)]
    assert len(parse(message(recipients={"to": many}), max_recipients=99).to) == 99


def test_domain_in_other_letters_becomes_an_a_label() -> None:
    draft = parse(message(recipients={"to": [{"address": "zoë@bücher.example"}]}))
    assert draft.to[0].domain == "xn--bcher-kva.example"
    assert draft.to[0].needs_smtputf8


@pytest.mark.parametrize("content", [{"plainText": "x"}, {"html": "x"}, {"plainText": "x", "html": ""}])
def test_content_needs_only_one_of_text_and_html(content: dict[str, str]) -> None:
    draft = parse(message(content={"subject": "s"} | content))
    assert (draft.text, draft.html) == (content.get("plainText"), content.get("html") or None)


def test_text_keeps_its_line_breaks_and_characters() -> None:
    text = "a\r\nb\nc\td\u00a0é😀\u2028"
    assert parse(message(content={"subject": "s", "plainText": text})).text == text


@pytest.mark.parametrize("value", [True, False])
def test_tracking_is_switched_off_by_the_message_alone_when_it_says_so(value: bool) -> None:
    assert parse(message(userEngagementTrackingDisabled=value)).tracking_disabled is value


def test_member_that_appears_twice_counts_as_it_is_the_last_time() -> None:
    body = json.dumps(message())
    twice = body.replace('"content": {', '"content": {"subject": "first"}, "content": {', 1)
    assert parse(twice.encode()).subject == "Your order"


def test_escaped_and_plain_json_make_the_same_draft() -> None:
    request = message(content={"subject": "Zoë 😀", "plainText": "Grüße"}, attachments=[attachment(name="räksmörgås.png")])
    escaped, plain = json.dumps(request).encode(), json.dumps(request, ensure_ascii=False).encode()
    assert escaped != plain
    assert parse(escaped) == parse(plain)


class Sent(Exception):
    """What a client was about to send."""


class CapturingTransport(HttpTransport[Any, Any]):
    """Stands where the network would be, and gives back the body."""

    def send(self, request: Any, **_: Any) -> Any:
        raise Sent(request.content if hasattr(request, "content") else request.body)

    def open(self) -> None: ...
    def close(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


def test_request_as_the_official_python_client_writes_it_is_accepted() -> None:
    client = EmailClient("https://localhost", AzureKeyCredential("a2V5"), transport=CapturingTransport())
    request = message(
        content={"subject": "Zoë 😀", "html": "<img src='cid:dot'>"},
        headers={"x-priority": "1"},
        attachments=[attachment(contentId="dot")],
    )
    with pytest.raises(Sent) as sent:
        client.begin_send(request)
    body = sent.value.args[0]
    wire = body.encode() if isinstance(body, str) else body
    assert b"Zo\\u00eb \\ud83d\\ude00" in wire
    assert parse(wire) == parse(request)
