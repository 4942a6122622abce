"""A Postfix whose local mail goes to us, set up by the script of the how-to and by nothing else."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.kit.postfix import Postfix, missing_reason
from tests.kit.waiting import wait_until
from tests.kit.world import ROOT

SCRIPT = ROOT / "docs" / "examples" / "smtp_postfix.sh"
HOST_NAME = "mx.office.test"  # of the machine, whose users have their mail in the Maildir
_SERVICES = """\
pickup unix n - n 60 1 pickup
smtp unix - - n - - smtp
"""
# As on a machine of its own: the kit's servers let nothing out. What is put off comes again while the test waits for it.
_PARAMETERS = {
    "default_transport": "smtp",
    "virtual_mailbox_domains": HOST_NAME,
    "smtp_tls_loglevel": "1",
    "queue_run_delay": "1s", "minimal_backoff_time": "1s", "maximal_backoff_time": "2s",
}  # fmt: skip


def no_smarthost_client() -> str:
    """Why Postfix cannot log in to a smarthost here; empty when it can."""
    if reason := missing_reason():
        return reason
    there = any(Path("/usr/lib").glob("*/sasl2/libplain.so")) or Path("/usr/lib/sasl2/libplain.so").exists()
    return "" if there else "Postfix cannot log in with PLAIN: apt-get install libsasl2-modules"


class Office:
    """The machine of that Postfix. `variables` are those of `./postrider up`."""

    def __init__(self, postfix: Postfix, variables: Mapping[str, str]) -> None:
        self.postfix = postfix
        self._environment = {
            **os.environ,
            **variables,
            "MAIL_CONFIG": str(postfix.queue.parent / "config"),
            "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin",
        }

    def configure(self, **changes: str) -> None:
        """Run the script of the how-to."""
        self._run(["bash", str(SCRIPT)], changes=changes)

    def submit(self, content: str, *options: str, user: str = "zoe") -> None:
        """Hand a mail to `sendmail`, as a local program of that user does; `options` and recipients are its arguments."""
        self._run(["sendmail", "-i", "-f", f"{user}@{HOST_NAME}", *options], content.encode())

    def flush(self) -> None:
        """Try what waits in the queue now."""
        self._run(["postqueue", "-f"])

    def logged(self, pattern: str, timeout: float = 30.0) -> re.Match[str]:
        """Wait for a line of Postfix's log. Raises TimeoutError with the log."""
        try:
            return wait_until(lambda: re.search(pattern, self.postfix.log()), timeout=timeout, what=f"{pattern!r} in the log")
        except TimeoutError as error:
            raise TimeoutError(f"{error}\nLog of Postfix:\n{self.postfix.log()}") from None

    async def has_logged(self, pattern: str) -> re.Match[str]:
        """`logged` for a test whose event loop has to go on meanwhile."""
        return await asyncio.to_thread(self.logged, pattern)

    def _run(self, command: list[str], content: bytes = b"", changes: Mapping[str, str] | None = None) -> None:
        done = subprocess.run(
            command, input=content, env={**self._environment, **(changes or {})}, capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)


@contextmanager
def office(variables: Mapping[str, str]) -> Iterator[Office]:
    """A machine whose Postfix sends by the server that the variables name."""
    with Postfix(HOST_NAME, parameters={**_PARAMETERS, "myhostname": HOST_NAME}, services=_SERVICES) as postfix:
        made = Office(postfix, variables)
        made.configure()
        yield made
