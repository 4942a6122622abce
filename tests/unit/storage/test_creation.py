"""What `ensure` makes of the answers of the SDKs: what is there already is fine, what is being deleted is not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ServiceRequestError,
    ServiceResponseError,
)

from email_core.errors import StorageRefused, StorageUnavailable
from email_core.storage.creation import judge
from tests.unit.storage.faulty_server import Reply, faulty_storage

CASES = {"queues": ("Queue", "submissions"), "containers": ("Container", "content"), "tables": ("Table", "messages")}


def conflict(code: str) -> Reply:
    """A 409 as the service in question writes it."""
    if code.startswith("Table"):
        body = b'{"odata.error":{"code":"%s","message":{"lang":"en-US","value":"Why.\\nRequestId:1"}}}' % code.encode()
        return Reply(409, body, {"Content-Type": "application/json", "x-ms-error-code": code})
    body = b'<?xml version="1.0" encoding="utf-8"?><Error><Code>%s</Code><Message>Why.</Message></Error>' % code.encode()
    return Reply(409, body, {"Content-Type": "application/xml", "x-ms-error-code": code})


def fault(status: int, code: Any, kind: type[HttpResponseError] = HttpResponseError) -> HttpResponseError:
    """An error as an SDK raises it."""
    error = kind("Why.\nRequestId:1", response=Mock(status_code=status))
    error.error_code = code  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(("what", "noun", "name"), [(what, *case) for what, case in CASES.items()])
async def test_ensure_what_exists_already_is_left_alone(what: str, noun: str, name: str) -> None:
    async with faulty_storage(conflict(f"{noun}AlreadyExists")) as (storage, server):
        await storage.ensure(**{what: [name]})
    assert len(server.received) == 1


@pytest.mark.parametrize(("what", "noun", "name"), [(what, *case) for what, case in CASES.items()])
async def test_ensure_what_is_being_deleted_is_unavailable(what: str, noun: str, name: str) -> None:
    async with faulty_storage(conflict(f"{noun}BeingDeleted")) as (storage, _):
        with pytest.raises(StorageUnavailable, match=f"{noun}BeingDeleted"):
            await storage.ensure(**{what: [name]})


@pytest.mark.parametrize(("what", "noun", "name"), [(what, *case) for what, case in CASES.items()])
async def test_ensure_another_conflict_is_refused(what: str, noun: str, name: str) -> None:
    code = "TableOfAnotherKind" if what == "tables" else "AccountAlreadyExists"
    async with faulty_storage(conflict(code)) as (storage, _):
        with pytest.raises(StorageRefused) as caught:
            await storage.ensure(**{what: [name]})
    assert (caught.value.status, caught.value.code) == (409, code)


@pytest.mark.parametrize("code", ["QueueBeingDeleted", SimpleNamespace(value="QueueBeingDeleted")])
def test_judge_reads_the_code_as_text_and_as_an_enumeration(code: object) -> None:
    with pytest.raises(StorageUnavailable, match="QueueBeingDeleted"):
        judge(fault(409, code, ResourceExistsError))


@pytest.mark.parametrize(
    "error",
    [
        fault(408, "OperationTimedOut"),
        fault(429, "TooManyRequests"),
        fault(500, "InternalError"),
        fault(503, "ServerBusy"),
        ServiceRequestError("no connection"),
        ServiceResponseError("no answer"),
    ],
    ids=["408", "429", "500", "503", "no connection", "no answer"],
)
def test_judge_what_may_pass_is_unavailable(error: Exception) -> None:
    with pytest.raises(StorageUnavailable):
        judge(error)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (fault(403, "AuthorizationPermissionMismatch"), 403, "AuthorizationPermissionMismatch"),
        (fault(403, "AuthenticationFailed", ClientAuthenticationError), 403, "AuthenticationFailed"),
        (fault(400, None), 400, ""),
        (fault(409, None, ResourceExistsError), 409, ""),
    ],
)
def test_judge_what_stays_wrong_is_refused_in_one_line(error: HttpResponseError, status: int, code: str) -> None:
    with pytest.raises(StorageRefused) as caught:
        judge(error)
    assert (caught.value.status, caught.value.code) == (status, code)
    assert "RequestId" not in str(caught.value)


def test_judge_a_fault_of_ours_goes_on_as_it_is() -> None:
    with pytest.raises(KeyError):
        judge(KeyError("ours"))


def test_judge_an_answer_is_no_error() -> None:
    judge(None)
