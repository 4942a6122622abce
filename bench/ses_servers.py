"""The stand-ins for Amazon SES that a developer might run instead: moto's server and aws-ses-v2-local. Neither sends mail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.figures import Bench
from bench.mail import ses_identity_request, ses_v1_request, ses_v2_request
from bench.mail_world import WARM_UP, Load
from bench.peers import missing_node_package, missing_python_package, peer_python
from bench.servers import server
from local.environment import own_environment
from local.ports import free_ports

MOTO, SES_V2_LOCAL = "moto server, SES", "aws-ses-v2-local"
Send = Callable[[int], float]  # so many messages; requests a second


def missing_moto(root: Path) -> str:
    """Why it can't be measured; empty when it can."""
    return missing_python_package(root, "moto")


def missing_ses_v2_local(root: Path) -> str:
    """Why it can't be measured; empty when it can."""
    return missing_node_package(root, "aws-ses-v2-local")


@contextmanager
def moto(bench: Bench, load: Load) -> Iterator[Send]:
    """moto's server, asked by SendEmail of SES version 1. Raises ContenderFailed."""
    command = [str(peer_python(bench.root).with_name("moto_server")), "-H", "127.0.0.1", "-p"]
    with _ses(bench, load, "moto", command, ses_v1_request, first=ses_identity_request) as send:
        yield send


@contextmanager
def ses_v2_local(bench: Bench, load: Load) -> Iterator[Send]:
    """aws-ses-v2-local, asked by SendEmail of SES version 2. Raises ContenderFailed."""
    script = bench.root / "bench" / "node_modules" / "aws-ses-v2-local" / "dist" / "cli.js"
    command = ["node", str(script), "--host", "127.0.0.1", "--port"]
    with _ses(bench, load, "ses-v2-local", command, ses_v2_request) as send:
        yield send


@contextmanager
def _ses(
    bench: Bench,
    load: Load,
    name: str,
    command: Sequence[str],
    request: Callable[[int, int], str],
    first: Callable[[int], str] | None = None,
) -> Iterator[Send]:
    (port,) = free_ports(1)
    log = bench.scratch / f"{name}.log"
    with server([*command, str(port)], folder=bench.scratch, log=log, environment=own_environment()) as running:
        running.wait_for_port(port)
        if first:
            load.send(port, [first(port)], status=200, connections=1)

        def send(messages: int) -> float:
            return load.send(port, [request(port, number) for number in range(messages)], status=200).rate

        send(WARM_UP)
        yield send
