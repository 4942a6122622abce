"""The ErrorResponse, read back with the class that the official Python client reads it with."""

from __future__ import annotations

import json

from azure.core.exceptions import ODataV4Format

from email_core.data_plane.error_body import error_body, error_headers
from email_core.errors import Fault, RequestRefused

SUBJECT = Fault("BadRequest", "The subject is missing.", "content.subject")
ADDRESS = Fault("InvalidEmailAddress", "The address has no @.", "recipients.to[3].address")


def test_error_body_of_one_fault_has_code_message_and_target_at_the_top() -> None:
    body = json.loads(error_body(RequestRefused(400, SUBJECT)))
    assert body == {"error": {"code": "BadRequest", "message": "The subject is missing.", "target": "content.subject"}}


def test_error_body_of_a_fault_without_a_target_leaves_it_out() -> None:
    body = json.loads(error_body(RequestRefused(503, Fault("ServiceUnavailable", "Try again."), retry_after=2)))
    assert body == {"error": {"code": "ServiceUnavailable", "message": "Try again."}}


def test_error_body_of_several_faults_has_the_first_at_the_top_and_all_in_details() -> None:
    error = json.loads(error_body(RequestRefused(400, SUBJECT, ADDRESS)))["error"]
    assert (error["code"], error["target"]) == ("BadRequest", "content.subject")
    assert error["message"] == "The subject is missing. (1 more fault: see details.)"
    assert error["details"] == [
        {"code": "BadRequest", "message": "The subject is missing.", "target": "content.subject"},
        {"code": "InvalidEmailAddress", "message": "The address has no @.", "target": "recipients.to[3].address"},
    ]


def test_error_body_is_shown_by_the_python_client_with_every_fault() -> None:
    shown = str(ODataV4Format(json.loads(error_body(RequestRefused(400, SUBJECT, ADDRESS)))["error"]))
    assert "(BadRequest) The subject is missing." in shown
    assert "The address has no @." in shown
    assert "recipients.to[3].address" in shown


def test_error_body_with_text_beyond_ascii_is_utf8() -> None:
    body = error_body(RequestRefused(400, Fault("BadRequest", "Zoë 李")))
    assert "Zoë 李".encode() in body


def test_error_code_header_is_the_code_of_the_body() -> None:
    refused = RequestRefused(400, ADDRESS, SUBJECT)
    assert error_headers(refused)["x-ms-error-code"] == json.loads(error_body(refused))["error"]["code"]


def test_retry_after_header_on_429_and_503_is_a_whole_number() -> None:
    for status in (429, 503):
        assert error_headers(RequestRefused(status, SUBJECT, retry_after=17))["retry-after"] == "17"


def test_retry_after_header_on_another_status_is_left_out() -> None:
    assert "retry-after" not in error_headers(RequestRefused(400, SUBJECT, retry_after=17))


def test_challenge_header_stands_on_401_alone_and_names_the_one_scheme_that_is_taken() -> None:
    assert error_headers(RequestRefused(401, SUBJECT))["www-authenticate"] == "HMAC-SHA256"
    assert "www-authenticate" not in error_headers(RequestRefused(403, SUBJECT))
