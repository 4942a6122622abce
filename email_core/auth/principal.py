"""Who makes a request, once an authenticator has said yes, and what that caller may do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


class PrincipalKind(StrEnum):
    """How a caller proved who it is."""

    ACCESS_KEY = "access-key"  # HMAC, one of the keys of a communication service
    ADMIN_TOKEN = "admin-token"  # noqa: S105 - of the local world
    APPLICATION = "application"  # Entra, client credentials
    USER = "user"  # Entra, somebody signed in
    SYSTEM = "system"  # a timer or a queue function of ours


class Role(StrEnum):
    """What a caller may do. An admin may do what the other two may."""

    ADMIN = "Admin"
    READER = "Reader"
    SENDER = "Sender"


@dataclass(frozen=True, slots=True)
class Grant:
    """A role, in all of the installation or below `scope`: the beginning of a resource id, lower case, without a last slash."""

    role: Role
    scope: str = ""

    def covers(self, resource_id: str) -> bool:
        """Whether the resource is within the scope."""
        target = resource_id.lower().rstrip("/")
        return not self.scope or target == self.scope or target.startswith(f"{self.scope}/")


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller.

    `service_key` names the communication service that an access key belongs to, `key_name` the credential; `name` is who the
    audit log names: an application id, a user's name, `primary`. What proved it ends at `expires`, in seconds since the epoch.
    """

    kind: PrincipalKind
    service_key: str = ""
    key_name: str = ""
    name: str = ""
    object_id: str = ""
    tenant: str = ""
    grants: tuple[Grant, ...] = ()
    expires: float = math.inf

    def may(self, role: Role, resource_id: str) -> bool:
        """Whether the caller has the role there, by itself or as an admin."""
        return any(grant.role in (role, Role.ADMIN) and grant.covers(resource_id) for grant in self.grants)


SYSTEM = Principal(PrincipalKind.SYSTEM, name="postrider", grants=(Grant(Role.ADMIN),))
