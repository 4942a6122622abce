"""Requests that are refused: each bad field, by its name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from email_core.data_plane.json_fields import MAX_FAULTS
from tests.unit.data_plane.requests import attachment, message, only_fault, refusal

JANE = "jane@fabrikam.example"


def to(*addresses: Any) -> dict[str, Any]:
    return message(recipients={"to": list(addresses)})


MALFORMED = {
    "empty": (b"", "The body is empty"),
    "blank": (b" \r\n\t ", "The body is empty"),
    "not JSON": (b"senderAddress=a@b.example", "not valid JSON"),
    "cut off": (json.dumps(message()).encode()[:-1], "ends in the middle"),
    "text after it": (json.dumps(message()).encode() + b"{}", "trailing characters"),
    "trailing comma": (b'{"senderAddress": "a@b.example",}', "trailing comma"),
    "single quotes": (b"{'senderAddress': 'a@b.example'}", "object keys must be strings"),
    "comment": (b'{/* hello */"senderAddress": "a@b.example"}', "not valid JSON"),
    "NaN": (b'{"senderAddress": NaN}', "not valid JSON"),
    "Infinity": (b'{"unknown": -Infinity}', "not valid JSON"),
    "leading zero": (b'{"unknown": 01}', "invalid number"),
    "raw line break in a string": (b'{"senderAddress": "a@b.example\n"}', "not valid JSON"),
    "raw NUL in a string": (b'{"senderAddress": "a@b.example\x00"}', "not valid JSON"),
    "unknown escape": (b'{"senderAddress": "a@b.example\\x"}', "invalid escaped character"),
    "lone high surrogate": (b'{"content": {"subject": "\\ud83d and so on"}}', "not valid JSON"),
    "lone low surrogate": (b'{"content": {"subject": "\\ude00 and so on"}}', "invalid utf-16 surrogate pair"),
    "two high surrogates": (b'{"unknown": "\\ud83d\\ud83d and so on"}', "invalid utf-16 surrogate pair"),
    "byte order mark": (b"\xef\xbb\xbf" + json.dumps(message()).encode(), "byte order mark"),
    "UTF-16": (json.dumps(message()).encode("utf-16"), "byte order mark"),
    "an array": (b"[]", "must be a JSON object"),
    "a string": (b'"hello"', "must be a JSON object"),
    "null": (b"null", "must be a JSON object"),
    "arrays 100,000 deep": (b'{"unknown": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    "objects 100,000 deep": (b'{"content": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}", "nested too deeply"),
}


@pytest.mark.parametrize(("body", "says"), MALFORMED.values(), ids=MALFORMED)
def test_body_that_is_no_json_object_is_refused_with_the_reason(body: bytes, says: str) -> None:
    fault = only_fault(body)
    assert fault.code == "BadRequest"
    assert fault.message.startswith("Request body validation error. ")
    assert says in fault.message


# request, target of its only fault, what the message says
ONE_FAULT = {
    "sender missing": (message(senderAddress=...), "senderAddress", "It is required: give a string."),
    "sender null": (message(senderAddress=None), "senderAddress", "It is required: give a string."),
    "sender a number": (message(senderAddress=17), "senderAddress", "It must be a string, not a number."),
    "sender an object": (message(senderAddress={"email": JANE}), "senderAddress", "It must be a string, not an object."),
    "sender display name": (message(senderDisplayName="a\r\nBcc: x@y.z"), "senderDisplayName", "U+000D"),
    "content missing": (message(content=...), "content", "It is required: give an object."),
    "content a string": (message(content="hello"), "content", "It must be an object, not a string."),
    "content without text": (message(content={"subject": "s"}), "content", "neither plainText nor html"),
    "content all empty": (message(content={"subject": "s", "plainText": "", "html": ""}), "content", "neither plainText"),
    "subject missing": (message(content={"html": "x"}), "content.subject", "It is required: give a string."),
    "subject null": (message(content={"subject": None, "html": "x"}), "content.subject", "It is required"),
    "subject a boolean": (message(content={"subject": True, "html": "x"}), "content.subject", "not a boolean"),
    "subject with CR": (message(content={"subject": "a\rb", "html": "x"}), "content.subject", "U+000D"),
    "subject with LF": (message(content={"subject": "a\nBcc: x@y.z", "html": "x"}), "content.subject", "U+000A"),
    "subject with NUL": (message(content={"subject": "a\0b", "html": "x"}), "content.subject", "U+0000"),
    "subject too long": (message(content={"subject": "a" * 999, "html": "x"}), "content.subject", "998 characters"),
    "text an array": (message(content={"subject": "s", "plainText": []}), "content.plainText", "not an array"),
    "html with NUL": (message(content={"subject": "s", "html": "a\0b"}), "content.html", "U+0000"),
    "recipients missing": (message(recipients=...), "recipients", "It is required: give an object."),
    "recipients a list": (message(recipients=[JANE]), "recipients", "It must be an object, not an array."),
    "recipients empty": (message(recipients={}), "recipients", "give at least one address in to, cc or bcc"),
    "recipients empty lists": (message(recipients={"to": [], "cc": [], "bcc": []}), "recipients", "at least one address"),
    "to a string": (message(recipients={"to": JANE}), "recipients.to", "It must be an array, not a string."),
    "bcc an object": (message(recipients={"to": [{"address": JANE}], "bcc": {}}), "recipients.bcc", "must be an array"),
    "recipient a string": (to(JANE), "recipients.to[0]", "It must be an object, not a string."),
    "recipient null": (to({"address": JANE}, None), "recipients.to[1]", "It is required: give an object."),
    "address missing": (to({"email": JANE}), "recipients.to[0].address", "It is required: give a string."),
    "display name a number": (to({"address": JANE, "displayName": 1}), "recipients.to[0].displayName", "not a number"),
    "display name with LF": (to({"address": JANE, "displayName": "a\nb"}), "recipients.to[0].displayName", "U+000A"),
    "display name reversed": (to({"address": JANE, "displayName": "a\u202eb"}), "recipients.to[0].displayName", "U+202E"),
    "display name too long": (to({"address": JANE, "displayName": "a" * 257}), "recipients.to[0].displayName", "256"),
    "reply-to an object": (message(replyTo={"address": JANE}), "replyTo", "It must be an array, not an object."),
    "reply-to too many": (message(replyTo=[{"address": JANE}] * 51), "replyTo", "more than 50"),
    "headers a list": (message(headers=[{"name": "a", "value": "b"}]), "headers", "It must be an object, not an array."),
    "attachments an object": (message(attachments={}), "attachments", "It must be an array, not an object."),
    "attachments too many": (message(attachments=[attachment()] * 251), "attachments", "more than 250"),
    "tracking a string": (message(userEngagementTrackingDisabled="true"), "userEngagementTrackingDisabled", "a boolean"),
    "tracking a number": (message(userEngagementTrackingDisabled=1), "userEngagementTrackingDisabled", "not a number"),
}  # fmt: skip


@pytest.mark.parametrize(("request_", "target", "says"), ONE_FAULT.values(), ids=ONE_FAULT)
def test_field_that_is_wrong_is_named_with_the_rule(request_: dict[str, Any], target: str, says: str) -> None:
    fault = only_fault(request_)
    assert (fault.code, fault.target) == ("BadRequest", target)
    assert fault.message.startswith(f"Request body validation error. See property '{target}'. ")
    assert says in fault.message


@pytest.mark.parametrize("count", [51, 52, 1000])
def test_recipients_beyond_the_limit_are_refused_with_both_numbers(count: int) -> None:
    fault = only_fault(to(*[{"address": JANE}] * count))
    assert fault.target == "recipients"
    assert "It has at least 51 members" in fault.message
    assert "at most 50 are allowed" in fault.message


def test_recipients_are_counted_over_all_three_lists() -> None:
    lists = {name: [{"address": JANE}] * 17 for name in ("to", "cc", "bcc")}
    fault = only_fault(message(recipients=lists))
    assert "It has 51 members in to, cc and bcc together" in fault.message


BAD_ADDRESSES = {
    "empty": "",
    "no at sign": "jane.fabrikam.example",
    "two at signs": "jane@x@fabrikam.example",
    "nothing before": "@fabrikam.example",
    "nothing after": "jane@",
    "no dot": "jane@localhost",
    "address literal": "jane@[127.0.0.1]",
    "display name in it": "Jane <jane@fabrikam.example>",
    "quoted": '"jane doe"@fabrikam.example',
    "comment": "jane(x)@fabrikam.example",
    "list": "jane@fabrikam.example,joe@fabrikam.example",
    "blank": "jane @fabrikam.example",
    "blank before": " jane@fabrikam.example",
    "dot at the end": "jane.@fabrikam.example",
    "two dots": "jane..doe@fabrikam.example",
    "trailing dot": "jane@fabrikam.example.",
    "local part too long": "a" * 65 + "@fabrikam.example",
    "label too long": "jane@" + "a" * 64 + ".example",
    "address too long": "jane@" + ".".join(["a" * 60] * 5) + ".example",
    "much too long": "a" * 100_000 + "@fabrikam.example",
    "CR LF and a command": "jane@fabrikam.example\r\nRCPT TO:<x@y.example>",
    "CR": "jane\r@fabrikam.example",
    "LF": "jane@fabrikam.example\n",
    "NUL": "jane\0@fabrikam.example",
    "tab": "jane@fabrikam.example\t",
    "DEL": "jane\x7f@fabrikam.example",
    "8-bit control": "jane\x85@fabrikam.example",
    "line separator": "jane\u2028@fabrikam.example",
    "right-to-left override": "jane\u202e@fabrikam.example",
    "encoded word": "=?utf-8?q?jane?=@fabrikam.example",
}


@pytest.mark.parametrize("address", BAD_ADDRESSES.values(), ids=BAD_ADDRESSES)
@pytest.mark.parametrize(
    ("where", "target"),
    [
        (lambda address: message(senderAddress=address), "senderAddress"),
        (lambda address: to({"address": JANE}, {"address": address}), "recipients.to[1].address"),
        (lambda address: message(recipients={"cc": [{"address": address}]}), "recipients.cc[0].address"),
        (lambda address: message(recipients={"bcc": [{"address": address}]}), "recipients.bcc[0].address"),
        (lambda address: message(replyTo=[{"address": address}]), "replyTo[0].address"),
    ],
    ids=["sender", "to", "cc", "bcc", "replyTo"],
)
def test_address_that_is_bad_is_refused_wherever_it_stands(address: str, where: Any, target: str) -> None:
    fault = only_fault(where(address))
    assert fault.target == target
    assert fault.code == ("BadRequest" if len(address) > 10_000 else "InvalidEmailAddress")
    assert fault.message.isprintable()
    assert f"See property '{target}'" in fault.message


def test_address_in_bytes_that_are_no_utf8_is_refused_at_its_field() -> None:
    body = json.dumps(to({"address": "j?ne@fabrikam.example"})).encode().replace(b"?", b"\xe4")
    fault = only_fault(body)
    assert (fault.target, fault.message.endswith("It is not valid UTF-8.")) == ("recipients.to[0].address", True)


def test_every_bad_field_is_named_in_one_answer() -> None:
    faults = refusal(
        {
            "senderAddress": "nobody",
            "senderDisplayName": 1,
            "content": {"subject": 7, "plainText": [], "html": "\0"},
            "recipients": {"to": [{"address": "x"}, {"address": JANE, "displayName": "\n"}], "cc": 3, "bcc": [None]},
            "replyTo": [{"address": "y@z"}],
            "headers": {"From": "x@y.z", "X-A": 1, "x-priority": "urgent"},
            "attachments": [{"name": "a.exe", "contentType": "x", "contentInBase64": "*", "contentId": "a b"}, 1],
            "userEngagementTrackingDisabled": "no",
        }
    ).faults
    assert [fault.target for fault in faults] == [
        "senderDisplayName", "senderAddress", "content.subject", "content.plainText", "content.html", "recipients.cc",
        "recipients.to[0].address", "recipients.to[1].displayName", "recipients.bcc[0]", "replyTo[0].address",
        "headers['X-A']", "headers['From']", "headers['x-priority']",
        "attachments[0].name", "attachments[0].contentType", "attachments[0].contentId", "attachments[0].contentInBase64",
        "attachments[1]", "userEngagementTrackingDisabled",
    ]  # fmt: skip


def test_faults_of_one_answer_are_capped() -> None:
    everyone = [{"address": f"{number}"} for number in range(40)]
    assert len(refusal(message(recipients={"to": everyone}, replyTo=everyone)).faults) == MAX_FAULTS == 50
