"""Reading the body of a management request, so that one answer names every field that is wrong.

Bodies here are small, so they are plain dictionaries; a path such as `properties.dataLocation` names a field in it. Null is the
same as absent. Unknown fields are ignored, as ARM does for what a newer client may send.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from email_core.errors import Fault
from email_core.management import refusals

MOST_FAULTS = 50  # in one answer

_TYPES = {str: "a string", bool: "a boolean", list: "an array", dict: "an object"}


class Fields:
    """Reads fields and collects their faults; what is wrong or absent reads as None. `finish` raises what was collected."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = body
        self.faults: list[Fault] = []

    def add(self, target: str, rule: str) -> None:
        """Remember a fault."""
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(refusals.bad_field(target, rule))

    def finish(self) -> None:
        """Raises RequestRefused (400) when something was wrong."""
        if self.faults:
            raise refusals.invalid_content(self.faults)

    def has(self, path: str) -> bool:
        """Whether the field is there and not null."""
        return self._value(path) is not None

    def text(
        self, path: str, *, required: bool = False, most: int = 1024, choices: Collection[str] = (), least: int = 0
    ) -> str | None:
        """A string of `least` to `most` characters, of the `choices` when there are any: the choice as we write it."""
        value = self._typed(path, str, required)
        if value is None:
            return None
        if choices:
            fitting = next((choice for choice in choices if choice.lower() == value.lower()), None)
            if fitting is None:
                self.add(path, f"It must be one of {', '.join(choices)}; it is '{refusals.shown(value)}'.")
            return fitting
        if not least <= len(value) <= most:
            self.add(path, f"It must have {least} to {most} characters; it has {len(value)}.")
            return None
        if any(ord(character) < 0x20 or ord(character) == 0x7F for character in value):
            self.add(path, "It holds a control character: write it without line breaks and such.")
            return None
        return str(value)

    def boolean(self, path: str) -> bool | None:
        """true or false."""
        value = self._typed(path, bool, False)
        return None if value is None else bool(value)

    def whole(self, path: str, least: int, most: int) -> int | None:
        """A whole number."""
        value = self._value(path)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self.add(path, f"It must be a whole number from {least} to {most}.")
            return None
        return value

    def strings(self, path: str, *, most: int = 100, longest: int = 1024) -> tuple[str, ...] | None:
        """An array of strings."""
        value = self._typed(path, list, False)
        if value is None:
            return None
        if len(value) > most:
            self.add(path, f"It may have {most} elements; it has {len(value)}.")
            return None
        for index, element in enumerate(value):
            if not isinstance(element, str) or not 0 < len(element) <= longest:
                self.add(f"{path}[{index}]", f"It must be a string of 1 to {longest} characters.")
                return None
        return tuple(value)

    def members(self, path: str) -> dict[str, Any] | None:
        """An object."""
        value = self._typed(path, dict, False)
        return None if value is None else dict(value)

    def elements(self, path: str, *, most: int = 100) -> Sequence[Any] | None:
        """An array of anything."""
        value: Sequence[Any] | None = self._typed(path, list, False)
        if value is not None and len(value) > most:
            self.add(path, f"It may have {most} elements; it has {len(value)}.")
            return None
        return value

    def tags(self) -> dict[str, str] | None:
        """`tags`: at most 50, names of 1 to 512 characters, values of at most 256, as in ARM."""
        value = self.members("tags")
        if value is None:
            return None
        if len(value) > 50:
            self.add("tags", f"A resource may have 50 tags; there are {len(value)}.")
        for name, text in value.items():
            if not 1 <= len(name) <= 512 or any(character in "<>%&\\?/" for character in name):
                self.add("tags", f"The name '{refusals.shown(name)}' must have 1 to 512 characters and none of <>%&\\?/.")
            if not isinstance(text, str) or len(text) > 256:
                self.add(f"tags.{refusals.shown(name)}", "Its value must be a string of at most 256 characters.")
        return value

    def read_only(self, path: str, kept: object) -> None:
        """A field that only the service sets: it may be repeated as it is, as clients do that send back what they read."""
        value = self._value(path)
        if value is not None and value != kept:
            self.add(path, "It is read-only: leave it out, or send the value that the resource has.")

    def _typed(self, path: str, kind: type, required: bool) -> Any:
        value = self._value(path)
        if value is None:
            if required:
                self.add(path, f"It is required: give {_TYPES[kind]}.")
            return None
        if not isinstance(value, kind):
            self.add(path, f"It must be {_TYPES[kind]}.")
            return None
        return value

    def _value(self, path: str) -> Any:
        value: Any = self._body
        names = path.split(".")
        for place, name in enumerate(names):
            if value is None:
                return None
            if not isinstance(value, Mapping):
                above = ".".join(names[:place])
                if all(fault.target != above for fault in self.faults):  # once, whatever is looked for in it
                    self.add(above, "It must be an object.")
                return None
            value = value.get(name)
        return value
