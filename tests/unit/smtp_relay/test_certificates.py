"""The certificate files: what is taken, what is not, and what then stays in use."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from email_core.clock import SystemClock
from smtp_relay.certificates import CertificateFiles, CertificateUnusable
from tests.kit.smtp_relay import RelayFiles


def shown(files: RelayFiles, context: ssl.SSLContext) -> bytes:
    """The certificate that a client sees, in PEM."""
    client = files.trusting()
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    inner = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    outer = context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (inner, outer):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    certificate = inner.getpeercert(True)
    assert certificate is not None
    return ssl.DER_cert_to_PEM_cert(certificate).encode()


def files_in_use(files: RelayFiles) -> CertificateFiles:
    return CertificateFiles(files.certificate, files.key, SystemClock())


def test_new_files_are_taken_at_the_next_look(tmp_path: Path) -> None:
    files = RelayFiles(tmp_path)
    in_use = files_in_use(files)
    before = in_use.context
    in_use.look()
    assert in_use.context is before
    written = files.write()
    in_use.look()
    assert shown(files, in_use.context).split() == written.split()
    assert in_use.problem == ""


def break_expired(files: RelayFiles) -> None:
    files.write(not_before=datetime.now(UTC) - timedelta(days=9), not_after=datetime.now(UTC) - timedelta(days=1))


def break_future(files: RelayFiles) -> None:
    files.write(not_before=datetime.now(UTC) + timedelta(days=1))


def break_cut(files: RelayFiles) -> None:
    files.certificate.write_bytes(files.certificate.read_bytes()[:300])


def break_key(files: RelayFiles) -> None:
    key = files.key.read_bytes()
    files.write()
    files.key.write_bytes(key)


def break_gone(files: RelayFiles) -> None:
    files.certificate.unlink()


def break_empty(files: RelayFiles) -> None:
    files.key.write_bytes(b"")


BREAKS = {
    "expired": (break_expired, "has expired on"),
    "future": (break_future, "is not valid before"),
    "cut": (break_cut, "can't be used"),
    "other-key": (break_key, "can't be used"),
    "gone": (break_gone, "can't be used"),
    "empty": (break_empty, "can't be used"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_files_that_cannot_be_used_leave_the_certificate_before_in_use(tmp_path: Path, name: str) -> None:
    files = RelayFiles(tmp_path)
    in_use = files_in_use(files)
    before = in_use.context
    spoil, told = BREAKS[name]
    spoil(files)
    in_use.look()
    assert in_use.context is before
    assert told in in_use.problem and str(files.certificate) in in_use.problem
    files.write()
    in_use.look()
    assert (in_use.problem, in_use.context is before) == ("", False)


@pytest.mark.parametrize("name", BREAKS)
def test_server_does_not_begin_with_files_that_cannot_be_used(tmp_path: Path, name: str) -> None:
    files = RelayFiles(tmp_path)
    BREAKS[name][0](files)
    with pytest.raises(CertificateUnusable, match=BREAKS[name][1]):
        files_in_use(files)


def test_versions_below_1_2_are_not_spoken(tmp_path: Path) -> None:
    context = files_in_use(RelayFiles(tmp_path)).context
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
