"""The `headers` of a request: custom fields, reserved ones, switches, Message-ID and importance."""

from __future__ import annotations

import json

import pytest

from email_core.message.headers import RESERVED_HEADERS
from tests.unit.data_plane.requests import message, only_fault, parse, refusal

VALIDATE = "x-ms-acsemail-validate-message-id"


def test_custom_headers_are_kept_in_order_with_their_case() -> None:
    headers = {"X-B": "1", "List-Unsubscribe": "<https://contoso.example/u>", "X-A": "zoë"}
    assert parse(message(headers=headers)).headers == tuple(headers.items())


@pytest.mark.parametrize("pattern", sorted(set(RESERVED_HEADERS) - {"message-id", "x-ms-acsemail-*"}))
def test_reserved_header_is_refused_in_any_case(pattern: str) -> None:
    for name in (pattern.replace("*", "x"), pattern.replace("*", "x").title()):
        fault = only_fault(message(headers={name: "a@b.example"}))
        assert fault.target == f"headers['{name}']"
        assert "set by the service" in fault.message


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("From", "use senderAddress and senderDisplayName"), ("TO", "use recipients.to"), ("cc", "use recipients.cc"),
        ("Bcc", "use recipients.bcc"), ("Reply-To", "use replyTo"), ("Subject", "use content.subject"),
        ("Sender", "use senderAddress"), ("Content-Id", "use contentId of the attachment"),
    ],
)  # fmt: skip
def test_reserved_header_with_a_property_of_its_own_is_refused_with_the_property(name: str, remedy: str) -> None:
    assert remedy in only_fault(message(headers={name: "a@b.example"})).message


HOSTILE = {
    "LF in the value": ("X-A", "a\nBcc: x@y.z"), "CR in the value": ("X-A", "a\rBcc: x@y.z"),
    "CR LF and a blank": ("X-A", "a\r\n b"), "NUL in the value": ("X-A", "a\0b"), "tab in the value": ("X-A", "a\tb"),
    "8-bit control in the value": ("X-A", "a\x85b"), "line separator in the value": ("X-A", "a\u2028b"),
    "LF in the name": ("X-A\nBcc", "x@y.z"), "CR LF in the name": ("X-A: b\r\nBcc", "x@y.z"), "NUL in the name": ("X\0", "a"),
    "tab in the name": ("X\tA", "a"), "colon in the name": ("Bcc: x@y.z, X", "a"), "blank in the name": ("From ", "x@y.z"),
    "8-bit name": ("X-Zoë", "a"), "name empty": ("", "a"), "name too long": ("X" * 77, "a"), "value empty": ("X-A", ""),
    "value blank": ("X-A", "  "), "value too long": ("X-A", "a " * 10_000), "value that cannot be folded": ("X-A", "a" * 2000),
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_header_is_refused_without_an_echo_of_its_controls(name: str, value: str) -> None:
    fault = only_fault(message(headers={name: value}))
    assert fault.code == "BadRequest"
    assert fault.target.startswith("headers['")
    assert fault.message.isprintable()


@pytest.mark.parametrize(("value", "found"), [(1, "a number"), (None, None), (["a"], "an array"), ({}, "an object")])
def test_header_value_that_is_no_string_is_refused_and_null_is_absent(value: object, found: str | None) -> None:
    request = message(headers={"X-A": value})
    if found is None:
        assert parse(request).headers == ()
    else:
        assert f"It must be a string, not {found}." in only_fault(request).message


@pytest.mark.parametrize("second", ["X-A", "x-a", "X-a"])
def test_header_that_appears_twice_is_refused_whatever_its_case(second: str) -> None:
    body = json.dumps(message(headers={"X-A": "1", "SECOND": "2"})).replace("SECOND", second).encode()
    fault = only_fault(body)
    assert fault.target == f"headers['{second}']"
    assert "It is there twice" in fault.message


def test_reserved_header_behind_an_innocent_twin_is_refused() -> None:
    body = json.dumps(message(headers={"X-A": "1"})).replace('"X-A": "1"', '"Bcc": null, "Bcc": "x@y.z"').encode()
    assert only_fault(body).target == "headers['Bcc']"


def test_header_names_written_with_escapes_are_the_same_names() -> None:
    body = json.dumps(message(headers={"Bcc": "x@y.z"})).replace('"Bcc"', '"\\u0042cc"').encode()
    assert only_fault(body).target == "headers['Bcc']"


def test_header_name_in_bytes_that_are_no_utf8_is_refused() -> None:
    body = json.dumps(message(headers={"X?": "a"})).encode().replace(b"X?", b"X\xff")
    assert only_fault(body).target == "headers"


def test_a_hundred_headers_are_accepted_and_one_more_is_not() -> None:
    headers = {f"X-{number}": "a" for number in range(101)}
    assert "It has 101 members; at most 100 are allowed." in only_fault(message(headers=headers)).message
    del headers["X-0"]
    assert len(parse(message(headers=headers)).headers) == 100


def test_headers_that_are_too_large_together_are_refused() -> None:
    headers = {f"X-{number}": "word " * 1000 for number in range(14)}
    assert "more than 65536 bytes together" in only_fault(message(headers=headers)).message


@pytest.mark.parametrize(
    "switch",
    [
        "x-ms-acsemail-ignore-duplicate-content-id", "X-MS-ACSEmail-Suppress-Invalid-Attachment", VALIDATE.upper(),
    ],
)  # fmt: skip
@pytest.mark.parametrize("value", ["true", "false", "True", "FALSE"])
def test_switch_is_consumed_and_never_sent(switch: str, value: str) -> None:
    assert parse(message(headers={switch: value, "X-A": "1"})).headers == (("X-A", "1"),)


@pytest.mark.parametrize("value", ["", "1", "yes", "true ", "tru\ne"])
def test_switch_with_another_value_is_refused(value: str) -> None:
    fault = only_fault(message(headers={VALIDATE: value}))
    assert fault.target == f"headers['{VALIDATE}']"
    assert "It must be 'true' or 'false'." in fault.message


def test_switch_that_is_unknown_is_refused_with_the_known_ones() -> None:
    fault = only_fault(message(headers={"x-ms-acsemail-validate-message_id": "true"}))
    assert VALIDATE in fault.message


MESSAGE_IDS = [  # the first five are the examples of ACS's page on reserved headers
    ("<guid@domain.com>", True),
    ("<202501131823.34067409c4494c2c8b2de03ceb26f173-NVZOA======@microsoft.com>", True),
    ("guid@domain.com", False),
    ("<guid>", False),
    ("<guid.domain>", False),
    ("<guid@domain>", False),
    ("<a b@domain.com>", False),
    ("<a@domain.com>\r\nBcc: x@y.z", False),
    ("<a@domain.com> <b@domain.com>", False),
    ("<" + "a" * 300 + "@domain.com>", False),
    ("", False),
]


@pytest.mark.parametrize("name", ["Message-ID", "message-id", "MESSAGE-Id"])
@pytest.mark.parametrize(("value", "valid"), MESSAGE_IDS)
def test_message_id_is_used_when_valid_and_replaced_when_not(name: str, value: str, valid: bool) -> None:
    draft = parse(message(headers={name: value}))
    assert draft.message_id == (value if valid else "")
    assert draft.headers == ()


@pytest.mark.parametrize(("value", "valid"), MESSAGE_IDS)
def test_message_id_that_is_invalid_is_refused_when_the_switch_asks_for_it(value: str, valid: bool) -> None:
    request = message(headers={"Message-ID": value, VALIDATE: "true"})
    if valid:
        assert parse(request).message_id == value
    else:
        fault = only_fault(request)
        assert fault.target == "headers['Message-ID']"
        assert fault.message.isprintable()


def test_message_id_in_two_cases_is_refused() -> None:
    assert refusal(message(headers={"Message-ID": "<a@b.example>", "message-id": "<c@d.example>"})).faults


@pytest.mark.parametrize("name", ["x-priority", "X-Priority", "X-MSMail-Priority"])
@pytest.mark.parametrize("value", ["1", "2", "3", "4", "5", "High", "normal", "LOW", "1 (Highest)", "5 (Lowest)"])
def test_importance_header_is_kept_as_given(name: str, value: str) -> None:
    assert parse(message(headers={name: value})).headers == ((name, value),)


@pytest.mark.parametrize("name", ["x-priority", "X-MSMail-Priority"])
@pytest.mark.parametrize("value", ["0", "6", "urgent", "", "1.0", "1\n", "1 (\r\nBcc: x@y.z)", "٣"])
def test_importance_header_with_another_value_is_refused(name: str, value: str) -> None:
    fault = only_fault(message(headers={name: value}))
    assert "It must be 1 (highest) to 5 (lowest), or High, Normal or Low." in fault.message


def test_time_to_live_is_taken_and_not_sent() -> None:
    draft = parse(message(headers={"X-Postrider-Time-To-Live": "900", "X-A": "1"}))
    assert (draft.time_to_live, draft.headers) == (900.0, (("X-A", "1"),))


@pytest.mark.parametrize("value", ["59", "432001", "1.5", "-900", "15m", "９００", "9" * 30])
def test_time_to_live_outside_its_bounds_is_refused(value: str) -> None:
    fault = only_fault(message(headers={"x-postrider-time-to-live": value}))
    assert "a whole number of seconds from 60 to 432000" in fault.message


def test_header_of_ours_that_is_unknown_is_refused() -> None:
    assert "x-postrider-time-to-live" in only_fault(message(headers={"x-postrider-ttl": "900"})).message
