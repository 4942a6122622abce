"""Ports of this machine: free ones, listening on one, and who holds a busy one."""

from __future__ import annotations

import contextlib
import errno
import secrets
import socket
from collections.abc import Sequence
from pathlib import Path

LOOPBACK = ("127.0.0.1", "::1")  # a client that is told "localhost" may try either
# Below the ports that systems give to outgoing connections: one of those may be taken again before anybody listens on it.
_CHOSEN_FROM = range(20_000, 32_000)
_TRIES = 2_000
_LISTENING = "0A"  # the state in /proc/net/tcp


class PortUnavailable(Exception):
    """A port that cannot be listened on; the text says which, why, and who holds it as far as the system tells."""

    def __init__(self, port: int, error: OSError) -> None:
        if error.errno == errno.EADDRINUSE:
            why = f"port {port} is busy: {holder_of(port) or 'another program'} listens on it"
        else:
            why = f"port {port} cannot be listened on: {error.strerror}"
        super().__init__(why)
        self.port = port


def listen(port: int, *, hosts: Sequence[str] = LOOPBACK) -> list[socket.socket]:
    """Sockets that listen on `port` of the addresses, 0 for one that the system chooses; IPv6 is left out where there is none.

    Raises PortUnavailable.
    """
    sockets: list[socket.socket] = []
    for host in hosts:
        try:
            sockets.append(_listening(host, sockets[0].getsockname()[1] if sockets else port))
        except OSError as error:
            if ":" in host and error.errno != errno.EADDRINUSE:
                continue
            for opened in sockets:
                opened.close()
            raise PortUnavailable(port, error) from error
    return sockets


def _listening(host: str, port: int) -> socket.socket:
    opened = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        # Else a port stays busy for a minute after its last connection closed.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.setblocking(False)
        opened.bind((host, port))
        opened.listen(1024)
    except OSError:
        opened.close()
        raise
    return opened


def check_free(port: int) -> None:
    """Raises PortUnavailable when `port` cannot be listened on."""
    for opened in listen(port):
        opened.close()


def free_ports(count: int, *, in_a_row: bool = False) -> list[int]:
    """Ports that were free on all loopback addresses a moment ago, all different; `in_a_row`: consecutive numbers.

    Raises RuntimeError when so many cannot be found.
    """
    ports: list[int] = []
    for _ in range(_TRIES):
        wanted = count if in_a_row else 1
        first = random_port()
        together = range(first, first + wanted)
        if not ports or together[0] not in ports:
            with contextlib.suppress(PortUnavailable):
                for port in together:
                    check_free(port)
                ports.extend(together)
        if len(ports) >= count:
            return ports
    raise RuntimeError(f"{count} free ports were not found between {_CHOSEN_FROM.start} and {_CHOSEN_FROM.stop}")


def random_port() -> int:
    """A port number that the system gives to nobody by itself; it may be in use."""
    return secrets.choice(_CHOSEN_FROM)


def holder_of(port: int) -> str:
    """Who listens on a port, such as `node (pid 4711)`; empty where the system does not tell."""
    inodes = _listening_inodes(port)
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended meanwhile, or not ours to look into
            for descriptor in (process / "fd").iterdir():
                if str(descriptor.readlink()) in inodes:
                    command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                    return f"`{command[:100]}` (pid {process.name})"
    return ""


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    return inodes
