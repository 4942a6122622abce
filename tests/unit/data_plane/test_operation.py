"""The EmailSendResult, its URL, its pace and its id."""

from __future__ import annotations

import json

import pytest

from email_core.data_plane.operation import (
    OperationStatus,
    OperationView,
    RecipientStatus,
    RecipientView,
    accepted_body,
    canonical_operation_id,
    check_operation_id,
    iso_instant,
    operation_body,
    operation_location,
    poll_pause,
)
from email_core.data_plane.refusals import all_recipients_suppressed
from email_core.errors import RequestRefused

ID = "7f0b1d6e-4a53-4f0c-9d2b-1c3a5e7f9b11"


def test_accepted_body_is_that_of_the_specification() -> None:
    assert accepted_body(ID) == b'{"id":"7f0b1d6e-4a53-4f0c-9d2b-1c3a5e7f9b11","status":"Running"}'


def test_operation_body_without_recipients_is_that_of_acs() -> None:
    body = json.loads(operation_body(OperationView(ID, OperationStatus.SUCCEEDED)))
    assert body == {"id": ID, "status": "Succeeded", "error": None}


def test_operation_body_of_a_failed_one_has_the_error() -> None:
    body = json.loads(operation_body(OperationView(ID, OperationStatus.FAILED, all_recipients_suppressed())))
    assert body["status"] == "Failed"
    assert body["error"]["code"] == "EmailDroppedAllRecipientsSuppressed"
    assert body["error"]["message"].startswith("Message dropped because all recipients were suppressed")


def test_operation_body_says_what_became_of_each_recipient() -> None:
    deferred = RecipientView(
        "jane@fabrikam.example", RecipientStatus.DEFERRED, attempts=2, last_reply="451 4.7.1 Greylisted",
        next_attempt=1_795_317_583.25, possible_duplicate=True,
    )  # fmt: skip
    view = OperationView(ID, OperationStatus.RUNNING, recipients=(deferred, RecipientView("joe@fabrikam.example")))
    assert json.loads(operation_body(view))["recipients"] == [
        {
            "address": "jane@fabrikam.example", "status": "Deferred", "attempts": 2, "lastReply": "451 4.7.1 Greylisted",
            "nextAttempt": "2026-11-22T03:19:43.250Z", "possibleDuplicate": True,
        },
        {
            "address": "joe@fabrikam.example", "status": "Pending", "attempts": 0, "lastReply": None,
            "nextAttempt": None, "possibleDuplicate": False,
        },
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_795_317_583, "2026-11-22T03:19:43.000Z"),
        (1_795_317_583.9994, "2026-11-22T03:19:43.999Z"),
    ],
)
def test_instant_is_written_in_utc_with_milliseconds(seconds: float, text: str) -> None:
    assert iso_instant(seconds) == text


@pytest.mark.parametrize("status", RecipientStatus)
def test_recipient_status_is_final_unless_something_is_still_tried(status: RecipientStatus) -> None:
    assert status.final == (status.value not in ("Pending", "Deferred"))


@pytest.mark.parametrize(
    ("age", "pause"), [(-60, 1), (0, 1), (1.9, 1), (2, 2), (9.9, 2), (10, 3), (30, 4), (119, 4), (120, 5), (1e9, 5)]
)
def test_poll_pause_of_a_running_operation_grows_with_its_age(age: float, pause: int) -> None:
    assert poll_pause(OperationStatus.RUNNING, age) == pause


@pytest.mark.parametrize("status", [OperationStatus.SUCCEEDED, OperationStatus.FAILED, OperationStatus.CANCELED])
def test_poll_pause_of_a_final_operation_is_none(status: OperationStatus) -> None:
    assert status.is_final
    assert poll_pause(status, 1) is None


def test_operation_location_keeps_the_host_and_version_of_the_client() -> None:
    location = operation_location("https", "localhost:7443", ID, "2023-03-31")
    assert location == f"https://localhost:7443/emails/operations/{ID}?api-version=2023-03-31"


@pytest.mark.parametrize("text", [ID, ID.upper(), "00000000-0000-0000-0000-000000000000"])
def test_operation_id_that_is_a_uuid_is_taken_in_lower_case(text: str) -> None:
    assert check_operation_id(text) == text.lower()


@pytest.mark.parametrize(
    "text",
    [
        "", "1", ID[:-1], f"{ID}0", ID.replace("-", ""), f"{{{ID}}}", f"urn:uuid:{ID}", f"{ID},{ID}", f"{ID}\n",
        ID.replace("7", "g"), ID.replace("7", "\uff17"), f"{ID}/../x", ID.replace("-", "_"),
    ],
)  # fmt: skip
def test_operation_id_that_is_no_uuid_is_refused(text: str) -> None:
    assert canonical_operation_id(text) == ""
    with pytest.raises(RequestRefused) as caught:
        check_operation_id(text)
    (fault,) = caught.value.faults
    assert (caught.value.status, fault.code, fault.target) == (400, "BadRequest", "Operation-Id")
    assert fault.message.isprintable()
