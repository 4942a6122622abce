"""The folder of the local world: what lies where, who uses it, and starting clean."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from email_core.auth.smtp_credential import new_password

NAME = ".local"
_KEPT_AT_RESET = ("tls", "up.lock")  # programs were told to trust the authority; it is not part of the world's state
_RUN_PREFIX = "exec-"


class AlreadyRunning(Exception):
    """Another world uses this folder; the text says which process."""


@dataclass(frozen=True, slots=True)
class Folder:
    """`base` is shared by all worlds of a checkout; `state` belongs to one of them.

    For `up` it is the base itself, for `exec` a folder in it. Nothing is made before it is needed.
    """

    base: Path
    state: Path

    @classmethod
    def of_up(cls, root: Path) -> Folder:
        return cls(root / NAME, root / NAME)

    @classmethod
    def of_run(cls, root: Path) -> Folder:
        """A folder that no other process has."""
        return cls(root / NAME, root / NAME / f"{_RUN_PREFIX}{os.getpid()}")

    @property
    def tls(self) -> Path:
        return self.base / "tls"

    @property
    def bundle(self) -> Path:
        """The authorities that programs of this world trust. Those of `up` are told once, and keep it through a reset."""
        return (self.tls if self.state == self.base else self.state) / "bundle.pem"

    @property
    def azurite(self) -> Path:
        return self.state / "azurite"

    @property
    def outbox(self) -> Path:
        return self.state / "outbox"

    @property
    def log(self) -> Path:
        return self.state / "log"

    @property
    def host(self) -> Path:
        return self.state / "host"

    @property
    def environment_file(self) -> Path:
        return self.state / "env"

    @property
    def app_settings_file(self) -> Path:
        """What the functions of this world run with, for the operator's commands; it holds secrets."""
        return self.state / "app-settings"

    def secret(self, name: str, make: Callable[[], str]) -> str:
        """The content of a file that only its owner can read, made the first time."""
        path = self.state / name
        if not path.exists():
            self.state.mkdir(parents=True, exist_ok=True)
            fresh = path.with_suffix(".new")
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(make())
            fresh.replace(path)
        return path.read_text()

    @property
    def sealing_key(self) -> str:
        """Base64 of the 32 bytes that seal the secrets of this world's storage."""
        return self.secret("sealing-key", lambda: base64.b64encode(secrets.token_bytes(32)).decode())

    @property
    def admin_token(self) -> str:
        return self.secret("admin-token", lambda: secrets.token_urlsafe(32))

    @property
    def smtp_password(self) -> str:
        """That of the SMTP username of this world."""
        return self.secret("smtp-password", new_password)

    def reset(self) -> None:
        """Remove the state of `up`; worlds of running `exec` commands are left alone."""
        for entry in self.base.iterdir() if self.base.exists() else ():
            if entry.name not in _KEPT_AT_RESET and not entry.name.startswith(_RUN_PREFIX):
                _remove(entry)

    def remove_state(self) -> None:
        """Remove the state of an `exec`."""
        _remove(self.state)

    def remove_leftovers(self) -> None:
        """Remove the folders of `exec` commands that were killed."""
        for entry in self.base.glob(f"{_RUN_PREFIX}*"):
            if not is_running(entry.name.removeprefix(_RUN_PREFIX)):
                _remove(entry)


@contextmanager
def only_one(folder: Folder) -> Iterator[None]:
    """Hold the folder for this process. Raises AlreadyRunning; a process that died holds nothing."""
    folder.base.mkdir(parents=True, exist_ok=True)
    with (folder.base / "up.lock").open("a+") as lock:
        lock.seek(0)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = lock.read().strip() or "?"
            raise AlreadyRunning(
                f"a local world is running in {folder.base} already (process {holder}); stop it with Ctrl-C there"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
        lock.truncate(0)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def is_running(process: str) -> bool:
    """Whether a process of that number is there; false for a text that is no number."""
    if not process.isdecimal():
        return False
    with contextlib.suppress(PermissionError):  # somebody else's process: it is there
        try:
            os.kill(int(process), 0)
        except ProcessLookupError:
            return False
    return True
