"""Resource ids as Azure Resource Manager writes them, and the kinds of resources that there are.

`/subscriptions/{guid}/resourceGroups/{group}/providers/Microsoft.Communication/{kind}/{name}[/{kind}/{name}...]`. Names are
compared without case; an id keeps the case in which its resource was created. Event subscriptions are an extension resource:
in an id, `providers/Microsoft.EventGrid` stands before their kind.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

PROVIDER = "Microsoft.Communication"
EVENT_GRID = "Microsoft.EventGrid"

_subscription = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
# Azure: "alphanumerics, underscores, parentheses, hyphens, periods"; no period at the end.
_group = re.compile(r"[-\w().]{0,89}[-\w()]")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of resource. `tracked`: it has a location and tags. `rule` says in words what a name must be."""

    name: str
    parent: str = ""
    tracked: bool = False
    pattern: str = r"[a-zA-Z0-9-]{1,253}"
    rule: str = "1 to 253 letters, digits and hyphens"
    provider: str = PROVIDER

    @property
    def segments(self) -> str:
        """What stands before the name in an id, as it is written."""
        return self.name if self.provider == PROVIDER else f"providers/{self.provider}/{self.name}"

    def allows(self, name: str) -> bool:
        """Whether a resource may have this name."""
        return re.fullmatch(self.pattern, name, re.ASCII) is not None


COMMUNICATION_SERVICES = Kind(
    "communicationServices", tracked=True, pattern=r"[-\w]{1,63}", rule="1 to 63 letters, digits, hyphens and underscores"
)
EMAIL_SERVICES = Kind(
    "emailServices", tracked=True, pattern=r"[-\w]{1,63}", rule="1 to 63 letters, digits, hyphens and underscores"
)
DOMAINS = Kind(
    "domains", "emailServices", tracked=True, pattern=r"[^/\\#?\x00-\x1f\x7f-\x9f|]{1,253}",
    rule="a domain name of 1 to 253 characters, or AzureManagedDomain",
)  # fmt: skip
SENDER_USERNAMES = Kind(
    "senderUsernames", "domains", pattern=r"[^/\\#?\x00-\x20\x7f-\x9f|@]{1,64}",
    rule="the local part of an address, 1 to 64 characters (RFC 5321 section 4.5.3.1.1)",
)  # fmt: skip
SUPPRESSION_LISTS = Kind("suppressionLists", "domains")
SUPPRESSION_LIST_ADDRESSES = Kind("suppressionListAddresses", "suppressionLists")
SMTP_USERNAMES = Kind("smtpUsernames", "communicationServices")
ACCESS_KEYS = Kind(
    "accessKeys", "communicationServices", pattern=r"[a-zA-Z0-9-]{1,63}", rule="1 to 63 letters, digits and hyphens"
)
EVENT_SUBSCRIPTIONS = Kind(
    "eventSubscriptions", "communicationServices", pattern=r"[-a-zA-Z0-9]{3,64}",
    rule="3 to 64 letters, digits and hyphens", provider=EVENT_GRID,
)  # fmt: skip

KINDS = {
    kind.name.lower(): kind
    for kind in (
        COMMUNICATION_SERVICES, EMAIL_SERVICES, DOMAINS, SENDER_USERNAMES, SUPPRESSION_LISTS, SUPPRESSION_LIST_ADDRESSES,
        SMTP_USERNAMES, ACCESS_KEYS, EVENT_SUBSCRIPTIONS,
    )
}  # fmt: skip


class ResourceIdError(ValueError):
    """Not the id of a resource that there can be here; the text says what is wrong with it."""


@dataclass(frozen=True)
class ResourceId:
    """One resource. `path` is of kinds and names, from the top-level resource down to this one."""

    subscription: str
    group: str
    path: tuple[tuple[Kind, str], ...]

    @property
    def kind(self) -> Kind:
        """The kind of the resource itself."""
        return self.path[-1][0]

    @property
    def name(self) -> str:
        """The last part of the id, in its own case."""
        return self.path[-1][1]

    @property
    def parent(self) -> ResourceId | None:
        """The resource that this one is part of; None for a top-level resource."""
        return ResourceId(self.subscription, self.group, self.path[:-1]) if len(self.path) > 1 else None

    @property
    def type(self) -> str:
        """Such as `Microsoft.Communication/emailServices/domains`."""
        if self.kind.provider != PROVIDER:
            return f"{self.kind.provider}/{self.kind.name}"
        return "/".join([PROVIDER, *(kind.name for kind, _ in self.path)])

    @cached_property
    def text(self) -> str:
        """The id as it is shown."""
        below = "/".join(f"{kind.segments}/{name}" for kind, name in self.path)
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}/providers/{PROVIDER}/{below}"

    @property
    def key(self) -> str:
        """The id for comparing, and the context under which secrets of the resource are sealed."""
        return self.text.lower()

    @property
    def partition(self) -> str:
        """PartitionKey in the table `resources`."""
        return f"subscriptions|{self.subscription}|resourcegroups|{self.group}".lower()

    @property
    def row(self) -> str:
        """RowKey in the table `resources`; those of its children begin with it and `|`."""
        return "|".join(f"{kind.name}|{name}" for kind, name in self.path).lower()

    def child(self, kind: Kind, name: str) -> ResourceId:
        """A resource of that kind below this one."""
        return ResourceId(self.subscription, self.group, (*self.path, (kind, name)))

    def __str__(self) -> str:
        return self.text


def check_subscription(text: str) -> str:
    """A subscription id. Raises ResourceIdError when it is no GUID."""
    if not _subscription.fullmatch(text):
        raise ResourceIdError("a subscription id is a GUID")
    return text


def check_group(text: str) -> str:
    """The name of a resource group. Raises ResourceIdError."""
    if not _group.fullmatch(text):
        raise ResourceIdError("a resource group has 1 to 90 letters, digits, hyphens, underscores, periods and parentheses")
    return text


def parse_resource_id(text: str) -> ResourceId:
    """The id of a resource of one of the KINDS, whole and with names that its kinds allow. Raises ResourceIdError."""
    segments = text.strip("/").split("/")
    head = [segment.lower() for segment in segments]
    if len(segments) < 8 or head[0] != "subscriptions" or head[2] != "resourcegroups":
        raise ResourceIdError(f"an id begins with /subscriptions/ID/resourceGroups/NAME/providers/{PROVIDER}/")
    if head[4:6] != ["providers", PROVIDER.lower()]:
        raise ResourceIdError(f"the provider of an id here is {PROVIDER}")
    path: list[tuple[Kind, str]] = []
    rest = segments[6:]
    while rest:
        extension = [segment.lower() for segment in rest[:2]] == ["providers", EVENT_GRID.lower()]
        provider, rest = (EVENT_GRID, rest[2:]) if extension else (PROVIDER, rest)
        if len(rest) < 2:
            break
        kind_name, name, *rest = rest
        kind = KINDS.get(kind_name.lower())
        if kind is None or kind.provider != provider or kind.parent != (path[-1][0].name if path else ""):
            raise ResourceIdError(f"there is no kind of resource {kind_name[:64]!r} at this place")
        if not kind.allows(name):
            raise ResourceIdError(f"the name of one of {kind.name} is {kind.rule}; it is {name[:64]!r}")
        path.append((kind, name))
    else:
        return ResourceId(check_subscription(segments[1]), check_group(segments[3]), tuple(path))
    raise ResourceIdError("an id ends with the name of a resource, after its kind")
