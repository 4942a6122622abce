"""`./postrider explain`: what it prints and how it ends, against a data plane that is a list of answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from email_core.delivery.outcome import Stage
from email_core.explain.story import explain_message
from local import cli
from local.explain_options import STAGES
from local.ports import free_ports
from tests.unit.explain.rows import ACCEPTED, ID, entry, row
from tests.unit.local.test_send import KEY, Service

TOLD = msgspec.to_builtins(
    explain_message(row(entry("Bounced", "550 5.1.1 no", bounce_class="invalid_recipient")), [], now=ACCEPTED)
)
NOT_FOUND = {"error": {"code": "NotFound", "message": "There is no operation of that id."}}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COMMUNICATION_CONNECTION_STRING_EMAIL", "AzureWebJobsStorage", "AzureWebJobsStorage__accountName"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Any]:
    services: list[Service] = []

    def explain(answer: tuple[int, dict[str, Any]], *arguments: str) -> tuple[int, Service]:
        services.append(Service(answer))
        words = [*(arguments or (ID,)), "--endpoint", services[-1].endpoint, "--access-key", KEY]
        return cli.main(["explain", *words], tmp_path), services[-1]

    yield explain
    for service in services:
        service.shutdown()
        service.server_close()


def test_explain_asks_the_service_with_its_key_and_prints_the_story(ask: Any, capsys: pytest.CaptureFixture[str]) -> None:
    status, service = ask((200, TOLD), ID.upper())
    told = capsys.readouterr().out
    assert status == 0
    assert [request[:2] for request in service.requests] == [
        ("GET", f"/emails/operations/{ID}/explanation?api-version=2025-09-01")
    ]
    assert told.startswith(f"Message {ID}\n")
    assert "ann@fabrikam.test: Bounced" in told
    assert "\x1b" not in told  # no terminal


def test_explain_json_prints_the_answer_as_it_is(ask: Any, capsys: pytest.CaptureFixture[str]) -> None:
    newer = {**TOLD, "mood": "größer"}
    assert ask((200, newer), ID, "--json")[0] == 0
    assert json.loads(capsys.readouterr().out) == newer


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((404, NOT_FOUND), "refused with 404: NotFound There is no operation of that id."),
        ((401, {"error": {"code": "Denied", "message": "no"}}), "refused with 401: Denied no"),
        ((404, {}), "has no explanations"),
        ((200, {"id": ID}), "no explanation that this version can read"),
    ],
)
def test_explain_that_gets_no_explanation_ends_with_1(
    ask: Any, answer: tuple[int, dict[str, Any]], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(answer)[0] == 1
    assert words in capsys.readouterr().err


def test_explain_without_a_world_ends_with_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", ID], tmp_path) == 3
    assert "./postrider up" in capsys.readouterr().err


def test_explain_by_the_name_of_the_log_without_an_installation_ends_with_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["explain", f"k1:{ID}"], tmp_path) == 3
    assert "no installation is known here" in capsys.readouterr().err


def test_explain_at_a_service_that_does_not_answer_ends_with_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    endpoint = f"http://127.0.0.1:{free_ports(1)[0]}"
    assert cli.main(["explain", ID, "--endpoint", endpoint, "--access-key", KEY], tmp_path) == 3
    assert "nothing answers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["not-an-id"], "names no message: give the operation id"),
        (["k1:not-an-id"], "what stands after message= in the mail log"),
        ([f"k/1:{ID}"], "which is the key of the service, a colon and that id"),
        ([f"k#1:{ID}"], "which is the key of the service, a colon and that id"),
        ([f":{ID}"], "which is the key of the service, a colon and that id"),
        ([ID, "--stage", "data"], "go with --reply"),
        ([ID, "--mx", "x"], "go with --reply"),
        (["--reply", "hello"], "begins with its three digits"),
        (["--reply", ""], "begins with its three digits"),
        ([ID, "--endpoint", "https://x"], "go together"),
    ],
)
def test_explain_with_a_wrong_command_line_ends_with_2(
    tmp_path: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["explain", *arguments], tmp_path) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--json"], [ID, "--reply", "550 no"], ["--reply", "550 no", "--stage", "route"]])
def test_explain_with_options_that_argparse_refuses_ends_with_2(tmp_path: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        cli.main(["explain", *arguments], tmp_path)
    assert raised.value.code == 2


def test_explain_stages_are_those_at_which_a_server_replies() -> None:
    assert set(STAGES) == set(map(str, Stage)) - {Stage.ROUTE, Stage.DNS}


def test_explain_reply_needs_no_service_and_prints_what_it_means(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--reply", r"550-5.1.1 User unknown\n550 5.1.1 see https://x.test", "--mx", "aspmx.l.google.com"]
    assert cli.main(["explain", *words], tmp_path) == 0
    told = capsys.readouterr().out
    assert told.startswith("Reply 550 5.1.1 User unknown see https://x.test\n")
    assert "from aspmx.l.google.com" in told
    assert "google-no-such-user, class invalid_recipient" in told


def test_explain_reply_as_json_has_class_rule_and_what_follows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", "--reply", "450 4.2.0 Greylisted", "--stage", "rcpt", "--json"], tmp_path) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["bounceClass"], told["rule"], told["disposition"]) == ("greylisted", "greylisted", "deferred")
    assert (told["retried"], told["pause"], told["suppress"]) == (True, 300.0, False)
