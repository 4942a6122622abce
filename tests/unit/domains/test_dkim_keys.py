"""DKIM keys and the records that publish them, read back by dkimpy and by OpenSSL's own loaders."""

from __future__ import annotations

import base64

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
)

from email_core.domains.dkim_keys import (
    DkimKeyError,
    check_strength,
    generate_ed25519,
    generate_rsa,
    load_private_key,
    public_record,
)
from tests.unit.signing.weak_key import RSA_768


def test_generate_rsa_makes_a_new_key_of_2048_bits_each_time():
    one, other = generate_rsa(), generate_rsa()
    assert one != other
    assert load_private_key(one).key_size == 2048
    assert check_strength(load_private_key(one)) == ""


@pytest.mark.parametrize("bits", [512, 1024, 2047, 4097, 16384])
def test_generate_rsa_outside_2048_to_4096_is_refused(bits):
    with pytest.raises(DkimKeyError, match=f"not {bits}"):
        generate_rsa(bits)


def test_public_record_of_rsa_is_read_by_dkimpy_and_openssl_as_the_same_key():
    key = load_private_key(generate_rsa())
    record = public_record(key)
    assert record.startswith("v=DKIM1; k=rsa; p=MII")
    parsed, bits, kind, _ = dkim.evaluate_pk("s", record)
    numbers = key.public_key().public_numbers()
    assert (parsed["modulus"], parsed["publicExponent"], bits, kind) == (numbers.n, numbers.e, 2048, b"rsa")
    assert load_der_public_key(base64.b64decode(record.partition("p=")[2])).public_numbers() == numbers


def test_public_record_of_ed25519_is_that_of_rfc8463():
    # RFC 8463 appendix A.2
    seed = base64.b64decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    key = Ed25519PrivateKey.from_private_bytes(seed)
    assert public_record(key) == "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="


def test_generate_ed25519_makes_a_new_key_that_loads():
    one, other = load_private_key(generate_ed25519()), load_private_key(generate_ed25519())
    assert isinstance(one, Ed25519PrivateKey)
    assert public_record(one) != public_record(other)
    assert check_strength(one) == ""


def test_load_private_key_takes_pkcs1_of_rsa_too():
    key = load_private_key(generate_rsa())
    pkcs1 = key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    assert public_record(load_private_key(pkcs1)) == public_record(key)


def test_load_private_key_below_1024_bits_is_refused():
    with pytest.raises(DkimKeyError, match=r"768 bits.*RFC 8301.*2048"):
        load_private_key(RSA_768)


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"\x30",
        b"\x00" * 100,
        base64.b64encode(RSA_768),
        RSA_768[:-1],
        Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        Ed25519PrivateKey.generate().private_bytes(Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")),
    ],
    ids=["empty", "short", "zeros", "base64", "cut", "public", "pem", "encrypted"],
)
def test_load_private_key_of_anything_else_is_refused_and_shows_nothing(der):
    with pytest.raises(DkimKeyError, match="not an unencrypted private key in DER") as refusal:
        load_private_key(der)
    assert refusal.value.__suppress_context__


def test_load_private_key_of_another_kind_is_refused():
    der = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(DkimKeyError, match="RSA or Ed25519"):
        load_private_key(der)


@pytest.mark.parametrize(
    ("bits", "warning"), [(1024, "weak"), (2047, "weak"), (2048, ""), (4096, ""), (4097, "receivers need not verify")]
)
def test_check_strength_by_bits(bits, warning):
    class Sized:
        """Stands for a key of that size: making a real one of 4097 bits takes seconds."""

        key_size = bits

    told = check_strength(Sized())
    assert (warning in told and str(bits) in told) if warning else told == ""


def test_check_strength_of_a_real_weak_key_warns_and_it_still_loads():
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert "rotate to one of 2048 bits" in check_strength(load_private_key(der))
