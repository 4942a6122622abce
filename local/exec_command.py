"""`./postrider exec -- COMMAND`: a fresh world for as long as a command runs, and the command's own exit status."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence

from local.child import end_with_parent
from local.environment import own_environment
from local.folder import Folder
from local.supervision import Signals, run_in_world
from local.world import World, WorldOptions

CANNOT_RUN, NOT_FOUND = 126, 127  # as a shell says it
_STOP_SECONDS = 10.0


async def exec_command(options: WorldOptions, command: Sequence[str]) -> int:
    """The command's exit status, 128 and the number of the signal that ended it, 126 or 127 when it cannot be run."""
    folder = Folder.of_run(options.root)
    folder.remove_leftovers()
    signals = Signals()

    async def body(variables: Mapping[str, str]) -> int:
        return await _run(command, {**own_environment(), **variables}, signals)

    try:
        return await run_in_world(World(folder, options, _say), body, signals)
    finally:
        folder.remove_state()


async def _run(command: Sequence[str], environment: Mapping[str, str], signals: Signals) -> int:
    at_terminal = _owns_the_terminal()
    try:
        # At a terminal it stays in our process group: Ctrl-C reaches it from there, and it may read what is typed.
        process = await asyncio.create_subprocess_exec(
            *command, env=dict(environment), process_group=None if at_terminal else 0, preexec_fn=end_with_parent
        )
    except FileNotFoundError:
        _say(f"{command[0]}: there is no such command")
        return NOT_FOUND
    except OSError as error:
        _say(f"{command[0]} cannot be run: {error.strerror}")
        return CANNOT_RUN

    def pass_on(number: signal.Signals) -> None:
        if number is signal.SIGINT and at_terminal:
            return  # the terminal has told it already
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number) if at_terminal else os.killpg(process.pid, number)

    signals.handler = pass_on
    try:
        status = await process.wait()
    finally:
        await _end(process, at_terminal=at_terminal)
    return 128 - status if status < 0 else status


async def _end(process: asyncio.subprocess.Process, *, at_terminal: bool) -> None:
    """End what is left of the command: all of it when the world broke, and what it left in the background otherwise."""
    with contextlib.suppress(ProcessLookupError, TimeoutError):
        if process.returncode is None:
            process.terminate()
            await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        if not at_terminal:
            os.killpg(process.pid, signal.SIGKILL)
        elif process.returncode is None:
            process.kill()


def _owns_the_terminal() -> bool:
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False


def _say(text: str) -> None:
    # The standard output belongs to the command.
    print(f"postrider: {text}", file=sys.stderr, flush=True)
