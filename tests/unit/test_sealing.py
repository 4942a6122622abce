"""Sealing: what opens, what does not, and what the errors say."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from email_core.sealing import Sealer, SealingError

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
OLD_TEXT, NEW_TEXT = base64.b64encode(OLD).decode(), base64.b64encode(NEW).decode()
CONTEXT = "/subscriptions/1/resourceGroups/mail/domains/example.com"


@given(st.binary(max_size=3000), st.text(st.characters(exclude_categories=["Cs"]), max_size=100))
@settings(max_examples=50, deadline=None)
def test_open_with_the_same_context_gives_the_plaintext(plaintext, context):
    sealer = Sealer(NEW)
    assert sealer.open(sealer.seal(plaintext, context=context), context=context) == plaintext


def test_seal_has_version_key_id_and_text_and_never_the_same_twice():
    sealer = Sealer(NEW)
    one, other = sealer.seal(b"secret", context=CONTEXT), sealer.seal(b"secret", context=CONTEXT)
    version, key_id, text = one.split(".")
    assert (version, len(key_id)) == ("v1", 8)
    assert len(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))) == 12 + len(b"secret") + 16
    assert one != other
    assert "=" not in one


def test_open_for_another_row_is_refused():
    sealer = Sealer(NEW)
    sealed = sealer.seal(b"secret", context=CONTEXT)
    with pytest.raises(SealingError, match=r"does not open.*moved from another row"):
        sealer.open(sealed, context=CONTEXT + "x")


def test_rotated_keys_open_old_values_and_seal_with_the_first():
    old_value = Sealer(OLD).seal(b"secret", context=CONTEXT)
    rotated = Sealer.from_setting(f"{NEW_TEXT}, {OLD_TEXT}")
    new_value = rotated.seal(b"secret", context=CONTEXT)
    assert rotated.open(old_value, context=CONTEXT) == b"secret"
    assert Sealer(NEW).open(new_value, context=CONTEXT) == b"secret"


def test_open_with_the_key_removed_names_both_keys_and_the_setting():
    sealed = Sealer(OLD).seal(b"secret", context=CONTEXT)
    with pytest.raises(SealingError) as refusal:
        Sealer(NEW).open(sealed, context=CONTEXT)
    text = str(refusal.value)
    assert sealed.split(".")[1] in text
    assert Sealer(NEW).seal(b"", context="").split(".")[1] in text
    assert "POSTRIDER_SEALING_KEY" in text
    assert CONTEXT in text


def test_open_of_a_value_relabelled_to_another_key_is_refused():
    both = Sealer(NEW, OLD)
    new_id = both.seal(b"", context="").split(".")[1]
    _, _, text = Sealer(OLD).seal(b"secret", context=CONTEXT).split(".")
    with pytest.raises(SealingError, match="does not open"):
        both.open(f"v1.{new_id}.{text}", context=CONTEXT)


def test_open_with_any_octet_changed_is_refused():
    sealer = Sealer(NEW)
    head, _, text = sealer.seal(b"secret", context=CONTEXT).rpartition(".")
    blob = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    for index in range(len(blob)):
        changed = blob[:index] + bytes([blob[index] ^ 1]) + blob[index + 1 :]
        with pytest.raises(SealingError, match="does not open"):
            sealer.open(f"{head}.{base64.urlsafe_b64encode(changed).decode().rstrip('=')}", context=CONTEXT)


@pytest.mark.parametrize("text", ["", "secret", "v1", "v1.", "v1.abc", "v2.abcdefgh.AAAA", ".abcdefgh.AAAA", "v1 .a.b"])
def test_open_of_what_is_not_sealed_is_refused(text):
    with pytest.raises(SealingError, match="not a sealed one"):
        Sealer(NEW).open(text, context=CONTEXT)


@pytest.mark.parametrize(
    "text", ["", "A", "AAAA", "!" * 60, "A" * 60 + "=", "A+/" * 20, "é" * 60, "A" * 57 + ".AA", "A" * 60 + "\n"]
)
def test_open_of_a_malformed_text_is_refused(text):
    sealer = Sealer(NEW)
    key_id = sealer.seal(b"", context="").split(".")[1]
    with pytest.raises(SealingError, match="does not open"):
        sealer.open(f"v1.{key_id}.{text}", context=CONTEXT)


@given(st.text(max_size=80))
@settings(max_examples=100, deadline=None)
def test_open_of_anything_raises_a_sealing_error_only(text):
    sealer = Sealer(NEW)
    key_id = sealer.seal(b"", context="").split(".")[1]
    for sealed in (text, f"v1.{text}", f"v1.{key_id}.{text}"):
        with pytest.raises(SealingError):
            sealer.open(sealed, context=CONTEXT)


@pytest.mark.parametrize("setting", ["", "  "])
def test_from_setting_empty_names_the_setting_and_the_remedy(setting):
    with pytest.raises(SealingError, match=r"POSTRIDER_SEALING_KEY is empty.*openssl rand -base64 32"):
        Sealer.from_setting(setting)


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("hunter2hunter2!", "key 1 of POSTRIDER_SEALING_KEY is not base64"),
        (NEW_TEXT + "x", "key 1 of POSTRIDER_SEALING_KEY is not base64"),
        (f"{NEW_TEXT},,", "key 2 of POSTRIDER_SEALING_KEY has 0 bytes"),
        (f"{NEW_TEXT},c2hvcnQ=", "key 2 of POSTRIDER_SEALING_KEY has 5 bytes and must have 32"),
        (base64.b64encode(bytes(64)).decode(), "key 1 of POSTRIDER_SEALING_KEY has 64 bytes and must have 32"),
        ("schlüssel", "key 1 of POSTRIDER_SEALING_KEY is not base64"),
    ],
)
def test_from_setting_wrong_key_is_named_by_number_and_not_shown(setting, why):
    with pytest.raises(SealingError, match=why) as refusal:
        Sealer.from_setting(setting)
    assert not any(part and part in str(refusal.value) for part in setting.split(","))
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


def test_from_setting_takes_base64url_too():
    key = b"\xff\xfe" * 16
    urlsafe = base64.urlsafe_b64encode(key).decode()
    assert "_" in urlsafe
    assert Sealer(key).open(Sealer.from_setting(urlsafe).seal(b"x", context="c"), context="c") == b"x"


def test_sealer_repr_shows_key_ids_and_no_key():
    text = repr(Sealer(NEW, OLD))
    assert text.startswith("Sealer(seals with ")
    for key in (NEW, OLD):
        for shown in (key.hex(), base64.b64encode(key).decode(), repr(key)):
            assert shown not in text


def test_derived_keys_rotate_with_the_sealing_keys_and_keep_their_ids():
    (old_id, old_key), (new_id, new_key) = (next(iter(Sealer(key).derived_keys("verp").items())) for key in (OLD, NEW))
    assert list(Sealer(NEW, OLD).derived_keys("verp").items()) == [(new_id, new_key), (old_id, old_key)]
    assert len(new_key) == 32
    assert new_key != old_key
    assert new_id in "abcdefghijklmnopqrstuvwxyz234567"


def test_derived_keys_differ_by_purpose_and_from_the_sealing_key():
    sealer = Sealer(NEW)
    (verp,), (tokens,) = sealer.derived_keys("verp").values(), sealer.derived_keys("tokens").values()
    assert len({verp, tokens, NEW}) == 3


def test_derived_keys_with_the_same_key_twice_are_one():
    assert len(Sealer(NEW, NEW).derived_keys("verp")) == 1


def test_derived_keys_that_share_an_id_are_refused_with_the_remedy():
    wanted = next(iter(Sealer(OLD).derived_keys("verp")))
    keys = (bytes([n]) * 32 for n in range(200, 256))
    twin = next(key for key in keys if next(iter(Sealer(key).derived_keys("verp"))) == wanted)
    with pytest.raises(SealingError, match=r"key 2 of POSTRIDER_SEALING_KEY.*replace the newest key"):
        Sealer(twin, OLD).derived_keys("verp")
