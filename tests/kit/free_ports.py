"""Ports that nobody listens on, for the peers that tests start."""

from __future__ import annotations

import socket

from local.ports import random_port


def free_port(host: str = "127.0.0.1") -> int:
    """A port that is free for both TCP and UDP on that address at this moment; DNS needs the two under one number."""
    for _ in range(50):
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram,
        ):
            port = random_port()
            try:
                stream.bind((host, port))
                datagram.bind((host, port))
            except OSError:
                continue  # taken: ask for another
            return port
    raise RuntimeError(f"no port of {host} is free for both TCP and UDP")
