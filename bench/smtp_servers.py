"""The servers that the SMTP figures send to, with TLS and a log-in as in production: our relay, Postfix, and a bare aiosmtpd.

Each accepts and delivers nothing. What they have taken can be counted, so that an answer of 250 is not believed.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

from bench.azurite import azurite_server
from bench.dovecot_auth import dovecot_auth
from bench.figures import OURS, Bench, ContenderFailed
from bench.program import Program
from bench.servers import server
from bench.stored import Stored
from local.certificates import Certificates, ensure_certificates
from local.environment import own_environment
from local.ports import free_ports
from local.provision import provision
from tests.kit.azurite import Azurite
from tests.kit.free_ports import free_port
from tests.kit.postfix import HOST, Postfix

POSTFIX = "Postfix's smtpd"
AIOSMTPD = "aiosmtpd, storing nothing"
_USER = "bench"
_SENDER = "news@contoso.example"  # of the peers; ours sends as the domain that is provisioned
# The message waits in the queue "hold", so that nothing but accepting it is measured.
_MASTER_CF = """\
{listen} inet n - n - - smtpd
  -o {{ smtpd_recipient_restrictions = check_recipient_access static:HOLD, permit_sasl_authenticated, reject }}
smtp unix - - n - - smtp
"""
_PATIENCE = 60.0  # seconds for an answer of the program


@dataclass(frozen=True, slots=True)
class Door:
    """Where mail is sent to, and as whom."""

    host: str
    port: int
    user: str
    password: str
    sender: str


@dataclass(frozen=True, slots=True)
class Taker:
    """A running server. `taken` counts what it has, which `forget` removes; `processes` lead those that do the work."""

    name: str
    door: Door
    processes: Sequence[int]
    taken: Callable[[], int]
    forget: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Installation:
    """Azurite, and what relays on it are told."""

    azurite: Azurite
    stored: Stored
    settings: dict[str, str]
    user: str
    password: str
    sender: str


@contextmanager
def installation(bench: Bench) -> Iterator[Installation]:
    """A service that can send, with a user that can log in, on an Azurite of its own. Raises ContenderFailed."""
    certificates = _certificates(bench)
    with azurite_server(bench.root, bench.scratch) as azurite:
        settings = {
            "AzureWebJobsStorage": azurite.connection_string,
            "POSTRIDER_LOCAL": "on",
            "POSTRIDER_ACS_LIMITS": "off",
            "POSTRIDER_SEALING_KEY": base64.b64encode(b"a sealing key for figures, 32 by").decode(),
            "POSTRIDER_SMTP_HOST": "127.0.0.1",
            "POSTRIDER_SMTP_USER_CONNECTIONS": "250",
            "POSTRIDER_SMTP_CERTIFICATE": str(certificates.certificate),
            "POSTRIDER_SMTP_KEY": str(certificates.key),
            **{f"POSTRIDER_SMTP_{name}_PORT": "0" for name in ("TLS", "INBOUND", "HEALTH")},
        }
        password = uuid.uuid4().hex
        service = asyncio.run(provision(settings, smtp_password=password))
        stored = Stored(azurite.connection_string)
        yield Installation(azurite, stored, settings, service.smtp_username, password, service.sender_address)


@contextmanager
def relay(bench: Bench, on: Installation) -> Iterator[Taker]:
    """`python -m smtp_relay`, as the container runs it; its log goes to a file. Raises ContenderFailed."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "smtp_relay"]
    environment = {**own_environment(), **on.settings, "POSTRIDER_SMTP_SUBMISSION_PORT": str(port)}
    with server(command, folder=bench.root, log=bench.scratch / "relay.log", environment=environment) as running:
        running.wait_for_port(port)
        door = Door("127.0.0.1", port, on.user, on.password, on.sender)
        yield Taker(OURS, door, [running.process_id], on.stored.accepted, on.stored.forget)


@contextmanager
def postfix() -> Iterator[Taker]:
    """One that keeps what its smtpd takes. Raises ContenderFailed."""
    password, port = uuid.uuid4().hex, free_port(HOST)
    with dovecot_auth(_USER, password) as auth_port:
        parameters = {
            "virtual_mailbox_domains": "",
            "default_transport": "smtp",
            "smtpd_tls_security_level": "encrypt",
            "smtpd_tls_auth_only": "yes",
            "smtpd_tls_loglevel": "0",
            "smtpd_sasl_auth_enable": "yes",
            "smtpd_sasl_type": "dovecot",
            "smtpd_sasl_path": f"inet:127.0.0.1:{auth_port}",
            "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
            "default_process_limit": "300",
        }
        try:
            running = Postfix(parameters=parameters, services=_MASTER_CF.format(listen=f"{HOST}:{port}")).__enter__()
        except RuntimeError as error:
            raise ContenderFailed(str(error)) from error
        try:
            held = running.queue / "hold"

            def forget() -> None:
                for file in held.iterdir():
                    file.unlink()

            door = Door(HOST, port, _USER, password, _SENDER)
            yield Taker(POSTFIX, door, [running.master_id], lambda: len(list(held.iterdir())), forget)
        finally:
            running.stop()


@contextmanager
def bare_aiosmtpd(bench: Bench) -> Iterator[Taker]:
    """What aiosmtpd's own protocol takes, when nothing is done with a message. Raises ContenderFailed."""
    certificates, nothing = _certificates(bench), bench.scratch / "nothing"
    command = [sys.executable, "-m", "bench.programs.smtp_aiosmtpd", str(certificates.certificate), str(certificates.key)]
    with closing(Program(command, bench.root)) as program:
        started = json.loads(program.do(nothing, 0.0, _PATIENCE).result)
        forgotten = 0

        def taken() -> int:
            return program.do(nothing, 0.0, _PATIENCE).count - forgotten

        def forget() -> None:
            nonlocal forgotten
            forgotten += taken()

        door = Door("127.0.0.1", started["port"], _USER, "any", _SENDER)
        yield Taker(AIOSMTPD, door, [started["process"]], taken, forget)


def _certificates(bench: Bench) -> Certificates:
    return ensure_certificates(bench.scratch / "certificates", {})
