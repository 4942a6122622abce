"""`./postrider explain`: the story of a message in plain words, or what a reply of a mail server means.

The sender of a message asks its service, with the service's key, and sees the recipients in full. An operator reads the
installation's storage by the name that the log has, and sees addresses as the log shows them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from email_core import maillog
from email_core.clock import SystemClock
from email_core.data_plane.operation import canonical_operation_id
from email_core.delivery.outcome import Stage
from email_core.delivery.poison import UNREADABLE
from email_core.delivery.rows import SpooledRow
from email_core.delivery.spool import Spool
from email_core.errors import StorageUnavailable
from email_core.explain.explanation import Explanation
from email_core.explain.replies import ReplyUnreadable, explain_reply, read_reply
from email_core.explain.story import explain_message
from email_core.explain.text import Look, message_text, reply_text
from email_core.settings import HOUR, RETRY_PAUSES, Settings, load_settings
from email_core.storage import open_storage
from local.environment import own_environment, read_environment
from local.folder import Folder
from local.http_call import NothingRunning
from local.installation import NoInstallation, installation
from local.message_request import MessageError
from local.send import API_VERSION, call, chosen_service

EXPLAINED, NOT_EXPLAINED, USAGE, NOTHING_RUNNING = range(4)
IS_UP_RUNNING = "If it is that of the local world: is ./postrider up running?"
_SERVICE_KEY = re.compile("[0-9A-Za-z]{1,63}")
_WIDEST = 110  # columns; longer lines are hard to read
_USUAL_TIME_TO_LIVE = 72 * HOUR  # seconds; the default of POSTRIDER_TTL_HOURS


class NotExplained(Exception):
    """There is no such message, or it may not be read."""


def explain(options: argparse.Namespace, root: Path) -> int:
    """The exit status: 0 explained, 1 no such message or it may not be read, 2 a wrong command line, 3 nothing running."""
    try:
        if options.reply is not None:
            return _explain_reply(options)
        _check(options)
        found = _of_storage(_name_in_storage(options.id), root) if ":" in options.id else _of_service(options, root)
    except (MessageError, ReplyUnreadable) as error:
        return _failed(str(error), USAGE)
    except NotExplained as error:
        return _failed(str(error), NOT_EXPLAINED)
    except (NoInstallation, NothingRunning) as error:
        return _failed(str(error), NOTHING_RUNNING)
    except StorageUnavailable as error:
        return _failed(f"the storage of the installation does not answer: {error}. {IS_UP_RUNNING}", NOTHING_RUNNING)
    if options.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return EXPLAINED
    try:
        explanation = msgspec.convert(found, Explanation)
    except msgspec.ValidationError as error:
        return _failed(f"the answer is no explanation that this version can read: {error}", NOT_EXPLAINED)
    print(message_text(explanation, _look()), end="")
    return EXPLAINED


def _explain_reply(options: argparse.Namespace) -> int:
    explanation = explain_reply(
        read_reply(options.reply),
        Stage(options.stage or Stage.RCPT),
        options.mx,
        pauses=RETRY_PAUSES,
        time_to_live=_USUAL_TIME_TO_LIVE,
    )
    if options.json:
        print(json.dumps(msgspec.to_builtins(explanation), indent=2, ensure_ascii=False))
    else:
        print(reply_text(explanation, _look()), end="")
    return EXPLAINED


def _check(options: argparse.Namespace) -> None:
    """Raises MessageError when the options do not go together, or the id is none."""
    if options.stage or options.mx:
        raise MessageError("--stage and --mx go with --reply")
    service, colon, operation = options.id.rpartition(":")
    if not canonical_operation_id(operation) or (colon and not _SERVICE_KEY.fullmatch(service)):
        raise MessageError(
            f"{options.id!r} names no message: give the operation id, a UUID as ./postrider send and the API tell it, or what "
            "stands after message= in the mail log, which is the key of the service, a colon and that id"
        )


def _name_in_storage(name: str) -> str:
    service, _, operation = name.rpartition(":")
    return f"{service.lower()}:{canonical_operation_id(operation)}"


def _of_service(options: argparse.Namespace, root: Path) -> dict[str, Any]:
    """The explanation as the service of the sender gives it. Raises MessageError, NothingRunning and NotExplained."""
    folder = Folder.of_up(root)
    ours = {name: value for name, value in own_environment().items() if value}
    service = chosen_service(options, read_environment(folder.environment_file) | ours, folder.tls / "ca.pem")
    path = f"/emails/operations/{canonical_operation_id(options.id)}/explanation"
    reply = call(service, "GET", f"{service.endpoint}{path}?api-version={API_VERSION}")
    if reply.status == 200 and reply.body:
        return reply.body
    error = reply.body.get("error") or {}
    if reply.status == 404 and not error:
        raise NotExplained(f"{service.endpoint} has no explanations: it is no Postrider, or one of an older version")
    raise NotExplained(f"refused with {reply.status}: {error.get('code', '')} {error.get('message', '')}".rstrip())


def _of_storage(message: str, root: Path) -> dict[str, Any]:
    """The explanation from the installation's own storage, with addresses as its log shows them.

    Raises NotExplained, NoInstallation, StorageUnavailable and what the settings are wrong with.
    """
    settings = load_settings(installation(root).app_settings)
    try:
        row, envelopes = asyncio.run(_rows(settings, message))
    except UNREADABLE as error:
        raise NotExplained(
            f"{message} cannot be read by this version of Postrider ({type(error).__name__}): run the version that wrote it"
        ) from None
    if row is None:
        raise NotExplained(f"there is no message {message} in the storage of this installation")
    explanation = explain_message(row, envelopes, now=SystemClock().now(), for_operator=True)
    maillog.configure(full_addresses=settings.log_full_addresses)
    shown: dict[str, Any] = _with_texts(msgspec.to_builtins(explanation), maillog.masked_within)
    if explanation.message_id.startswith(f"<{explanation.id}@"):  # ours, and no address; one of the sender's may be anything
        shown["messageId"] = explanation.message_id
    return shown


async def _rows(settings: Settings, message: str) -> tuple[SpooledRow | None, list[SpooledRow]]:
    storage = open_storage(settings.storage)
    try:
        spool = Spool(storage)
        row = await spool.shown(message)
        return row, await spool.envelopes(message, shown=True) if row and row.facts.envelopes else []
    finally:
        await storage.close()


def _with_texts(value: Any, change: Callable[[str], str]) -> Any:
    """A JSON value with each of its texts changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_with_texts(each, change) for each in value]
    return {name: _with_texts(each, change) for name, each in value.items()} if isinstance(value, dict) else value


def _look() -> Look:
    terminal = sys.stdout.isatty()
    columns = shutil.get_terminal_size((_WIDEST, 24)).columns
    return Look(min(columns, _WIDEST), bold=terminal and not own_environment().get("NO_COLOR"))


def _failed(message: str, status: int) -> int:
    print(f"postrider: {message}", file=sys.stderr)
    return status
