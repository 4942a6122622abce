"""Routes of HTTP functions, matched as ASP.NET Core does for the Functions host.

Matching ignores case and tolerates one trailing slash; the order of the functions decides, not how specific a template is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

_PARAMETER = re.compile(
    r"\{(?P<star>\*{0,2})(?P<name>[^{}:=?*]+)(?P<constraints>(?::[^{}=?]+)*)(?:=(?P<default>[^{}]*))?(?P<optional>\?)?\}"
)
_CONSTRAINT = re.compile(r"(?P<name>\w+)(?:\((?P<arguments>[^()]*)\))?")


class RouteError(ValueError):
    """A template that the host cannot route."""


Check = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Route:
    """One template with the methods it answers; no methods means all."""

    template: str
    methods: frozenset[str]
    pattern: re.Pattern[str]
    checks: tuple[tuple[str, Check], ...]
    defaults: tuple[tuple[str, str], ...]

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """The route values that `path` (decoded, with its leading slash) gives, or None when it is not of this route.

        Absent optional parameters are left out. Another method is no match: the answer is 404, not 405.
        """
        if self.methods and method.upper() not in self.methods:
            return None
        found = self.pattern.fullmatch(path)
        if not found:
            return None
        values = dict(self.defaults)
        values.update({name[1:]: value for name, value in found.groupdict().items() if value})
        for name, check in self.checks:
            if name in values and not check(values[name]):
                return None
        return values


def parse_route(template: str, methods: Iterable[str], prefix: str = "") -> Route:
    """The route of `prefix`/`template`. Raises RouteError for what the host refuses."""
    trimmed = template.strip("/")
    if trimmed.lower().startswith(("admin", "runtime")):
        raise RouteError(f"the route {template!r} starts with 'admin' or 'runtime', which the Functions host keeps for itself")
    whole = "/".join(part for part in (prefix.strip("/"), trimmed) if part)
    checks: list[tuple[str, Check]] = []
    defaults: list[tuple[str, str]] = []
    names: list[str] = []
    pattern = ""
    segments = whole.split("/") if whole else []
    for index, segment in enumerate(segments):
        pattern += _segment(segment, index == len(segments) - 1, template, checks, defaults, names)
    if len(set(names)) != len(names):
        raise RouteError(f"the route {template!r} has a parameter twice")
    # RouteCollection ignores a trailing slash in the address.
    compiled = re.compile(pattern + "/?", re.IGNORECASE | re.DOTALL)
    return Route(whole, frozenset(method.upper() for method in methods), compiled, tuple(checks), tuple(defaults))


def _segment(
    segment: str, last: bool, template: str, checks: list[tuple[str, Check]], defaults: list[tuple[str, str]], names: list[str]
) -> str:
    """The pattern of one segment with the slash before it."""
    if not segment:
        raise RouteError(f"the route {template!r} has an empty segment")
    parameters = list(_PARAMETER.finditer(segment))
    literal = _PARAMETER.sub("", segment)
    if any(character in literal for character in "{}?"):
        raise RouteError(f"the route {template!r} has a segment that cannot be read: {segment!r}")
    pattern, end = "", 0
    optional = False
    for found in parameters:
        name = found["name"].strip()
        names.append(name.lower())
        alone = found.group() == segment
        if found["star"] and not (alone and last):
            raise RouteError(f"the route {template!r}: the catch-all {{*{name}}} must be the whole last segment")
        if found["optional"] and not (alone and last):
            raise RouteError(f"the route {template!r}: the optional {{{name}?}} must be the whole last segment")
        checks.extend((name, check) for check in _checks(found["constraints"], template))
        if found["default"]:
            defaults.append((name, found["default"]))
        optional = alone and last and bool(found["optional"] or found["default"] or found["star"])
        value = ".*" if found["star"] else "[^/]+"
        # The leading underscore lets a parameter be named as Python would not allow a group to be.
        pattern += re.escape(segment[end : found.start()]) + f"(?P<_{_group(name, template)}>{value})"
        end = found.end()
    pattern += re.escape(segment[end:])
    return f"(?:/{pattern})?" if optional else f"/{pattern}"


def _group(name: str, template: str) -> str:
    if not name.isidentifier():
        raise RouteError(f"the route {template!r}: the parameter name {name!r} must be letters, digits and underscores")
    return name


def _number(convert: Callable[[str], float], least: float, most: float) -> Check:
    def check(text: str) -> bool:
        try:
            return least <= convert(text) <= most
        except ValueError:
            return False

    return check


def _checks(constraints: str, template: str) -> list[Check]:
    return [_check(part, template) for part in constraints.split(":")[1:]]


def _check(text: str, template: str) -> Check:
    """The inline constraints of ASP.NET Core; `regex` is left out, for its text may hold any of the characters that end one."""
    found = _CONSTRAINT.fullmatch(text)
    name, arguments = (found["name"].lower(), found["arguments"]) if found else ("", None)
    plain: dict[str, Check] = {
        "int": _number(int, -(2**31), 2**31 - 1),
        "long": _number(int, -(2**63), 2**63 - 1),
        "double": _number(float, float("-inf"), float("inf")),
        "float": _number(float, float("-inf"), float("inf")),
        "decimal": _number(float, -7.9e28, 7.9e28),
        "bool": lambda value: value.lower() in ("true", "false"),
        "alpha": lambda value: value.isascii() and value.isalpha(),
        "guid": lambda value: re.fullmatch(r"\{?[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}\}?", value) is not None,
        "required": bool,
    }
    if arguments is None and name in plain:
        return plain[name]
    try:
        numbers = [int(part) for part in (arguments or "").split(",")]
    except ValueError:
        numbers = []
    limits: dict[tuple[str, int], Callable[[int, int], Check]] = {
        ("length", 1): lambda least, _: lambda value: len(value) == least,
        ("length", 2): lambda least, most: lambda value: least <= len(value) <= most,
        ("minlength", 1): lambda least, _: lambda value: len(value) >= least,
        ("maxlength", 1): lambda most, _: lambda value: len(value) <= most,
        ("min", 1): lambda least, _: _number(int, least, float("inf")),
        ("max", 1): lambda most, _: _number(int, float("-inf"), most),
        ("range", 2): lambda least, most: _number(int, least, most),
    }
    make = limits.get((name, len(numbers)))
    if make is None:
        raise RouteError(f"the route {template!r}: the constraint {text!r} is not known to this host")
    return make(numbers[0], numbers[-1])
