"""`./postrider doctor`: makes all checks at once, and prints them in order. Nothing is changed, and no mail is sent."""

from __future__ import annotations

import argparse
import asyncio
import logging
import shutil
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from email_core.errors import EntityMissing, StorageRefused, StorageUnavailable
from local.doctor import clock, configuration, host, machine, ports, resolver, routes, smtp, spool, storage
from local.doctor.check import Check, Finding, State, left_out, wrong
from local.doctor.report import document, lines_of, summary_line
from local.doctor.subject import LeftOut, Subject

# In the order of the report: what others rest upon comes first.
CHECKS: tuple[Check, ...] = tuple(
    check
    for module in (machine, configuration, ports, storage, clock, resolver, routes, spool, host, smtp)
    for check in module.CHECKS
)
_LOGGERS = ("postrider", "asyncio", "azure")  # what our code logs on the way is in the report in better words
_REFUSALS = (401, 403, 404)


def doctor(options: argparse.Namespace, root: Path) -> int:
    """0 when nothing is wrong, 1 when something is."""
    with _quiet():
        findings = asyncio.run(_examine(Subject(options, root), CHECKS))
    return int(any(finding.state is State.WRONG for finding in findings))


async def _examine(subject: Subject, checks: Sequence[Check]) -> list[Finding]:
    """All findings; for people each is printed as soon as it and all before it are there."""
    secrets = subject.secrets()
    colour = sys.stdout.isatty() and not subject.environment.get("NO_COLOR")
    width = min(max(shutil.get_terminal_size((100, 24)).columns, 60), 128)
    as_text = not subject.options.json
    if as_text:
        print(machine.machine_line(), flush=True)
    subject.warm_up()
    tasks = [asyncio.create_task(findings_of(check, subject)) for check in checks]
    found: list[tuple[str, Finding]] = []
    try:
        for check, task in zip(checks, tasks, strict=True):
            if as_text and check.group != (found[-1][0] if found else ""):
                print(f"\n{check.group}", flush=True)
            for finding in await task:
                found.append((check.group, _without(secrets, finding)))
                if as_text:
                    print("\n".join(lines_of(found[-1][1], colour=colour, width=width)), flush=True)
    finally:
        for task in tasks:
            task.cancel()
        await subject.close()
    findings = [finding for _, finding in found]
    if as_text:
        print(f"\n{summary_line(findings)}")
    else:
        print(document(found, machine=machine.machine_line(), installation=subject.found_in))
    return findings


async def findings_of(check: Check, subject: Subject) -> Sequence[Finding]:
    """What a check finds, whatever happens to it."""
    try:
        async with asyncio.timeout(check.seconds):
            made = await check.make(subject)
    except LeftOut as missing:
        return [left_out(check.name, str(missing))]
    except TimeoutError:
        return [_out_of_time(check)]
    except (StorageUnavailable, EntityMissing) as error:
        return [_without_storage(check, error)]
    except StorageRefused as error:
        return [_without_storage(check, error) if error.status in _REFUSALS else _failed(check, error)]
    except Exception as error:  # one check that fails must not take the others with it
        return [_failed(check, error)]
    return [made] if isinstance(made, Finding) else list(made)


def _out_of_time(check: Check) -> Finding:
    if check.of_storage:
        return left_out(check.name, f"storage did not answer within {check.seconds:g} s; see the lines of storage")
    return wrong(
        check.name, f"no result within {check.seconds:g} s", "is this machine very busy, or is something on the way very slow?"
    )


def _without_storage(check: Check, error: Exception) -> Finding:
    if check.of_storage:
        return left_out(check.name, "storage does not answer or refuses; see the lines of storage")
    return _failed(check, error)


def _failed(check: Check, error: BaseException) -> Finding:
    # Its text is not shown: nobody knows what it quotes.
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    return wrong(
        check.name,
        f"the check itself failed with {type(error).__name__} at {where}",
        "this is a fault of the doctor, and says nothing of the installation: report it with this line",
    )


def _without(secrets: Sequence[str], finding: Finding) -> Finding:
    found, remedy = finding.found, finding.remedy
    for secret in secrets:
        found, remedy = found.replace(secret, "***"), remedy.replace(secret, "***")
    return replace(finding, found=found, remedy=remedy)


@contextmanager
def _quiet() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
