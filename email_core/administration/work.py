"""Doing the tasks of the queue `administration`."""

from __future__ import annotations

from email_core.administration.call import Administration
from email_core.domains.tasks import Publish, Remove, Reverify, Rotate, Verify, decode_task


async def work(admin: Administration, text: str) -> None:
    """Do the task of an item. Raises msgspec.MsgspecError for what is none, and what the task raises.

    Each module is imported by the first task of it: some bring a DNS library, or clients of a DNS service.
    """
    match decode_task(text):
        case Verify() as task:
            from email_core.administration import verification

            await verification.run(admin, task)
        case Reverify() as task:
            from email_core.administration import reverification

            await reverification.run(admin, task)
        case Rotate() as task:
            from email_core.administration import rotation

            await rotation.run(admin, task)
        case Publish() as task:
            from email_core.administration import publishing

            await publishing.run(admin, task)
        case Remove() as task:
            from email_core.administration import removal

            await removal.run(admin, task)
