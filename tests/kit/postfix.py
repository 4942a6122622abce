"""A Postfix of the test's own: a receiving server that nobody could say we wrote to our taste.

Everything of it (configuration, spool, Maildir, log) is in a directory under /tmp; the system's Postfix is never touched.
It takes mail for its domains with STARTTLS and SMTPUTF8 and keeps it as files. Three local parts fail as scripted, whatever
the domain: see SCRIPTED_REPLIES. It needs root, because Postfix drops privileges by itself; nothing ever leaves it.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import trustme

from tests.kit.free_ports import free_port
from tests.kit.peers import require
from tests.kit.processes import end_session
from tests.kit.waiting import wait_until

HOST = "127.0.0.2"  # not 127.0.0.1, so that a test can tell the server's address from the client's
SCRIPTED_REPLIES = {
    "bounce": "550 5.1.1 no such user here",
    "defer": "450 4.2.0 mailbox is busy, try again later",
    "full": "552 5.2.2 mailbox is full",
}

_MASTER_CF = """\
{listen} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
postlog unix-dgram n - n - 1 postlogd
"""
_taken = re.compile(r"/cleanup\[\d+\]: (\w+): message-id=")
_gone = re.compile(r"/(?:qmgr\[\d+\]: (\w+): removed|smtpd\[\d+\]: (\w+): reject: END-OF-MESSAGE)")


def missing_reason() -> str:
    """Why Postfix cannot run here; empty when it can."""
    if shutil.which("postfix", path=_environment()["PATH"]) is None:
        return "Postfix is not installed: apt-get install postfix"
    return "" if os.geteuid() == 0 else "Postfix starts as root only"


class Postfix:
    """A running server: it listens at `host` and `port`, and its certificate verifies with the CA file `certificate`."""

    def __init__(self, *domains: str, parameters: Mapping[str, str] | None = None, services: str = "") -> None:
        """`parameters` are lines of main.cf that replace ours, such as {"smtpd_tls_security_level": "none"}.

        `services` are more lines of master.cf.
        """
        self.domains: Sequence[str] = domains or ("rcpt.test",)
        self.hostname = f"mx.{self.domains[0]}"
        self.host = HOST
        self.port = free_port(HOST)
        self._parameters = parameters or {}
        self._services = services
        self._directory = Path(tempfile.mkdtemp(prefix="postfix-", dir="/tmp"))
        self.certificate = self._directory / "ca.pem"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Postfix:
        try:
            self._configure()
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def address(self, local: str, domain: str = "") -> str:
        """An address at one of its domains, the first one unless named."""
        return f"{local}@{domain or self.domains[0]}"

    def dns_records(self) -> list[str]:
        """The records that make this server the mail exchanger of its domains, with full names."""
        return [f"{self.hostname} A {HOST}", *(f"{domain} MX 10 {self.hostname}." for domain in self.domains)]

    def stored(self) -> list[bytes]:
        """Every message as it lies in the Maildir, oldest first: with the trace fields of Postfix on top, and LF line ends."""
        mailbox = self._directory / "mail" / "Maildir" / "new"
        files = sorted(mailbox.glob("*"), key=lambda file: (file.stat().st_mtime_ns, file.name))
        return [file.read_bytes() for file in files]

    def wait_for_message(self, wanted: str | Callable[[bytes], bool], timeout: float = 10.0) -> bytes:
        """The first stored message with that Message-ID, or for which the predicate holds; with a copy for each recipient,
        the predicate tells them apart by Delivered-To. Raises TimeoutError with the log of Postfix after `timeout` seconds.
        """
        holds = wanted if callable(wanted) else _has_message_id(wanted)
        try:
            return wait_until(
                lambda: next((message for message in self.stored() if holds(message)), None),
                timeout=timeout, what=f"message {wanted} in the Maildir",
            )  # fmt: skip
        except TimeoutError as error:
            raise TimeoutError(f"{error}\nLog of Postfix:\n{self.log()}") from None

    async def message(self, wanted: str | Callable[[bytes], bool], timeout: float = 10.0) -> bytes:
        """`wait_for_message` for a test whose event loop has to go on meanwhile."""
        return await asyncio.to_thread(self.wait_for_message, wanted, timeout)

    def log(self) -> str:
        """What Postfix logged until now."""
        file = self._directory / "postfix.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def wait_until_idle(self, timeout: float = 20.0) -> None:
        """Until every message that was taken has left the queue. Raises TimeoutError with the log."""
        try:
            wait_until(
                lambda: set(_taken.findall(log := self.log())) <= {one or other for one, other in _gone.findall(log)},
                timeout=timeout, what="empty queue of Postfix",
            )  # fmt: skip
        except TimeoutError as error:
            raise TimeoutError(f"{error}\nLog of Postfix:\n{self.log()}") from None

    @property
    def queue(self) -> Path:
        """The folder of its queues, such as "hold"."""
        return self._directory / "spool"

    @property
    def master_id(self) -> int:
        """The id of the master process, whose children do the work."""
        (master,) = self._sessions()
        return master

    def stop(self) -> None:
        """End every process of this server and remove its directory."""
        for session in self._sessions():
            end_session(session)
        if self._process is not None:
            end_session(self._process.pid)
            self._process.wait()
            self._process = None
        shutil.rmtree(self._directory, ignore_errors=True)

    def _configure(self) -> None:
        directory = self._directory
        directory.chmod(0o755)  # the daemons run as the users postfix and nobody and must get through
        for name, owner in (("config", "root"), ("spool", "root"), ("data", "postfix"), ("mail", "nobody")):
            folder = directory / name
            folder.mkdir(mode=0o755)
            shutil.chown(folder, owner)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.certificate)
        server = authority.issue_cert(self.hostname, HOST)
        chain = directory / "config" / "server.pem"
        chain.touch(mode=0o600)
        chain.write_bytes(server.private_key_and_cert_chain_pem.bytes())
        (directory / "config" / "master.cf").write_text(_MASTER_CF.format(listen=f"{HOST}:{self.port}") + self._services)
        parameters = {**self._main(), **self._parameters}
        main = directory / "config" / "main.cf"
        main.write_text("".join(f"{name} = {value}\n" for name, value in parameters.items()))
        os.utime(main, (0, 0))  # Postfix waits two seconds for a fresh main.cf to settle, in case an editor is still at it

    def _main(self) -> dict[str, str]:
        directory = self._directory
        nobody = pwd.getpwnam("nobody")
        scripted = ", ".join(f"{{ {local}@ = {reply} }}" for local, reply in SCRIPTED_REPLIES.items())
        return {
            "compatibility_level": "3.6",
            "queue_directory": f"{directory}/spool",
            "data_directory": f"{directory}/data",
            "maillog_file": f"{directory}/postfix.log",
            "maillog_file_prefixes": str(directory),
            # Must name an address of a real interface, or the start fails; where it listens says master.cf.
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "myhostname": self.hostname,
            "mydestination": "",
            "mynetworks": "",
            "alias_maps": "",
            "virtual_mailbox_domains": ", ".join(self.domains),
            "virtual_mailbox_base": f"{directory}/mail",
            "virtual_mailbox_maps": "static:Maildir/",
            "virtual_mailbox_limit": "0",
            "virtual_uid_maps": f"static:{nobody.pw_uid}",
            "virtual_gid_maps": f"static:{nobody.pw_gid}",
            "default_transport": "error:5.7.1 nothing leaves this server",
            "message_size_limit": str(50 * 1024 * 1024),
            "smtputf8_enable": "yes",
            "smtpd_tls_security_level": "may",
            "smtpd_tls_chain_files": f"{directory}/config/server.pem",
            "smtpd_tls_loglevel": "1",
            "smtpd_peername_lookup": "no",  # no DNS: a test must not depend on the machine's resolver
            "smtpd_client_connection_count_limit": "0",
            "smtpd_client_connection_rate_limit": "0",
            "smtpd_error_sleep_time": "0",  # scripted failures are answered at once
            "smtpd_hard_error_limit": "1000",
            "smtpd_relay_restrictions": "reject_unauth_destination",
            "smtpd_recipient_restrictions": f"check_recipient_access inline:{{ {scripted} }}, permit",
        }

    def _start(self) -> None:
        with (self._directory / "start.log").open("wb") as output:
            self._process = subprocess.Popen(
                ["postfix", "-c", str(self._directory / "config"), "start-fg"],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, env=_environment(),
            )  # fmt: skip
        try:
            wait_until(self._greets, timeout=30.0, what="greeting of Postfix")
        except (TimeoutError, ChildProcessError) as error:
            raise RuntimeError(f"{error}\n{self._why_not_started()}") from None

    def _greets(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise ChildProcessError(f"Postfix ended at once with {self._process.returncode}")
        try:
            with socket.create_connection((HOST, self.port), timeout=5.0) as connection:
                return connection.recv(4) == b"220 "
        except OSError:
            return False

    def _why_not_started(self) -> str:
        # `start-fg` says nothing of a wrong setting when its output is no terminal; the commands that it calls do.
        texts = [(self._directory / "start.log").read_text(errors="replace"), self.log()]
        config = str(self._directory / "config")
        for command in ["postconf", "-c", config, "-M"], ["postsuper", "-c", config]:
            done = subprocess.run(command, capture_output=True, text=True, env=_environment(), check=False)
            texts.append(done.stderr)
        return "\n".join(text.strip() for text in texts if text.strip())

    def _sessions(self) -> list[int]:
        """The session of the master process, which leaves ours when it starts."""
        try:
            return [int((self._directory / "spool" / "pid" / "master.pid").read_text().split()[0])]
        except (OSError, IndexError, ValueError):
            return []


@pytest.fixture(scope="session")
def postfix() -> Iterator[Postfix]:
    """One Postfix for the whole run, for the domains rcpt.test, second.test and third.test."""
    reason = missing_reason()
    require(not reason, reason)
    with Postfix("rcpt.test", "second.test", "third.test") as server:
        yield server


def knows(parameter: str) -> bool:
    """Whether the Postfix that is installed has such a parameter."""
    command = ["postconf", "-d", "-h", parameter]
    return bool(subprocess.run(command, capture_output=True, env=_environment(), check=False).stdout.strip())


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}


def _has_message_id(message_id: str) -> Callable[[bytes], bool]:
    wanted = f"<{message_id.strip('<>')}>"

    def holds(message: bytes) -> bool:
        head = message.partition(b"\n\n")[0]
        found = email.message_from_bytes(head, policy=email.policy.compat32)["Message-ID"]
        return found is not None and "".join(str(found).split()) == wanted

    return holds
