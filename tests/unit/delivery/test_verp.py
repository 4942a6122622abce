from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_core.delivery.verp import (
    VerpToken,
    make_feedback_id,
    make_reverse_path,
    read_feedback_token,
    read_reverse_path,
)

KEYS = {"a": b"first key", "b": b"second key"}
OPERATION = "6f0b8f1e-2d9e-4f57-9a3c-0c6a5b2f7e11"


def path(**changes: object) -> str:
    parts = {
        "service_key": "abcde23456", "operation_id": OPERATION, "envelope": 0, "key_id": "a", "key": KEYS["a"],
        "bounce_domain": "bounce.postrider.test",
    }  # fmt: skip
    return make_reverse_path(**{**parts, **changes})  # type: ignore[arg-type]


def test_reverse_path_reads_back_and_fits_a_local_part() -> None:
    made = path(envelope=1023)
    assert read_reverse_path(made, KEYS) == VerpToken("abcde23456", OPERATION, 1023)
    local, _, domain = made.partition("@")
    assert domain == "bounce.postrider.test"
    assert len(local) == 59
    assert made == made.lower()


@given(
    operation=st.uuids(),
    envelope=st.integers(0, 1023),
    service_key=st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=10, max_size=10),
    key_id=st.sampled_from(sorted(KEYS)),
)
def test_reverse_path_reads_back_whatever_it_holds(operation: uuid.UUID, envelope: int, service_key: str, key_id: str) -> None:
    made = path(operation_id=str(operation), envelope=envelope, service_key=service_key, key_id=key_id, key=KEYS[key_id])
    assert read_reverse_path(made, KEYS) == VerpToken(service_key, str(operation), envelope)


def test_reverse_path_comes_back_in_another_case() -> None:
    assert read_reverse_path(path().upper(), KEYS) == VerpToken("abcde23456", OPERATION, 0)


def test_reverse_path_with_any_character_changed_is_nobodys() -> None:
    local, _, domain = path().partition("@")
    for position, character in enumerate(local):
        other = "a" if character != "a" else "b"
        forged = local[:position] + other + local[position + 1 :]
        assert read_reverse_path(f"{forged}@{domain}", KEYS) is None, position


def test_reverse_path_of_another_key_is_nobodys() -> None:
    assert read_reverse_path(path(key=b"not ours"), KEYS) is None
    assert read_reverse_path(path(), {"b": KEYS["b"]}) is None
    assert read_reverse_path(path(), {}) is None
    # The key that stands in for one that is unknown must not open anything either.
    assert read_reverse_path(path(key_id="c", key=b"no such key"), KEYS) is None


@pytest.mark.parametrize("text", ["", "@", "b+a.x.y@z", "ann@example.test", "b+a" * 500, "b+\x00.\x00.\x00@x", "b+é.é.é@x"])
def test_text_that_is_no_reverse_path_of_ours_is_none(text: str) -> None:
    assert read_reverse_path(text, KEYS) is None


@pytest.mark.parametrize(
    "changes",
    [{"service_key": "short"}, {"service_key": "ABCDE23456"}, {"service_key": "abcde2345@"}, {"key_id": "1"}, {"key_id": "ab"},
     {"envelope": -1}, {"envelope": 1024}, {"operation_id": "not a uuid"}],
)  # fmt: skip
def test_part_that_does_not_fit_its_place_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        path(**changes)


def test_feedback_id_has_four_parts_and_its_token_reads_back() -> None:
    made = make_feedback_id(service_key="abcde23456", operation_id=OPERATION, stream="smtp", key_id="a", key=KEYS["a"])
    token, *rest = made.split(":")

    assert rest == ["abcde23456", "smtp", "postrider"]
    assert read_feedback_token(token, KEYS) == read_feedback_token(token.upper(), KEYS) == VerpToken("abcde23456", OPERATION, 0)
    assert read_feedback_token(token, {"a": KEYS["b"]}) is None
    assert read_feedback_token(path().partition("@")[0], KEYS) == VerpToken("abcde23456", OPERATION, 0)


def test_feedback_id_opens_no_reverse_path() -> None:
    # It stands in the header, which goes wherever the mail is forwarded to.
    made = make_feedback_id(service_key="abcde23456", operation_id=OPERATION, stream="smtp", key_id="a", key=KEYS["a"])
    token = made.partition(":")[0]

    assert read_reverse_path(f"{token}@bounce.postrider.test", KEYS) is None
    assert read_reverse_path(f"b{token[1:]}@bounce.postrider.test", KEYS) is None
