"""The dialogues of AUTH, and what a try costs."""

from __future__ import annotations

import pytest

from email_core.errors import StorageUnavailable
from smtp_relay import replies
from smtp_relay.counters import Counters
from smtp_relay.credentials import LoginRefused, Submitter
from smtp_relay.door import Visit
from smtp_relay.lockout import FREE, Lockout
from smtp_relay.login import Attempt, DialogueEnded, Logins, ask_for_attempt, decode_response
from tests.kit.clock import FakeClock


class Answers:
    """A client that gives these responses, and what it was asked."""

    def __init__(self, *responses: bytes) -> None:
        self.responses = list(responses)
        self.asked: list[bytes] = []

    async def __call__(self, challenge: bytes) -> bytes:
        self.asked.append(challenge)
        return self.responses.pop(0)


@pytest.mark.parametrize(
    ("mechanism", "initial", "responses", "asked", "expected"),
    [
        ("PLAIN", b"\0ann\0secret", [], [], Attempt("ann", "secret")),
        ("PLAIN", b"ann\0ann\0secret", [], [], Attempt("ann", "secret")),
        ("PLAIN", None, [b"\0ann\0secret"], [b""], Attempt("ann", "secret")),
        ("PLAIN", b"bob\0ann\0secret", [], [], None),
        ("PLAIN", b"ann\0secret", [], [], None),
        ("PLAIN", b"\0ann\0sec\0ret", [], [], None),
        ("PLAIN", b"\0\xff\0secret", [], [], None),
        ("LOGIN", None, [b"ann", b"secret"], [b"Username:", b"Password:"], Attempt("ann", "secret")),
        ("LOGIN", b"ann", [b"secret"], [b"Password:"], Attempt("ann", "secret")),
        ("XOAUTH2", b"user=ann\x01auth=Bearer to.k.en\x01\x01", [], [], Attempt("ann", "to.k.en", is_token=True)),
        ("XOAUTH2", b"user=ann\x01auth=Basic x\x01\x01", [], [], None),
        ("XOAUTH2", b"auth=Bearer x\x01\x01", [], [], None),
    ],
)
async def test_dialogue_yields_what_the_client_gave(
    mechanism: str, initial: bytes | None, responses: list[bytes], asked: list[bytes], expected: Attempt | None
) -> None:
    answers = Answers(*responses)
    assert await ask_for_attempt(mechanism, initial, answers) == expected
    assert answers.asked == asked


@pytest.mark.parametrize(("text", "code"), [(b"*", 501), (b"no base64!", 501), (b"YQ", 501), (b"YQ==x", 501)])
def test_response_that_cannot_be_read_ends_the_dialogue(text: bytes, code: int) -> None:
    with pytest.raises(DialogueEnded) as ended:
        decode_response(text)
    assert ended.value.reply.code == code


def test_attempt_shows_no_secret() -> None:
    assert "hunter2" not in repr(Attempt("ann", "hunter2"))


class Checks:
    """Credentials that answer as told."""

    def __init__(self, answer: Exception | None) -> None:
        self.answer = answer
        self.tries = 0

    async def by_password(self, name: str, password: str, client: str) -> Submitter:
        self.tries += 1
        if self.answer is not None:
            raise self.answer
        return Submitter(None, name)  # type: ignore[arg-type]  # nobody looks at the service here

    by_token = by_password


def logins(checks: Checks, clock: FakeClock) -> tuple[Logins, Counters]:
    counters = Counters()
    return Logins(checks, Lockout(), counters, clock, failed_seconds=1.0), counters  # type: ignore[arg-type]


async def test_failed_login_is_answered_late_and_alike_whatever_made_it_fail() -> None:
    for error in (LoginRefused("no such user"), LoginRefused("wrong password")):
        clock = FakeClock()
        checked, counters = logins(Checks(error), clock)
        visit = Visit("v", "192.0.2.1", "tls")
        assert await checked.log_in(visit, "PLAIN", Attempt("ann", "x")) == replies.LOGIN_REFUSED
        assert clock.slept == [1.0]
        assert visit.login_failures == 1
        assert counters.value("auth_failures_total", mechanism="PLAIN", reason="credentials") == 1


async def test_storage_that_is_away_is_no_failure_of_the_user() -> None:
    clock = FakeClock()
    checked, _ = logins(Checks(StorageUnavailable("away")), clock)
    visit = Visit("v", "192.0.2.1", "tls")
    for _ in range(3 * FREE):
        assert await checked.log_in(visit, "PLAIN", Attempt("ann", "x")) == replies.LOGIN_LATER
    assert visit.login_failures == 0


async def test_user_with_too_many_failures_is_not_even_checked() -> None:
    clock, checks = FakeClock(), Checks(LoginRefused("wrong password"))
    checked, _ = logins(checks, clock)
    visit = Visit("v", "192.0.2.1", "tls")
    for _ in range(FREE + 1):
        await checked.log_in(visit, "PLAIN", Attempt("ann", "x"))
    checks.answer = None
    reply = await checked.log_in(visit, "PLAIN", Attempt("ann", "right"))
    assert isinstance(reply, replies.Reply) and (reply.code, reply.enhanced) == (454, "4.7.0")
    assert reply.text == "Too many failed log-ins: try again in 1 second"
    assert checks.tries == FREE + 1
    clock.advance(3600)
    assert isinstance(await checked.log_in(visit, "PLAIN", Attempt("ann", "right")), Submitter)
