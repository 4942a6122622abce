"""The command line of ./postrider, once what it needs is installed."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

READER_GONE = 128 + 13  # SIGPIPE: what a shell says of other programs whose reader has gone

EXIT_CODES = """\
exit status:
  up     0 stopped by Ctrl-C or SIGTERM, 1 something failed or a world is running here already
  exec   that of the command, 128 and the signal's number when a signal ended it, 127 when there is no such command,
         126 when it cannot be run, 1 when the world failed
  test   0 all passed, otherwise that of the first check that failed
  send   0 every recipient is delivered, 1 something was refused or bounced, 3 nothing is running there,
         4 not final yet when the time was over
  explain  0 it is explained, 1 there is no such message or it may not be read, 3 nothing is running there
  doctor   0 nothing is wrong, 1 something is
  poison   0 done, 1 there is no such item, or one that could not be replayed
  domain, key, suppression, audit
         0 done (domain verify: verified; domain health: not red; audit --verify: the log holds), 1 refused, not found,
         or not so, 3 nothing is running there
  bench    0 measured, 1 something could not be measured
  all    2 a wrong command line, 69 Python or Node is missing or too old, or an installation failed, 141 nobody reads
         the output any more
"""


def parser() -> argparse.ArgumentParser:
    """All sub-commands and their options."""
    whole = argparse.ArgumentParser(
        prog="./postrider",
        description="Postrider: a self-hosted equivalent of Azure Communication Services Email.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")

    _world_commands(commands)

    test = commands.add_parser(
        "test",
        help="check and test this checkout",
        description="ruff, mypy and pytest. Arguments that are not known here are pytest's: ./postrider test --fast -k address",
    )
    test.add_argument("--fast", action="store_true", help="leave out what needs a real peer (Azurite, Postfix, Knot, Node)")

    send = commands.add_parser("send", help="send a message and follow it to its end")
    from local.send_options import add_send_options

    add_send_options(send)

    explain = commands.add_parser("explain", help="tell the story of a message, or what a reply of a server means")
    from local.explain_options import add_explain_options

    add_explain_options(explain)

    doctor = commands.add_parser("doctor", help="look for what is wrong with an installation, and say what to do about it")
    from local.doctor_options import add_doctor_options

    add_doctor_options(doctor)

    poison = commands.add_parser("poison", help="look at what could not be worked, and have it worked again")
    from local.poison_options import add_poison_options

    add_poison_options(poison)

    _administration_commands(commands)

    bench = commands.add_parser("bench", help="measure speed and memory beside peers")
    from local.bench_options import add_bench_options

    add_bench_options(bench)
    return whole


def _world_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    up = commands.add_parser(
        "up",
        help="run the local world until Ctrl-C",
        description="Start storage, the functions host and a capture sink, all on this machine. State is kept in .local/.",
    )
    up.add_argument("--reset", action="store_true", help="start clean: remove what earlier worlds left in .local/ first")
    _world_options(up, "default: 7443 and 7071")

    run = commands.add_parser(
        "exec",
        help="run a command in a fresh world of its own, on free ports",
        description="The command finds what it needs in its environment: COMMUNICATION_CONNECTION_STRING_EMAIL, "
        "SENDER_ADDRESS, RECIPIENT_ADDRESS, POSTRIDER_ENDPOINT and more. The world ends with it and leaves nothing behind.",
        usage="./postrider exec [options] -- COMMAND [ARGUMENT ...]",
    )
    run.add_argument("--reset", action="store_true", help="nothing to do: each run starts clean")
    _world_options(run, "default: free ones")


def _administration_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from local.audit_options import add_audit_options
    from local.domain_options import add_domain_options
    from local.key_options import add_key_options
    from local.suppression_options import add_suppression_options

    add_domain_options(commands.add_parser("domain", help="domains to send from: add, publish, verify, link, rotate"))
    add_key_options(commands.add_parser("key", help="the access keys of a communication service"))
    add_suppression_options(commands.add_parser("suppression", help="addresses that get no mail, and why"))
    add_audit_options(commands.add_parser("audit", help="who changed what"))


def _world_options(command: argparse.ArgumentParser, ports: str) -> None:
    command.add_argument(
        "--route",
        default="",
        metavar="ROUTE",
        help="how mail leaves: capture (kept in .local/outbox, the default), mx, or smarthost://user:password@host:587",
    )
    command.add_argument("--port", type=_port, metavar="N", help=f"HTTPS on port N and plain HTTP on N+1 ({ports})")
    command.add_argument(
        "--host",
        choices=("local", "func"),
        default="local",
        help="what runs the functions: our own host for one machine, or Azure Functions Core Tools if they are installed",
    )


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65534:
        raise argparse.ArgumentTypeError("a port is a number from 1 to 65534")
    return int(text)


@dataclass(frozen=True, slots=True)
class CommandLine:
    """Our own options, and what is for another program: the command of `exec`, or arguments of pytest."""

    options: argparse.Namespace
    others: list[str]


def read_command_line(arguments: Sequence[str]) -> CommandLine:
    """Ends the process with 2 when the command line is wrong, and with 0 after --help."""
    ours, others = list(arguments), []
    if ours[:1] == ["exec"] and "--" in ours:
        ours, others = ours[: ours.index("--")], ours[ours.index("--") + 1 :]
    elif ours[:1] == ["test"]:
        known = ("--fast", "--help", "-h")
        ours, others = [word for word in ours if word in ("test", *known)], [word for word in ours[1:] if word not in known]
    whole = parser()
    if not ours:
        whole.print_help(sys.stderr)  # the error, which comes below it, names no command
    options = whole.parse_args(ours)
    if options.command == "exec" and not others:
        whole.error("exec needs a command: ./postrider exec -- COMMAND")
    return CommandLine(options, others)


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """The exit status; see EXIT_CODES."""
    with quiet_without_reader():
        return _run(arguments, root)


@contextmanager
def quiet_without_reader() -> Iterator[None]:
    """Ends the process with READER_GONE when what is written has no reader any more, as in `| head`."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # at the interpreter's end it is too late to pass over the fault; after --help too
    except BrokenPipeError:
        # What is left in the buffer goes nowhere, or the interpreter complains of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(READER_GONE) from None


def _run(arguments: Sequence[str], root: Path) -> int:
    line = read_command_line(arguments)
    if line.options.command == "test":
        from local.checks import run_checks

        return run_checks(root, fast=line.options.fast, pytest_arguments=line.others)
    if line.options.command == "bench":
        from bench.run import bench

        return bench(line.options, root)
    if line.options.command in ("up", "exec"):
        return _in_a_world(line, root)
    return _command(line.options, root)


def _command(options: argparse.Namespace, root: Path) -> int:
    """A command that asks something of an installation."""
    from email_core.errors import StorageRefused, StorageUnavailable
    from email_core.sealing import SealingError
    from email_core.settings import SettingsError
    from local.explain import IS_UP_RUNNING
    from local.host_settings import HostSettingsError
    from local.installation import NoInstallation

    try:
        match options.command:
            case "send":
                from local.send import send

                return send(options, root)
            case "explain":
                from local.explain import explain

                return explain(options, root)
            case "doctor":
                from local.doctor.run import doctor

                return doctor(options, root)
            case "domain":
                from local.domain import domain

                return domain(options, root)
            case "key":
                from local.key import key

                return key(options, root)
            case "suppression":
                from local.suppression import suppression

                return suppression(options, root)
            case "audit":
                from local.audit import audit

                return audit(options, root)
            case _:
                from local.poison import poison

                return poison(options, root)
    except StorageUnavailable as error:
        return _failed(f"the storage of the installation does not answer: {error}. {IS_UP_RUNNING}")
    except (HostSettingsError, NoInstallation, SealingError, SettingsError, StorageRefused) as error:
        return _failed(str(error))


def _in_a_world(line: CommandLine, root: Path) -> int:
    from email_core.delivery.routes import parse_routes
    from email_core.errors import StorageRefused, StorageUnavailable
    from email_core.settings import SettingsError
    from local.azurite import AzuriteMissing
    from local.child import ChildFailed
    from local.core_tools import CoreToolsMissing
    from local.folder import AlreadyRunning
    from local.host_settings import HostSettingsError
    from local.ports import PortUnavailable
    from local.world import WorldOptions

    options = line.options
    try:
        route = "" if options.route == "capture" else options.route
        if route:
            parse_routes(route)
        world = WorldOptions(root, route, options.port, options.host == "func", usual_ports=options.command == "up")
        if options.command == "up":
            from local.up import up

            return asyncio.run(up(world, reset=options.reset))
        from local.exec_command import exec_command

        return asyncio.run(exec_command(world, line.others))
    except PortUnavailable as error:
        return _failed(f"{error}. Stop it, or use other ports: --port N takes N for HTTPS and N+1 for plain HTTP")
    except (
        AlreadyRunning, AzuriteMissing, ChildFailed, CoreToolsMissing, HostSettingsError, SettingsError, StorageRefused,
        StorageUnavailable,
    ) as error:  # fmt: skip
        return _failed(str(error))


def _failed(message: str) -> int:
    print(f"postrider: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
