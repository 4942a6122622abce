"""Postfix with OpenDKIM as a signing relay: what a user would set up to send mail that is signed, without an API.

Both are the bench's own: configuration, spool and key lie in folders that go with the block. OpenDKIM signs as a milter while
Postfix takes a message, with RSA-2048 and relaxed/relaxed; Postfix then hands it to the sink. The settings are Debian's, but
that it never looks up a name, and never slows a client down to the pace of its deliveries.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bench.figures import Bench, ContenderFailed
from bench.mail import RECIPIENT, SENDER, mime_message
from bench.mail_world import CONNECTIONS, WARM_UP, Sent, Sink
from bench.peers import missing_program
from bench.servers import server
from local.environment import own_environment
from local.ports import free_ports
from tests.kit.free_ports import free_port
from tests.kit.postfix import HOST, Postfix, missing_reason

POSTFIX = "Postfix with OpenDKIM"
_PATIENCE = 60.0  # seconds for a round
_DAEMON_PATH = "/usr/sbin:/sbin"
_MASTER_CF = """\
{hold} inet n - n - - smtpd
  -o {{ smtpd_recipient_restrictions = check_recipient_access static:HOLD, permit_mynetworks, reject }}
smtp unix - - n - - smtp
relay unix - - n - - smtp
scache unix - - n - 1 scache
anvil unix - - n - 1 anvil
"""
_OPENDKIM_CONF = """\
Syslog no
Background no
Mode s
Canonicalization relaxed/relaxed
SignatureAlgorithm rsa-sha256
OversignHeaders From
Domain {domain}
Selector s1
KeyFile {key}
RequireSafeKeys no
Socket inet:{port}@127.0.0.1
"""


def missing_postfix_relay() -> str:
    """Why it can't be measured; empty when it can."""
    return missing_reason() or missing_program("opendkim", "opendkim") or missing_program("smtp-source", "postfix")


class PostfixRelay:
    """A running one. `processes` are the ids of Postfix's master and of OpenDKIM."""

    def __init__(self, postfix: Postfix, opendkim: int, hold_port: int, message: Path) -> None:
        self.processes = (postfix.master_id, opendkim)
        self._ports = {False: postfix.port, True: hold_port}
        self._message = message

    def send(self, messages: int, *, hold: bool = False) -> Sent:
        """So many messages, which are relayed, or signed and kept on hold. Raises ContenderFailed."""
        command = [
            "smtp-source", "-s", str(min(CONNECTIONS, messages)), "-m", str(messages), "-d", "-f", SENDER, "-t", RECIPIENT,
            "-F", str(self._message), f"inet:{HOST}:{self._ports[hold]}",
        ]  # fmt: skip
        environment = _environment()
        began = time.monotonic()
        try:
            done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=_PATIENCE, check=False)
        except subprocess.TimeoutExpired:
            raise ContenderFailed(f"smtp-source was not done after {_PATIENCE:g} s") from None
        if done.returncode:
            raise ContenderFailed(f"smtp-source said: {done.stderr.strip()[-300:]}")
        return Sent(messages / (time.monotonic() - began), began)


@contextmanager
def postfix_relay(bench: Bench, sink: Sink) -> Iterator[PostfixRelay]:
    """One that has relayed a few messages to the sink already. Raises ContenderFailed."""
    folder = bench.scratch / "postfix"
    folder.mkdir()
    message = folder / "message.eml"
    message.write_text(mime_message(), newline="")
    (milter_port,) = free_ports(1)
    command = ["opendkim", "-f", "-x", str(_opendkim_configuration(folder, milter_port))]
    with server(command, folder=folder, log=folder / "opendkim.log", environment=_environment()) as opendkim:
        opendkim.wait_for_port(milter_port)
        hold_port = free_port(HOST)
        parameters = _parameters(milter_port, sink.port)
        try:
            postfix = Postfix(parameters=parameters, services=_MASTER_CF.format(hold=f"{HOST}:{hold_port}")).__enter__()
        except RuntimeError as error:
            raise ContenderFailed(str(error)) from error
        try:
            relay = PostfixRelay(postfix, opendkim.process_id, hold_port, message)
            arrived = sink.arrived
            relay.send(WARM_UP)
            sink.last_of(arrived + WARM_UP)
            yield relay
        finally:
            postfix.stop()


def _opendkim_configuration(folder: Path, port: int) -> Path:
    key = folder / "key.pem"
    private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    key.write_bytes(private_key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    path = folder / "opendkim.conf"
    path.write_text(_OPENDKIM_CONF.format(domain=SENDER.partition("@")[2], key=key, port=port))
    return path


def _parameters(milter_port: int, sink_port: int) -> dict[str, str]:
    return {
        "virtual_mailbox_domains": "",
        "mynetworks": "127.0.0.0/8",
        "smtpd_relay_restrictions": "permit_mynetworks, reject",
        "smtpd_recipient_restrictions": "permit_mynetworks, reject",
        "default_transport": "smtp",
        "relayhost": f"[127.0.0.1]:{sink_port}",
        "smtp_dns_support_level": "disabled",
        "smtpd_milters": f"inet:127.0.0.1:{milter_port}",
        "milter_default_action": "tempfail",
        "in_flow_delay": "0",
    }


def _environment() -> dict[str, str]:
    environment = own_environment()
    return {**environment, "PATH": f"{environment.get('PATH', '')}:{_DAEMON_PATH}"}
