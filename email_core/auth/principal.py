"""Who makes a request, once an authenticator has said yes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PrincipalKind(StrEnum):
    """How a caller proved who it is."""

    ACCESS_KEY = "access-key"


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller. `service_key` names the communication service that it acts for, `key_name` the credential."""

    kind: PrincipalKind
    service_key: str
    key_name: str = ""
