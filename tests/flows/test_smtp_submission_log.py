"""What the log of the SMTP server tells: who, when and why, and never a secret or what a message says."""

from __future__ import annotations

import uuid

import pytest

from tests.kit.smtp_relay import SENDER, RunningRelay, encoded, plain

pytestmark = pytest.mark.peers


async def test_log_has_no_password_no_token_and_nothing_of_a_message(
    relay: RunningRelay, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    wrong, token, words, reader = (f"canary-{uuid.uuid4().hex}" for _ in range(4))
    response = encoded(f"user={relay.user}\x01auth=Bearer {token}\x01\x01")
    for lines in (
        [f"AUTH PLAIN {plain(relay.user, wrong)}"], ["AUTH LOGIN", encoded(relay.user), encoded(wrong)],
        ["AUTH PLAIN", plain(relay.user, wrong)], [f"AUTH XOAUTH2 {response}", ""], [f"AUTH PLAIN !{encoded(wrong)}"],
        ["AUTH LOGIN", encoded(wrong), "*"], [f"AUTHPLAIN {wrong}"], [wrong],
    ):  # fmt: skip
        client = await relay.greeted()
        for line in lines:
            await client.ask(line)
        await client.close()
    client = await relay.with_recipient(f"{reader}@example.test")
    await client.ask("DATA")
    await client.send(f"From: <{SENDER}>\r\nSubject: {words}\r\n\r\n{words}\r\n.\r\n".encode())
    assert (await client.reply()).startswith("250 ")
    assert "login-refused" in caplog.text and "accepted" in caplog.text
    secrets = (wrong, token, relay.password, words, reader)
    for secret in (*secrets, *map(encoded, secrets), plain(relay.user, wrong), response):
        assert secret not in caplog.text


async def test_name_of_a_user_cannot_forge_a_line_of_the_log(relay: RunningRelay, caplog: pytest.LogCaptureFixture) -> None:
    client = await relay.greeted()
    name = "ann\r\nlogged-in connection=x user=root\u2028\x1b[31m"
    await client.ask(f"AUTH PLAIN {plain(name, 'wrong')}")
    lines = [record.getMessage() for record in caplog.records if "login-refused" in record.getMessage()]
    assert len(lines) == 1 and lines[0].isprintable()
