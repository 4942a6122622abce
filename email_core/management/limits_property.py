"""The property `limits` of services, domains and keys, which is ours: how much of what may be sent in which time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from email_core.management.fields import Fields

UNITS = ("messages", "recipients")
WINDOWS = ("minute", "hour", "day")
MOST = 10_000_000


class LimitValue(NamedTuple):
    """At most `most` of `unit` in each `window`."""

    unit: str
    window: str
    most: int


class HasLimit(Protocol):
    """A limit as a document keeps it."""

    @property
    def unit(self) -> str: ...

    @property
    def window(self) -> str: ...

    @property
    def most(self) -> int: ...


def read_limits(fields: Fields, path: str = "properties.limits") -> tuple[LimitValue, ...] | None:
    """The limits of a body, at most one for each unit and window; None when it does not name them, or they have faults."""
    elements = fields.elements(path, most=len(UNITS) * len(WINDOWS))
    if elements is None:
        return None
    read: dict[tuple[str, str], LimitValue] = {}
    for index, element in enumerate(elements):
        where = f"{path}[{index}]"
        if not isinstance(element, Mapping):
            fields.add(where, "It must be an object with unit, window and most.")
            continue
        inner = Fields(element)
        unit = inner.text("unit", required=True, choices=UNITS)
        window = inner.text("window", required=True, choices=WINDOWS)
        most = inner.whole("most", 1, MOST)
        if most is None and not inner.faults:
            inner.add("most", f"It is required: give a whole number from 1 to {MOST}.")
        for fault in inner.faults:
            fields.add(f"{where}.{fault.target}", fault.message.partition(": ")[2])
        if unit is None or window is None or most is None:
            continue
        if (unit, window) in read:
            fields.add(where, f"There is another limit of {unit} in a {window}: give one.")
        read[unit, window] = LimitValue(unit, window, most)
    return tuple(read.values())


def shown_limits(limits: Iterable[HasLimit]) -> list[dict[str, object]]:
    """Limits as they are shown."""
    return [{"unit": limit.unit, "window": limit.window, "most": limit.most} for limit in limits]
