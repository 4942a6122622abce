"""The authority and the certificates of the local world."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12

from local.certificates import Certificates, ensure_certificates, write_pkcs12

NOW = datetime.now(UTC)


def names(files: Certificates) -> list[str]:
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    return [str(name.value) for name in certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value]


def shakes_hands(files: Certificates, host: str) -> bool:
    """A TLS handshake in memory, with a client that trusts the bundle and nothing else."""
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_context.load_cert_chain(files.certificate, files.key)
    client_context = ssl.create_default_context(cafile=str(files.bundle))
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=host)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return client.version() == "TLSv1.3"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_certificate_convinces_a_client_that_has_the_bundle(tmp_path: Path, host: str) -> None:
    assert shakes_hands(ensure_certificates(tmp_path, {}), host)


def test_certificates_are_made_once(tmp_path: Path) -> None:
    first = ensure_certificates(tmp_path, {})
    before = first.authority.read_bytes(), first.certificate.read_bytes(), first.key.read_bytes()
    second = ensure_certificates(tmp_path, {})
    assert (second.authority.read_bytes(), second.certificate.read_bytes(), second.key.read_bytes()) == before


def test_certificate_is_renewed_before_it_expires_and_the_authority_stays(tmp_path: Path) -> None:
    first = ensure_certificates(tmp_path, {}, NOW)
    authority, certificate = first.authority.read_bytes(), first.certificate.read_bytes()
    assert ensure_certificates(tmp_path, {}, NOW + timedelta(days=366)).certificate.read_bytes() == certificate
    assert ensure_certificates(tmp_path, {}, NOW + timedelta(days=368)).certificate.read_bytes() != certificate
    assert first.authority.read_bytes() == authority
    assert names(first) == ["localhost", "127.0.0.1", "::1"]


@pytest.mark.parametrize("broken", ["server.pem", "server.key", "ca.pem", "ca.key"])
def test_certificates_with_a_broken_or_missing_file_are_made_again(tmp_path: Path, broken: str) -> None:
    ensure_certificates(tmp_path, {})
    (tmp_path / broken).unlink() if broken.startswith("ca") else (tmp_path / broken).write_text("nonsense")
    assert shakes_hands(ensure_certificates(tmp_path, {}), "localhost")


def test_bundle_holds_what_the_environment_trusts_and_the_systems_authorities(tmp_path: Path) -> None:
    company = trustme.CA()
    (tmp_path / "company.pem").write_bytes(company.cert_pem.bytes())
    environment = {"SSL_CERT_FILE": str(tmp_path / "company.pem"), "REQUESTS_CA_BUNDLE": str(tmp_path / "missing.pem")}
    bundle = ensure_certificates(tmp_path / "tls", environment).bundle.read_bytes()
    assert company.cert_pem.bytes().strip() in bundle
    assert bundle.count(b"BEGIN CERTIFICATE") > 50
    again = ensure_certificates(tmp_path / "tls", {"SSL_CERT_FILE": str(tmp_path / "tls" / "bundle.pem")}).bundle.read_bytes()
    assert again == bundle  # a shell that has sourced our environment file gets no longer bundles each time


def test_bundles_of_two_worlds_hold_what_each_was_told_and_the_same_authority_of_ours(tmp_path: Path) -> None:
    company = trustme.CA()
    (tmp_path / "company.pem").write_bytes(company.cert_pem.bytes())
    environment = {"SSL_CERT_FILE": str(tmp_path / "company.pem")}
    first = ensure_certificates(tmp_path / "tls", environment, bundle=tmp_path / "exec-1" / "bundle.pem")
    second = ensure_certificates(tmp_path / "tls", {}, bundle=tmp_path / "exec-2" / "bundle.pem")
    held = [files.bundle.read_bytes() for files in (first, second)]
    assert [company.cert_pem.bytes().strip() in each for each in held] == [True, False]
    assert all(first.authority.read_bytes().strip() in each for each in held)


def test_private_keys_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    ensure_certificates(tmp_path, {})
    assert {(tmp_path / name).stat().st_mode & 0o077 for name in ("ca.key", "server.key")} == {0}


def test_pkcs12_for_core_tools_holds_the_server_certificate(tmp_path: Path) -> None:
    files = ensure_certificates(tmp_path, {})
    write_pkcs12(files, tmp_path / "server.pfx", "secret")
    key, certificate, _ = pkcs12.load_key_and_certificates((tmp_path / "server.pfx").read_bytes(), b"secret")
    assert certificate == x509.load_pem_x509_certificate(files.certificate.read_bytes())
    assert key is not None
