"""The certificate that the server shows: read from two files, and again whenever they change.

A new file that is broken, expired or of another key changes nothing: the certificate before stays in use, and log and health
say what is wrong. Renewals that write one file after the other are such a moment, and the next look finds both.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from email_core import maillog
from email_core.clock import Clock


class CertificateUnusable(Exception):
    """The files can't be used; the text names them, what is wrong, and the remedy."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate in use; `expires` is in seconds since the epoch."""

    context: ssl.SSLContext
    expires: float


class CertificateFiles:
    """The files, and what was last read of them. `context` is for each new connection to ask for."""

    def __init__(self, certificate: Path, key: Path, clock: Clock) -> None:
        """Raises CertificateUnusable: there is nothing to begin with."""
        self._certificate = certificate
        self._key = key
        self._clock = clock
        self._seen = self._looks()
        self._current = load(certificate, key, clock.now())
        self.problem = ""

    @property
    def context(self) -> ssl.SSLContext:
        return self._current.context

    @property
    def expires(self) -> float:
        return self._current.expires

    async def watch(self, seconds: float) -> None:
        """Look at the files again and again; ends when it is cancelled."""
        while True:
            await asyncio.sleep(seconds)
            await asyncio.to_thread(self.look)

    def look(self) -> None:
        """Load the files if they changed, or could not be used the last time."""
        seen = self._looks()
        if seen == self._seen and not self.problem:
            return
        self._seen = seen
        try:
            self._current = load(self._certificate, self._key, self._clock.now())
        except CertificateUnusable as error:
            if str(error) != self.problem:
                maillog.certificate(str(self._certificate), expires=self.expires, problem=str(error))
            self.problem = str(error)
            return
        self.problem = ""
        maillog.certificate(str(self._certificate), expires=self.expires, problem="")

    def _looks(self) -> tuple[object, ...]:
        """What changes with the files. Links are followed, for Kubernetes renews by changing where one leads."""
        looks: list[object] = []
        for path in (self._certificate, self._key):
            try:
                found = path.stat()
            except OSError as error:
                looks.append(error.errno)
            else:
                looks.append((found.st_ino, found.st_size, found.st_mtime_ns))
        return tuple(looks)


def load(certificate: Path, key: Path, now: float) -> Certificate:
    """Read both files. Raises CertificateUnusable when they can't be read, don't fit, are expired or not valid yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8997, and ACS
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    try:
        leaf = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
        expires, begins = _seconds(leaf.not_valid_after_utc), _seconds(leaf.not_valid_before_utc)
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        why = f"{type(error).__name__}: {error}"
        raise CertificateUnusable(
            f"{certificate} and {key} can't be used: {why}. They must be PEM and belong together"
        ) from error
    if now >= expires:
        raise CertificateUnusable(f"{certificate} has expired on {_text(expires)}: put a new certificate there")
    if now < begins:
        raise CertificateUnusable(f"{certificate} is not valid before {_text(begins)}: is the clock right?")
    return Certificate(context, expires)


def _no_password() -> str:
    # Without it OpenSSL would ask at the terminal.
    raise ValueError("the key has a password, which nobody could type in here")


def _seconds(moment: datetime) -> float:
    return moment.timestamp()


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
