"""Tasks of the queue `administration`: what follows from an administrator's request and takes its time.

Items name what is to be done and nothing else; whether it is still to be done is for the resource to say. So an item that comes
twice or late does no harm, and one that was lost is put again by the daily timer.
"""

from __future__ import annotations

import msgspec

from email_core.storage import Queues

ADMINISTRATION = "administration"


class Verify(msgspec.Struct, tag="verify", rename="camel", frozen=True):
    """Look for one of the five records of a domain, for the run that was started with it. `attempt` are the looks before."""

    domain: str  # resource id
    record: str  # VerificationType
    run: str
    attempt: int = 0


class Reverify(msgspec.Struct, tag="reverify", rename="camel", frozen=True):
    """Look whether all records of a domain are still there, and write its health report.

    `due` is the `next_check_at` that an item was put for; 0 for one that somebody asked for.
    """

    domain: str
    due: float = 0.0


class Rotate(msgspec.Struct, tag="rotate", rename="camel", frozen=True):
    """Go on with the DKIM rotation of a domain; with an empty `run`, begin one if it is due."""

    domain: str
    run: str


class Publish(msgspec.Struct, tag="publish", rename="camel", frozen=True):
    """Write what the platform publishes for a domain, such as its DKIM keys, to the zones of the settings.

    `since` is when that was tried first, 0 for now.
    """

    domain: str
    since: float = 0.0


class Remove(msgspec.Struct, tag="remove", rename="camel", frozen=True):
    """Delete a resource that is marked as Deleting, with everything below it. `operation` is told when it is done."""

    resource: str
    operation: str


Task = Verify | Reverify | Rotate | Publish | Remove

_decoder: msgspec.json.Decoder[Task] = msgspec.json.Decoder(Task)


def decode_task(text: str | bytes) -> Task:
    """A task of an item. Raises msgspec.MsgspecError for what is none."""
    return _decoder.decode(text)


class Tasks:
    """Puts tasks into the queue."""

    def __init__(self, queues: Queues) -> None:
        self._queues = queues

    async def put(self, task: Task, *, delay: float = 0.0) -> None:
        """Enqueue a task, to be seen after `delay` seconds (at most seven days). Raises StorageUnavailable."""
        await self._queues.enqueue(ADMINISTRATION, msgspec.json.encode(task).decode(), delay=delay)
