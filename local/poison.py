"""`./postrider poison`: look at the items that could not be worked, and have them worked again."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from email_core import maillog
from email_core.clock import SystemClock
from email_core.delivery.kept_items import KeptItem, kept_items
from email_core.delivery.replay import Prospect, Replayer
from email_core.delivery.spool import Spool
from email_core.errors import EntityMissing
from email_core.settings import load_settings
from email_core.storage import open_storage
from local.installation import installation
from local.poison_view import as_json, list_lines, outcome_text, prospect_as_json, short_ids, show_lines

DONE, FAILED = 0, 1


class QueueMissing(Exception):
    """An item cannot be put back on its queue, because storage has none of that name."""


class NoSuchItem(Exception):
    """No item, or more than one, has an id that begins so."""


@dataclass(frozen=True, slots=True)
class _Command:
    """One action on the items of an installation, the latest first."""

    options: argparse.Namespace
    items: Sequence[KeptItem]
    replayer: Replayer

    async def list(self) -> int:
        self._tell([as_json(kept) for kept in self.items], lambda: list_lines(self.items))
        return DONE

    async def show(self) -> int:
        prospect = await self.replayer.prospect(self._chosen())
        self._tell(prospect_as_json(prospect), lambda: show_lines(prospect))
        return DONE

    async def replay(self) -> int:
        chosen = self.items if self.options.all else [self._chosen()]
        prospects: list[Prospect] = []
        try:
            for kept in reversed(chosen):  # the oldest first, as they came
                prospects.append(await self._replay(kept))
                if not self.options.json:
                    print(self._replayed(prospects[-1]), flush=True)
        finally:  # what was done is done, and must be told, whatever came in the way of the rest
            if self.options.json:
                print(json.dumps([prospect_as_json(prospect) for prospect in prospects], indent=2), flush=True)
        if not prospects and not self.options.json:
            print("Nothing is kept: there is nothing to replay.")
        return FAILED if any(prospect.refused for prospect in prospects) else DONE

    async def forget(self) -> int:
        kept = self._chosen()
        await self.replayer.forget(kept)
        self._tell(as_json(kept), lambda: [f"{kept.id}: forgotten; its message stays as it is"])
        return DONE

    async def _replay(self, kept: KeptItem) -> Prospect:
        try:
            return await self.replayer.replay(kept)
        except EntityMissing as missing:
            raise QueueMissing(
                f"{kept.id} cannot be replayed: its queue in the storage of this installation is gone ({missing}). Make the "
                "queues anew, ./postrider doctor names those that are missing, and replay it again"
            ) from None

    def _chosen(self) -> KeptItem:
        beginning = self.options.item.lower()
        found = [kept for kept in self.items if kept.id.lower().startswith(beginning)] if beginning else []
        exact = [kept for kept in found if kept.id.lower() == beginning]
        if len(exact or found) == 1:
            return (exact or found)[0]
        if found:
            raise NoSuchItem(
                f"{len(found)} items have an id that begins with {self.options.item}: give more of it. They are "
                + ", ".join(kept.id for kept in found)
            )
        raise NoSuchItem(
            f"no item has an id that begins with {self.options.item!r}: ./postrider poison list has those there are"
        )

    def _replayed(self, prospect: Prospect) -> str:
        name = short_ids(self.items)[prospect.kept.id]
        if prospect.refused:
            return f"{name}: {outcome_text(prospect)}"
        return f"{name}: replayed: {outcome_text(prospect)}"

    def _tell(self, found: object, lines: Callable[[], Iterable[str]]) -> None:
        if self.options.json:
            print(json.dumps(found, indent=2))
        else:
            for line in lines():
                print(line)


def poison(options: argparse.Namespace, root: Path) -> int:
    """The exit status: 0 done, 1 no such item or one that could not be replayed.

    Raises what cannot be helped here: NoInstallation, SettingsError, StorageUnavailable and their like.
    """
    try:
        return asyncio.run(_run(options, root))
    except (NoSuchItem, QueueMissing) as error:
        print(f"postrider: {error}", file=sys.stderr)
        return FAILED


async def _run(options: argparse.Namespace, root: Path) -> int:
    settings = load_settings(installation(root).app_settings)
    maillog.configure(full_addresses=settings.log_full_addresses)
    storage = open_storage(settings.storage)
    try:
        items = sorted([kept async for kept in kept_items(storage.tables)], key=lambda kept: kept.kept_at, reverse=True)
        command = _Command(options, items, Replayer(storage, Spool(storage), SystemClock()))
        actions = {"list": command.list, "show": command.show, "replay": command.replay, "forget": command.forget}
        return await actions[options.action]()
    finally:
        await storage.close()
