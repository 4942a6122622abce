"""TLS for the local world: an authority of this folder's own, a server certificate from it, and a bundle that holds it.

HTTPS is no extra here: the official Python client turns every connection string into an https:// address.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certifi
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, load_pem_private_key, pkcs12

NAMES = ("localhost", "127.0.0.1", "::1")
CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
_LIFE = timedelta(days=397)  # some clients refuse server certificates that live for longer
_RENEW_BEFORE = timedelta(days=30)
# Where systems keep the authorities that their programs trust: Debian and Alpine, Fedora, macOS and the BSDs, SUSE.
SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
)
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files in PEM. `bundle` holds the authorities that this machine's programs trust already, and ours."""

    authority: Path
    certificate: Path
    key: Path
    bundle: Path


def ensure_certificates(
    folder: Path, environment: Mapping[str, str], now: datetime | None = None, *, bundle: Path | None = None
) -> Certificates:
    """The files in `folder`, made or renewed as needed; several processes may ask at once.

    `bundle` is the file for the bundle, by default one in the folder. It has what `environment` names, which may be something
    else for each of those processes.
    """
    now = now or datetime.now(UTC)
    bundle = bundle or folder / "bundle.pem"
    files = Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key", bundle)
    for needed in (folder, bundle.parent):
        needed.mkdir(parents=True, exist_ok=True)
    with _alone(folder / "lock"):
        authority_key = folder / "ca.key"
        if not (files.authority.exists() and authority_key.exists()):
            made = trustme.CA(organization_name="Postrider local world")
            _write(authority_key, made.private_key_pem.bytes())
            _write(files.authority, made.cert_pem.bytes())
        if not _still_good(files, now):
            authority = trustme.CA.from_pem(files.authority.read_bytes(), authority_key.read_bytes())
            server = authority.issue_cert(*NAMES, not_before=now - timedelta(days=1), not_after=now + _LIFE)
            _write(files.key, server.private_key_pem.bytes())
            _write(files.certificate, b"".join(part.bytes() for part in server.cert_chain_pems))
        _write(files.bundle, b"\n".join(_authorities(files, environment)) + b"\n")
    return files


def write_pkcs12(files: Certificates, path: Path, password: str) -> None:
    """The server certificate with its key in the form that Functions Core Tools take."""
    key = load_pem_private_key(files.key.read_bytes(), password=None)
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    bundle = pkcs12.serialize_key_and_certificates(
        b"localhost", key, certificate, None, BestAvailableEncryption(password.encode())  # type: ignore[arg-type]
    )  # fmt: skip
    _write(path, bundle)


def _still_good(files: Certificates, now: datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        authority = x509.load_pem_x509_certificate(files.authority.read_bytes())
        certificate.verify_directly_issued_by(authority)
        key = load_pem_private_key(files.key.read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        return False
    belongs = key.public_key() == certificate.public_key()
    return belongs and now + _RENEW_BEFORE < certificate.not_valid_after_utc


def _authorities(files: Certificates, environment: Mapping[str, str]) -> list[bytes]:
    """Ours first, then what the environment names (a company's own authority, say), then the system's or certifi's."""
    sources = [files.authority, *(Path(environment[name]) for name in CA_VARIABLES if environment.get(name))]
    system = next((Path(path) for path in SYSTEM_BUNDLES if Path(path).is_file()), Path(certifi.where()))
    found: dict[bytes, None] = {}
    for source in [*sources, system]:
        if source.is_file():
            found.update(dict.fromkeys(_PEM.findall(source.read_bytes())))
    return list(found)


def _write(path: Path, content: bytes) -> None:
    """Readable by its owner alone, and never half written."""
    fresh = path.with_suffix(".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    fresh.replace(path)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
