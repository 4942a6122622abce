"""The peers: whether each is there, how to install it when it is not, and installing all of them at once."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from ctypes import CDLL
from pathlib import Path

APT_PACKAGES = ("openssl", "libmail-dkim-perl", "libopendkim11", "opendkim", "postfix")
_HOW_APT = "apt-get install {}, or ./postrider bench --install-peers as root"
_HOW_OURS = "./postrider bench --install-peers"


def missing_program(program: str, package: str) -> str:
    """Why a program of the system cannot be measured; empty when it can."""
    return "" if shutil.which(program, path=_path()) else f"not installed: {_HOW_APT.format(package)}"


def missing_library(library: str, package: str) -> str:
    """The same for a shared library."""
    try:
        CDLL(library)
    except OSError:
        return f"not installed: {_HOW_APT.format(package)}"
    return ""


def missing_perl_module(module: str, package: str) -> str:
    """The same for a module of Perl."""
    if reason := missing_program("perl", "perl"):
        return reason
    done = subprocess.run(["perl", f"-M{module}", "-e", "1"], capture_output=True, check=False)
    return "" if done.returncode == 0 else f"not installed: {_HOW_APT.format(package)}"


def peer_python(root: Path) -> Path:
    """The Python that has the packages of bench/requirements.txt: one of their own, so that they cannot change what is ours."""
    return root / "bench" / ".venv" / "bin" / "python"


def missing_python_package(root: Path, module: str) -> str:
    """The same for a package of bench/requirements.txt."""
    found = list((root / "bench" / ".venv").glob(f"lib/python*/site-packages/{module}"))
    return "" if found else f"not installed: {_HOW_OURS}"


def missing_node_package(root: Path, package: str) -> str:
    """The same for a package of bench/package.json, or of those of the tests."""
    if shutil.which("node") is None:
        return "Node is not installed: https://nodejs.org"
    folders = (root / "bench" / "node_modules", root / "node_modules")
    return "" if any((folder / package).is_dir() for folder in folders) else f"not installed: {_HOW_OURS}"


def install_peers(root: Path, say: Callable[[str], None]) -> bool:
    """Install what is missing; whether all of it succeeded. What only root may do is said instead, for others to do."""
    bench = root / "bench"
    pip = [str(peer_python(root)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    commands = [
        [sys.executable, "-m", "venv", str(bench / ".venv")],
        [*pip, "-r", str(bench / "requirements.txt")],
        ["npm", "ci", "--silent"],
    ]
    apt = ["apt-get", "-q", "-y", "install", "--no-install-recommends", "--no-upgrade", *APT_PACKAGES]
    if shutil.which("apt-get") is None:
        say(f"These are packages of Debian and Ubuntu; install what your system has of them: {' '.join(APT_PACKAGES)}")
    elif os.geteuid() != 0:
        say(f"As root, for the peers that the system has packages of: {shlex.join(apt)}")
    else:
        # The figures start a Postfix of their own: its package is not to set up a server of this machine.
        unconfigured = "echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections"
        commands += [["sh", "-c", unconfigured], ["apt-get", "-q", "update"], apt]
    succeeded = [_run(command, bench, say) for command in commands]  # all of them, whatever becomes of the first
    return all(succeeded)


def _run(command: Sequence[str], folder: Path, say: Callable[[str], None]) -> bool:
    say(f"$ {shlex.join(command)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            check=False,
        )  # fmt: skip
    except OSError as error:
        say(f"{command[0]} cannot be run: {error.strerror}")
        return False
    if done.returncode:
        say(f"{command[0]} failed with exit status {done.returncode}:\n{done.stdout.decode(errors='replace').strip()}")
    return done.returncode == 0


def _path() -> str:
    """The folders of programs, with those of the administrator, where Debian has its servers."""
    return os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
