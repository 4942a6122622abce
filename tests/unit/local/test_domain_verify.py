"""`./postrider domain verify`: what is asked for in which order, what is told, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local import cli, domain_verify
from tests.unit.local.arm_service import SUBSCRIPTION, TOKEN, ArmService, Asked

SERVICE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.Communication/emailServices/mail"
PATH = f"{SERVICE}/domains/contoso.com"
KINDS = ("Domain", "SPF", "DKIM", "DKIM2", "DMARC")
LATER = "2099-01-01T00:00:00.000000Z"


class Records:
    """A domain whose records are verified once they were asked for and looked at; `wrong` ones never are."""

    def __init__(self) -> None:
        self.states: dict[str, dict[str, Any]] = {kind: {"status": "NotStarted"} for kind in KINDS}
        self.wrong: dict[str, dict[str, Any]] = {}
        self.asked_for: list[str] = []
        self.reads = 0
        self.on_read: Callable[[int], None] = lambda number: None

    def __call__(self, asked: Asked) -> tuple[int, Any]:
        if asked.path.endswith("/emailServices"):
            return 200, {"value": [{"id": SERVICE, "name": "mail"}]}
        if asked.path.endswith("/domains"):
            return 200, {"value": [self.shown()]}
        if asked.method == "GET":
            self.reads += 1
            self.on_read(self.reads)
            shown = self.shown()
            self._look()
            return 200, shown
        kind = asked.body["verificationType"]
        if asked.path.endswith("/cancelVerification"):
            self.states[kind] = {"status": "NotStarted"}
            return 202, None
        if kind not in ("Domain", "DMARC") and self.states["Domain"]["status"] != "Verified":
            return 409, {"error": {"code": "DomainOwnershipNotVerified", "message": "Domain first."}}
        self.asked_for.append(kind)
        self.states[kind] = {"status": "VerificationRequested"}
        return 202, None

    def _look(self) -> None:
        for kind, state in self.states.items():
            if state["status"] == "VerificationRequested":
                self.states[kind] = self.wrong.get(kind, {"status": "Verified"})

    def shown(self) -> dict[str, Any]:
        properties = {
            "domainManagement": "CustomerManaged",
            "fromSenderDomain": "contoso.com",
            "verificationDetails": json.loads(json.dumps(self.states)),
        }
        return {"id": PATH, "name": "contoso.com", "properties": properties}


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> Iterator[Records]:
    answering = Records()
    monkeypatch.setattr(domain_verify, "_POLL_SECONDS", (0.001, 0.002))
    with ArmService(answering) as service:
        monkeypatch.setenv("POSTRIDER_ENDPOINT", service.endpoint)
        monkeypatch.setenv("POSTRIDER_ADMIN_TOKEN", TOKEN)
        monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", SUBSCRIPTION)
        monkeypatch.delenv("AZURE_RESOURCE_GROUP", raising=False)
        yield answering


def verify(*words: str) -> int:
    return cli.main(["domain", "verify", "contoso.com", *words], Path("/nonexistent"))


def test_verify_asks_for_the_owner_first_and_then_for_the_rest(records: Records, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify() == 0
    assert records.asked_for[0] == "Domain"
    assert sorted(records.asked_for) == sorted(KINDS)
    assert "contoso.com: verified. Let a service send from it: ./postrider domain link contoso.com" in capsys.readouterr().out


def test_verify_of_what_is_verified_asks_for_nothing(records: Records) -> None:
    records.states = {kind: {"status": "Verified"} for kind in KINDS}
    assert verify() == 0
    assert records.asked_for == []


def test_verify_tells_what_was_found_expected_the_reason_and_the_remedy(
    records: Records, capsys: pytest.CaptureFixture[str]
) -> None:
    records.wrong["SPF"] = {
        "status": "VerificationFailed",
        "found": ["v=spf1 ~all"],
        "expected": "v=spf1 include:spf.postrider.test -all",
        "reason": "The include is missing.",
        "remedy": "Add it before the all.",
    }
    assert verify() == 1
    out = capsys.readouterr().out
    for said in (
        "SPF       VerificationFailed", "The include is missing.", "Add it before the all.", "found     v=spf1 ~all",
        "expected  v=spf1 include:spf.postrider.test -all", "contoso.com: not verified yet: SPF",
    ):  # fmt: skip
        assert said in out
    assert out.count("The include is missing.") == 1


def test_verify_without_the_owner_proven_asks_for_nothing_that_would_be_refused(records: Records) -> None:
    records.wrong["Domain"] = {"status": "VerificationFailed", "reason": "It is not there."}
    assert verify() == 1
    assert set(records.asked_for) == {"Domain", "DMARC"}


def test_verify_does_not_wait_for_dmarc_which_is_advice(records: Records) -> None:
    records.wrong["DMARC"] = {"status": "VerificationInProgress", "checkedAt": LATER, "nextCheckAt": LATER, "reason": "None."}
    assert verify() == 0


def test_verify_of_one_record_waits_for_that_one(records: Records, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify("--record", "DMARC") == 0
    assert records.asked_for.count("DMARC") == 1
    assert "contoso.com: verified\n" in capsys.readouterr().out


def test_verify_no_wait_asks_and_is_gone_with_1(records: Records, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify("--no-wait") == 1
    assert records.asked_for[0] == "Domain"
    assert "The installation goes on looking. ./postrider domain show contoso.com" in capsys.readouterr().out


def test_verify_ends_waiting_after_the_seconds_given(records: Records) -> None:
    records.wrong["Domain"] = {"status": "VerificationInProgress", "nextCheckAt": LATER}
    assert verify("--wait", "0.3") == 1
    assert records.reads > 1


def test_ctrl_c_ends_waiting_and_not_verifying(
    records: Records, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    records.wrong["Domain"] = {"status": "VerificationInProgress", "nextCheckAt": LATER}
    tell = domain_verify._Run._tell

    def interrupted(run: Any, domain: Any) -> None:
        tell(run, domain)
        if records.reads > 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(domain_verify._Run, "_tell", interrupted)
    assert verify() == 1
    assert records.states["Domain"]["status"] == "VerificationInProgress"
    assert "The installation goes on looking." in capsys.readouterr().out


def test_verify_calls_off_a_look_that_is_far_away_to_have_one_now(records: Records) -> None:
    records.states["Domain"] = {"status": "VerificationInProgress", "nextCheckAt": LATER}
    assert verify() == 0
    assert records.asked_for.count("Domain") == 1


def test_verify_as_json_is_the_domain_alone(records: Records, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify("--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["properties"]["verificationDetails"]["DKIM2"]["status"] == "Verified"


def test_verify_of_a_domain_that_is_not_there_says_how_to_see_them(
    records: Records, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["domain", "verify", "fabrikam.com"], Path("/nonexistent")) == 1
    assert "./postrider domain list" in capsys.readouterr().err
