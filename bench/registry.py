"""All groups of figures, in the order in which they are measured."""

from __future__ import annotations

from collections.abc import Sequence

from bench.figures import Group
from bench.groups import (
    cpu,
    dkim,
    import_time,
    kill_run,
    memory,
    mime,
    round_trips,
    smtp,
    smtp_memory,
    storage,
    suppression,
    throughput,
)

GROUPS: tuple[Group, ...] = (
    dkim.GROUP,
    mime.GROUP,
    storage.GROUP,
    round_trips.GROUP,
    suppression.GROUP,
    throughput.GROUP,
    cpu.GROUP,
    memory.GROUP,
    smtp.GROUP,
    smtp_memory.GROUP,
    import_time.GROUP,
    kill_run.GROUP,
)


class UnknownName(Exception):
    """There is no such group or figure."""


def chosen(names: Sequence[str], groups: Sequence[Group] = GROUPS) -> list[tuple[Group, frozenset[str]]]:
    """The groups to open, each with the figures that are wanted of it; everything but the long runs when no name is given.

    A name is that of a group, or of one of its figures. Raises UnknownName.
    """
    if not names:
        return [(group, frozenset(group.figures)) for group in groups if not group.only_when_named]
    known = {name for group in groups for name in (group.name, *group.figures)}
    if unknown := [name for name in names if name not in known]:
        raise UnknownName(f"there is no figure {', '.join(unknown)}; ./postrider bench --list names all")
    wanted = [
        (group, frozenset(group.figures if group.name in names else [name for name in group.figures if name in names]))
        for group in groups
    ]
    return [(group, figures) for group, figures in wanted if figures]
