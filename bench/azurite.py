"""An Azurite that figures are measured against: on ports of its own, in memory, so that it is as quick as it can be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.figures import ContenderFailed
from bench.peers import missing_node_package
from tests.kit.azurite import Azurite


@contextmanager
def azurite(root: Path, scratch: Path) -> Iterator[str]:
    """The connection string of one that goes with the block. Raises ContenderFailed."""
    with azurite_server(root, scratch) as server:
        yield server.connection_string


@contextmanager
def azurite_server(root: Path, scratch: Path) -> Iterator[Azurite]:
    """The same for who wants to know more of it. Raises ContenderFailed."""
    if reason := missing_node_package(root, "azurite"):
        raise ContenderFailed(f"Azurite is {reason}")
    try:
        # Collecting garbage, it stands still for as long as a client waits, some time after a round of thousands of messages.
        server = Azurite(scratch, in_memory=True, keeps_garbage=True)
    except RuntimeError as error:
        raise ContenderFailed(str(error)) from error
    try:
        yield server
    finally:
        server.stop()
