"""Which roles a token gives: its app roles, and what the setting POSTRIDER_ROLES says of them and of single callers.

An entry is `WHO=ROLE` or `WHO=ROLE@SCOPE`. WHO is the value of an app role, an object id or an application id; SCOPE is the
beginning of a resource id.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from email_core.auth.principal import Grant, Role
from email_core.settings import SettingsError

PREFIX = "postrider."  # before an app role's value, for an app registration that has roles of its own

_entry = re.compile(r"(?P<who>[^@]+)=(?P<role>Admin|Reader|Sender)(?:@(?P<scope>.+))?", re.IGNORECASE)
_GUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_guid = re.compile(_GUID, re.ASCII | re.IGNORECASE)
_scope = re.compile(
    rf"/subscriptions/{_GUID}(?:/resourcegroups/[^/\s]+(?:/providers/microsoft\.communication(?:/[^/\s]+/[^/\s]+)+)?)?",
    re.IGNORECASE,
)
_RULE = (
    "must be WHO=ROLE or WHO=ROLE@SCOPE: WHO an app role, an object id or an application id, ROLE one of Admin, Reader and "
    "Sender, SCOPE the id of a subscription, a resource group or a resource, such as "
    "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/mail"
)


class RoleMap:
    """What the entries of the setting say. Names are compared without case: a restriction must not fail for its spelling."""

    def __init__(self, granted: Mapping[str, Sequence[Grant]]) -> None:
        self._granted = {who: tuple(grants) for who, grants in granted.items()}

    def grants(self, app_roles: Iterable[str], object_id: str, application_id: str) -> tuple[Grant, ...]:
        """The grants of a caller.

        An app role has the role of its name, in all of the installation, unless an entry says something else of it.
        `application_id` is that of a caller that is an application itself, and empty for a person: who may sign in with some
        client program is not for that program to say.
        """
        grants: list[Grant] = []
        for app_role in app_roles:
            value = app_role.lower()
            if value in self._granted and not _guid.fullmatch(value):
                grants += self._granted[value]
            elif (role := _ROLES.get(value.removeprefix(PREFIX))) is not None:
                grants.append(Grant(role))
        for who in {object_id.lower(), application_id.lower()} - {""}:
            if _guid.fullmatch(who):
                grants += self._granted.get(who, ())
        return tuple(dict.fromkeys(grants))


_ROLES = {role.value.lower(): role for role in Role}


def parse_roles(entries: Iterable[str]) -> RoleMap:
    """The map that the entries of the setting make. Raises SettingsError with a line for each wrong one."""
    granted: dict[str, list[Grant]] = {}
    wrong: list[str] = []
    for entry in entries:
        found = _entry.fullmatch(entry)
        scope = (found["scope"] or "").strip().rstrip("/") if found else ""
        if found is None or not found["who"].strip() or ("@" in entry and not _scope.fullmatch(scope)):
            wrong.append(f"POSTRIDER_ROLES: {entry!r} {_RULE}")
            continue
        grant = Grant(_ROLES[found["role"].lower()], scope.lower())
        granted.setdefault(found["who"].strip().lower(), []).append(grant)
    if wrong:
        raise SettingsError("\n".join(wrong))
    return RoleMap(granted)
