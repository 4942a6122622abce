"""What the commands of administrators have in common: their errors, exit statuses, and asking whether something is meant."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from local.arm_client import DONE, NOTHING_RUNNING, REFUSED, USAGE, ArmClient, ServiceRefused, UsageError, chosen_client
from local.arm_scope import NotFound
from local.http_call import NothingRunning, NoToken

INTERRUPTED = 130  # as shells say it of Ctrl-C

Action = Callable[[ArmClient, argparse.Namespace], int]


def administer(action: Action, options: argparse.Namespace, root: Path) -> int:
    """Run an action; the exit status: 0 done, 1 refused or not found, 2 a wrong command line, 3 nothing running."""
    try:
        return action(chosen_client(options, root), options)
    except (ServiceRefused, NotFound, NoToken) as error:
        return failed(str(error), REFUSED)
    except UsageError as error:
        return failed(str(error), USAGE)
    except NothingRunning as error:
        return failed(str(error), NOTHING_RUNNING)
    except KeyboardInterrupt:
        return INTERRUPTED


def failed(message: str, status: int) -> int:
    """Tell what went wrong."""
    print(f"postrider: {message}", file=sys.stderr)
    return status


def tell(options: argparse.Namespace, found: object, lines: Callable[[], Iterable[str]]) -> int:
    """Print what was found: as JSON for programs, else in lines for people."""
    if options.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        for line in lines():
            print(line)
    return DONE


def meant(options: argparse.Namespace, question: str) -> None:
    """Ask before something that cannot be undone. Raises UsageError when it is not meant, or nobody can be asked."""
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} Nobody is here to be asked: give --yes if it is meant")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was done")
