"""The client of the administrators' commands: which installation, which token, and what is told of answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError

from local import cli
from local.arm_client import ArmClient, ServiceRefused
from local.environment import write_environment
from local.folder import Folder
from local.http_call import NothingRunning
from tests.kit.free_ports import free_port
from tests.unit.local.arm_service import SUBSCRIPTION, TOKEN, ArmService, Asked

EMPTY: dict[str, Any] = {"value": []}


@pytest.fixture(autouse=True)
def no_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POSTRIDER_ENDPOINT", "POSTRIDER_ADMIN_TOKEN", "AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[ArmService]:
    """A service without any resource, which the environment names."""
    with ArmService(lambda asked: (200, EMPTY)) as running:
        monkeypatch.setenv("POSTRIDER_ENDPOINT", running.endpoint)
        monkeypatch.setenv("POSTRIDER_ADMIN_TOKEN", TOKEN)
        monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", SUBSCRIPTION)
        yield running


def client_of(service: ArmService) -> ArmClient:
    return ArmClient(service.endpoint, lambda: TOKEN, SUBSCRIPTION)


def told(capsys: pytest.CaptureFixture[str], status: int, *words: str, root: Path = Path("/nonexistent")) -> str:
    assert cli.main(list(words), root) == status
    return capsys.readouterr().err


def test_command_without_an_installation_says_how_to_get_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "./postrider up" in told(capsys, 3, "domain", "list", root=tmp_path)


def test_command_that_nobody_answers_says_to_run_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTRIDER_ADMIN_TOKEN", TOKEN)
    words = ("domain", "list", "--endpoint", f"http://127.0.0.1:{free_port()}", "--subscription", SUBSCRIPTION)
    text = told(capsys, 3, *words, root=tmp_path)
    assert "nothing answers at http://127.0.0.1" in text
    assert "Is ./postrider up running?" in text


def test_command_reads_the_running_local_world_and_nothing_of_another_one(
    service: ArmService, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("POSTRIDER_ENDPOINT")
    monkeypatch.setenv("POSTRIDER_ADMIN_TOKEN", "of another installation")
    monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", "of another installation")
    folder = Folder.of_up(tmp_path)
    folder.state.mkdir()
    write_environment(
        folder.environment_file,
        {"POSTRIDER_ENDPOINT": service.endpoint, "POSTRIDER_ADMIN_TOKEN": TOKEN, "AZURE_SUBSCRIPTION_ID": SUBSCRIPTION},
    )
    assert cli.main(["domain", "list"], tmp_path) == 0
    assert "There are no domains" in capsys.readouterr().out
    assert service.asked[0].path == f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Communication/emailServices"
    assert service.asked[0].query["api-version"] == "2026-03-18"


@pytest.mark.parametrize(
    ("words", "missing", "said"),
    [
        (("--endpoint", "http://mail.contoso.com"), "", "is not https"),
        (("--endpoint", "ftp://localhost"), "", "https:// address"),
        (("--endpoint", "https://localhost/api"), "", "without a path"),
        ((), "POSTRIDER_ADMIN_TOKEN", "--scope api://"),
        ((), "AZURE_SUBSCRIPTION_ID", "--subscription"),
    ],
)
def test_command_that_lacks_something_ends_with_2_and_says_what(
    service: ArmService, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...], missing: str, said: str,
) -> None:  # fmt: skip
    if missing:
        monkeypatch.delenv(missing)
    assert said in told(capsys, 2, "domain", "list", *words)
    assert service.asked == []


def test_token_that_is_refused_ends_with_1_code_and_message(
    service: ArmService, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTRIDER_ADMIN_TOKEN", "another")
    text = told(capsys, 1, "audit")
    assert text == "postrider: refused with 401: AuthenticationFailed Authentication failed.\n"


def test_token_of_entra_is_asked_for_the_scope_and_sent(service: ArmService, monkeypatch: pytest.MonkeyPatch) -> None:
    scopes: list[str] = []

    class SignedIn:
        def get_token(self, scope: str) -> AccessToken:
            scopes.append(scope)
            return AccessToken(TOKEN, 2**31)

    monkeypatch.setattr("local.entra_token.DefaultAzureCredential", SignedIn)
    monkeypatch.setenv("POSTRIDER_ADMIN_TOKEN", "not this one")
    assert cli.main(["domain", "list", "--scope", "api://postrider/.default"], Path("/nonexistent")) == 0
    assert scopes == ["api://postrider/.default"]


def test_nobody_signed_in_ends_with_1_and_says_so(
    service: ArmService, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class SignedOut:
        def get_token(self, scope: str) -> AccessToken:
            raise ClientAuthenticationError("no credential in the chain")

    monkeypatch.setattr("local.entra_token.DefaultAzureCredential", SignedOut)
    text = told(capsys, 1, "domain", "list", "--scope", "api://postrider/.default")
    assert "no token for api://postrider/.default: no credential in the chain" in text


def test_refusal_of_several_fields_tells_each(service: ArmService, capsys: pytest.CaptureFixture[str]) -> None:
    details = [{"target": f"properties.{name}", "message": f"{name} is wrong."} for name in ("one", "two")]
    service.answer = lambda asked: (400, {"error": {"code": "InvalidRequestContent", "message": "No.", "details": details}})
    lines = told(capsys, 1, "domain", "list").splitlines()
    assert lines[1:] == ["  properties.one: one is wrong.", "  properties.two: two is wrong."]


def test_answer_that_is_none_of_ours_is_told_as_that(service: ArmService, capsys: pytest.CaptureFixture[str]) -> None:
    service.answer = lambda asked: (404, b"<html>nginx</html>")
    assert "Is the endpoint that of a Postrider" in told(capsys, 1, "domain", "list")


def test_list_follows_its_pages_and_takes_the_token_to_no_other_host(service: ArmService) -> None:
    def answer(asked: Asked) -> tuple[int, Any]:
        if "$skipToken" in asked.query:
            return 200, {"value": [{"name": "two"}]}
        return 200, {"value": [{"name": "one"}], "nextLink": f"https://evil.example{asked.path}?api-version=1&$skipToken=x"}

    service.answer = answer
    assert [each["name"] for each in client_of(service).list("/things")] == ["one", "two"]
    assert [(asked.path, asked.query.get("$skipToken")) for asked in service.asked] == [("/things", None), ("/things", "x")]


def test_redirection_is_not_followed(service: ArmService) -> None:
    service.answer = lambda asked: (302, {}, {"Location": f"{service.endpoint}/elsewhere"})
    with pytest.raises(ServiceRefused, match="302"):
        client_of(service).get("/thing")
    assert len(service.asked) == 1


def test_deletion_is_followed_to_its_end(service: ArmService) -> None:
    states = iter(["Running", "Succeeded"])

    def answer(asked: Asked) -> tuple[int, Any] | tuple[int, Any, dict[str, str]]:
        if asked.method == "DELETE":
            return 202, None, {"Azure-AsyncOperation": f"{service.endpoint}/status/1?api-version=1"}
        return 200, {"status": next(states)}

    service.answer = answer
    assert client_of(service).delete("/thing")
    assert [repr(asked) for asked in service.asked] == ["DELETE /thing", "GET /status/1", "GET /status/1"]


def test_deletion_with_a_location_alone_is_followed_to_its_end(service: ArmService) -> None:
    statuses = iter([202, 204])

    def answer(asked: Asked) -> tuple[int, Any] | tuple[int, Any, dict[str, str]]:
        if asked.method == "DELETE":
            return 202, None, {"Location": f"{service.endpoint}/result/1?api-version=1"}
        return next(statuses), None

    service.answer = answer
    assert client_of(service).delete("/thing")
    assert [repr(asked) for asked in service.asked] == ["DELETE /thing", "GET /result/1", "GET /result/1"]


def test_deletion_that_fails_is_told_with_its_error(service: ArmService) -> None:
    def answer(asked: Asked) -> tuple[int, Any] | tuple[int, Any, dict[str, str]]:
        if asked.method == "DELETE":
            return 202, None, {"Azure-AsyncOperation": f"{service.endpoint}/status/1"}
        return 200, {"status": "Failed", "error": {"code": "DomainLinked", "message": "It is linked."}}

    service.answer = answer
    with pytest.raises(ServiceRefused, match=r"DomainLinked It is linked\."):
        client_of(service).delete("/thing")


def test_nothing_there_is_found_as_none_and_not_deleted(service: ArmService) -> None:
    service.answer = lambda asked: (204, None) if asked.method == "DELETE" else (404, {"error": {"code": "ResourceNotFound"}})
    assert client_of(service).find("/thing") is None
    assert not client_of(service).delete("/thing")


def test_names_are_quoted_in_paths_and_bodies_sent_as_json(service: ArmService) -> None:
    client_of(service).put("/domains/bücher test", {"a": "ü"})
    assert (service.asked[0].path, service.asked[0].body) == ("/domains/bücher test", {"a": "ü"})
    assert service.asked[0].headers["content-type"] == "application/json"


def test_client_shows_no_token_when_it_is_printed() -> None:
    assert TOKEN not in repr(ArmClient("https://localhost", lambda: TOKEN))


def test_nobody_at_the_endpoint_raises_nothing_running() -> None:
    with pytest.raises(NothingRunning):
        ArmClient(f"http://127.0.0.1:{free_port()}", lambda: TOKEN).get("/thing")


@pytest.mark.parametrize("services", [0, 2])
def test_email_service_that_is_not_the_only_one_has_to_be_named(
    service: ArmService, capsys: pytest.CaptureFixture[str], services: int
) -> None:
    found = [{"id": f"/x/emailServices/mail{number}", "name": f"mail{number}"} for number in range(services)]
    service.answer = lambda asked: (200, {"value": found if asked.path.endswith("/emailServices") else []})
    status = 2 if services else 1
    text = told(capsys, status, "domain", "add", "contoso.com")
    assert ("--email-service" if services else "there is no email service") in text
    assert [asked.method for asked in service.asked] == ["GET"]


@pytest.mark.parametrize(
    "words",
    [
        ("domain",),
        ("domain", "add"),
        ("domain", "add", "contoso.com", "--managed"),
        ("domain", "add", "contoso.com", "--limit", "messages=5"),
        ("domain", "verify"),
        ("domain", "verify", "contoso.com", "--record", "MX"),
        ("domain", "verify", "contoso.com", "--no-wait", "--wait", "3"),
        ("key", "regenerate", "third"),
        ("suppression", "add", "contoso.com", "blocked"),
        ("audit", "--top", "-1"),
        ("audit", "--verify", "--resource", "/subscriptions"),
    ],
    ids=" ".join,
)
def test_wrong_command_line_ends_with_2_and_asks_nothing(
    service: ArmService, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    try:
        status = cli.main(list(words), Path("/nonexistent"))
    except SystemExit as ended:
        status = int(str(ended.code))
    assert status == 2
    assert capsys.readouterr().err
    assert service.asked == []
