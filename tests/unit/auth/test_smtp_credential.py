"""Names and passwords of SMTP log-ins."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from email_core.auth.smtp_credential import SmtpLogin, hash_password, new_password, parse_login, verify_password

APP = "0f8fad5b-d9cb-469f-a165-70867728950e"
TENANT = "7e6d4f0e-3f52-4fd7-a3f7-5a3c2f6f1b22"


@pytest.mark.parametrize("mark", [".", "|"])
def test_login_with_resource_application_and_tenant_is_taken_apart(mark: str) -> None:
    login = parse_login(mark.join(("Mail-Service_1", APP.upper(), TENANT)))
    assert login == SmtpLogin(resource="mail-service_1", application=APP, tenant=TENANT)


@pytest.mark.parametrize(
    "text",
    [
        "news", "News@Contoso.test", f"mail.{APP}|{TENANT}", f"mail.{APP}", f"a.b.{APP}.{TENANT}", f".{APP}.{TENANT}",
        f"mail.{APP}.{TENANT}x", f"mail.{APP}.{TENANT}@contoso.test",
    ],
)  # fmt: skip
def test_login_of_any_other_form_is_a_username(text: str) -> None:
    assert parse_login(f" {text} ") == SmtpLogin(username=text.casefold())


def test_password_is_long_and_never_the_same() -> None:
    passwords = {new_password() for _ in range(100)}
    assert len(passwords) == 100
    assert min(map(len, passwords)) >= 32


def test_password_never_looks_like_an_option_of_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(["-oJ6acMZ", "-", "_Zshbm-h"])
    monkeypatch.setattr("secrets.token_urlsafe", lambda octets: next(drawn))

    assert new_password() == "_Zshbm-h"


def test_password_that_was_hashed_fits_and_no_other_does() -> None:
    password = new_password()
    stored = hash_password(password)
    assert stored.startswith("scrypt$16384$8$1$")
    assert password not in stored and hash_password(password) != stored
    assert verify_password(password, stored)
    for other in ("", password[:-1], f"{password} ", password.swapcase(), password * 100):
        assert not verify_password(other, stored)


@pytest.mark.parametrize("stored", ["", "scrypt", "scrypt$1$2$3$4", "plain$1$2$3$4$5", "scrypt$16384$8$1$!$!", "secret"])
def test_password_of_nobody_never_fits(stored: str) -> None:
    for password in ("", "secret", stored):
        assert not verify_password(password, stored)


def test_password_longer_than_is_looked_at_does_not_fit_by_its_beginning() -> None:
    stored = hash_password("a" * 1024)
    assert verify_password("a" * 1024, stored)
    assert not verify_password("a" * 1025, stored)


def test_password_of_nobody_costs_the_same_hash_as_a_wrong_one(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = hash_password("secret")
    costs: list[tuple[object, ...]] = []
    scrypt = hashlib.scrypt

    def counted(password: bytes, **parameters: Any) -> bytes:
        costs.append((len(password), *(parameters[name] for name in ("n", "r", "p", "dklen")), len(parameters["salt"])))
        return scrypt(password, **parameters)

    monkeypatch.setattr(hashlib, "scrypt", counted)
    assert not verify_password("wrong", stored)
    assert not verify_password("wrong", "")
    assert len(costs) == 2
    assert costs[0] == costs[1]
