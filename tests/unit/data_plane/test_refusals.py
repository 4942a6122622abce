"""The codes, statuses and sentences that clients match on."""

from __future__ import annotations

import pytest

from email_core.data_plane import refusals
from email_core.errors import Fault, RequestRefused

HOSTILE = "x\r\nSet-Cookie: a=b\x00\u202e" + "y" * 500

# refusal, status, code, how ACS's text begins or what it holds
ANSWERS = [
    (refusals.malformed_body("It is empty."), 400, "BadRequest", "Request body validation error."),
    (refusals.invalid_operation_id(HOSTILE), 400, "BadRequest", "The Operation-Id header must be a UUID"),
    (
        refusals.invalid_sender_user_name("sales"), 400, "InvalidSenderUserName",
        "Invalid email sender username: 'sales'. "
        "Please use a username from the list of valid usernames configured by your admin.",
    ),
    (refusals.invalid_sender_user_name(HOSTILE), 400, "InvalidSenderUserName", "Invalid email sender username: "),
    (refusals.denied("signature differs"), 401, "Denied", "Denied by the resource provider."),
    (
        refusals.clock_skew("x-ms-date is 400 s away"), 401, "Denied",
        "The given request could not be resolved. The time difference between the originating client and the server is greater "
        "than the allowed margin of 5 minutes.",
    ),
    (refusals.domain_not_linked(HOSTILE), 404, "DomainNotLinked", "The specified sender domain has not been linked."),
    (
        refusals.domain_paused(HOSTILE, "SPF: There is no TXT record. Publish it again."), 404, "DomainNotLinked",
        "The specified sender domain has not been linked. Sending from 'x??Set-Cookie",
    ),
    (
        refusals.operation_not_found("7f0b1d6e-4a53-4f0c-9d2b-1c3a5e7f9b11"), 404, "NotFound",
        "Requested message could not be located. "
        "Couldn't find a record with the messageID: 7f0b1d6e-4a53-4f0c-9d2b-1c3a5e7f9b11",
    ),
    (refusals.operation_not_found(HOSTILE), 404, "NotFound", "Requested message could not be located. "),
    (refusals.operation_id_conflict("7f0b1d6e-4a53-4f0c-9d2b-1c3a5e7f9b11"), 409, "Conflict", "The Operation-Id '7f0b1d6e"),
    (refusals.length_required(), 411, "LengthRequired", "The request has no body."),
    (refusals.body_too_large(10_485_760), 413, "RequestBodyTooLarge", "The request body is larger than 10485760 bytes"),
    (
        refusals.too_many_requests("Minute", 60, "Rule."), 429, "TooManyRequests",
        "PerSubscriptionPerMinuteLimitExceeded - Please try again after 60 seconds.",
    ),
    (
        refusals.too_many_requests("Hour", 3600, "Rule."), 429, "TooManyRequests",
        "PerSubscriptionPerHourLimitExceeded - Please try again after 3600 seconds.",
    ),
    (
        refusals.limit_reached("The limit of 2 messages per day of domain x.test", "day", 1_790_035_200.0, 60), 429,
        "TooManyRequests", "Please try again after 60 seconds. The limit of 2 messages per day of domain x.test is used up",
    ),
    (
        refusals.limit_too_small("The limit of 2 recipients per day of domain x.test", 3, "recipients"), 400, "BadRequest",
        "Request body validation error. See property 'recipients'. The limit of 2 recipients per day",
    ),
    (refusals.limit_too_small("The limit of 1 messages", 2, "messages"), 400, "BadRequest", "The limit of 1 messages does not"),
    (refusals.service_unavailable(5, "storage timed out"), 503, "ServiceUnavailable", "The service cannot accept requests"),
    (refusals.internal_server_error("KeyError"), 500, "InternalServerError", "The service failed on this request."),
]  # fmt: skip


@pytest.mark.parametrize(("refused", "status", "code", "begins"), ANSWERS)
def test_refusal_has_the_status_code_and_first_sentence_of_acs(
    refused: RequestRefused, status: int, code: str, begins: str
) -> None:
    (fault,) = refused.faults
    assert (refused.status, fault.code) == (status, code)
    assert fault.message.startswith(begins)


@pytest.mark.parametrize(("refused", "status"), [(refused, status) for refused, status, _, _ in ANSWERS])
def test_refusal_asks_for_a_retry_only_when_a_retry_can_help(refused: RequestRefused, status: int) -> None:
    assert (refused.retry_after is not None) == (status in (429, 503))


@pytest.mark.parametrize("refused", [refused for refused, *_ in ANSWERS])
def test_refusal_shows_no_control_character_private_reason_or_long_value(refused: RequestRefused) -> None:
    (fault,) = refused.faults
    assert fault.message.isprintable()
    assert len(fault.message) < 450
    assert not refused.reason or refused.reason not in fault.message


@pytest.mark.parametrize(
    ("fault", "code", "begins"),
    [
        (
            refusals.bad_property("content.subject", "It is required."), "BadRequest",
            "Request body validation error. See property 'content.subject'",
        ),
        (
            refusals.bad_base64("attachments[0].contentInBase64", "It has a blank."), "BadRequest",
            "Request body validation error. See property 'attachments[0].contentInBase64'. "
            "ContentBytes invalid. Should be base64.",
        ),
        (
            refusals.invalid_email_address("recipients.to[0].address", "It has no @."), "InvalidEmailAddress",
            "Invalid format for email address",
        ),
        (
            refusals.all_recipients_suppressed(), "EmailDroppedAllRecipientsSuppressed",
            "Message dropped because all recipients were suppressed",
        ),
        (refusals.email_dropped("It was refused by every server."), "EmailDropped", "Message dropped"),
    ],
)  # fmt: skip
def test_fault_has_the_code_and_first_sentence_of_acs(fault: Fault, code: str, begins: str) -> None:
    assert fault.code == code
    assert fault.message.startswith(begins)


def test_visible_text_that_is_printable_and_short_stays_as_it_is() -> None:
    assert refusals.visible("Zoë 李") == "Zoë 李"


def test_visible_text_that_is_long_is_cut_and_says_so() -> None:
    assert refusals.visible("a" * 65) == "a" * 64 + "..."
