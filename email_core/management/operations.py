"""The operations of the management plane: the one table that routes, roles, api-versions and the list of operations come from.

The Functions host routes by the order of function names and answers 404 to another method (it knows no precedence), so one
function takes all of `/subscriptions/...` and `/providers/...`, and this table decides. The first 41 are those of
Microsoft.Communication; the others are ours, at places where ACS has nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from email_core.auth.principal import Role
from email_core.management import refusals
from email_core.management.resource_id import (
    ACCESS_KEYS,
    COMMUNICATION_SERVICES,
    DOMAINS,
    EMAIL_SERVICES,
    EVENT_SUBSCRIPTIONS,
    SENDER_USERNAMES,
    SMTP_USERNAMES,
    SUPPRESSION_LIST_ADDRESSES,
    SUPPRESSION_LISTS,
    ResourceId,
    ResourceIdError,
    check_group,
    check_subscription,
)

MOST_PATH = 1024  # bytes of a RowKey in UTF-16

_KIND_OF = {
    "communicationServiceName": COMMUNICATION_SERVICES,
    "emailServiceName": EMAIL_SERVICES,
    "domainName": DOMAINS,
    "senderUsername": SENDER_USERNAMES,
    "suppressionListName": SUPPRESSION_LISTS,
    "addressId": SUPPRESSION_LIST_ADDRESSES,
    "smtpUsername": SMTP_USERNAMES,
    "accessKeyName": ACCESS_KEYS,
    "eventSubscriptionName": EVENT_SUBSCRIPTIONS,
}

_S = "/subscriptions/{subscriptionId}"
_P = "/providers/Microsoft.Communication"
_B = f"{_S}/resourceGroups/{{resourceGroupName}}{_P}"
_CS = f"{_B}/communicationServices/{{communicationServiceName}}"
_ES = f"{_B}/emailServices/{{emailServiceName}}"
_D = f"{_ES}/domains/{{domainName}}"
_L = f"{_D}/suppressionLists/{{suppressionListName}}"
_A = f"{_S}{_P}/locations/{{location}}"
_EG = f"{_CS}/providers/Microsoft.EventGrid/eventSubscriptions"

_FIRST = "2020-08-20"
_EMAIL = "2023-03-31"
_SUPPRESSION = "2023-06-01-preview"
_SMTP = "2024-09-01-preview"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `role` is what its caller needs at the addressed scope; `since` is the first api-version that has it.

    `ours`: not an operation of ACS. `anywhere`: the role at any scope will do, and the operation itself looks at what it shows.
    `csv`: its body is CSV and no JSON.
    """

    name: str
    method: str
    template: str
    role: Role
    since: str = _EMAIL
    ours: bool = False
    anywhere: bool = False
    csv: bool = False


def _crud(name: str, path: str, parameter: str, since: str, *, patch: bool = False, ours: bool = False) -> list[Operation]:
    whole = f"{path}/{{{parameter}}}"
    operations = [
        Operation(f"{name}_Get", "GET", whole, Role.READER, since, ours),
        Operation(f"{name}_CreateOrUpdate", "PUT", whole, Role.ADMIN, since, ours),
        Operation(f"{name}_Delete", "DELETE", whole, Role.ADMIN, since, ours),
    ]
    if patch:
        operations.insert(2, Operation(f"{name}_Update", "PATCH", whole, Role.ADMIN, since, ours))
    return operations


OPERATIONS: tuple[Operation, ...] = (
    Operation("Operations_List", "GET", f"{_P}/operations", Role.READER, _FIRST, anywhere=True),
    Operation("CommunicationServices_CheckNameAvailability", "POST", f"{_S}{_P}/checkNameAvailability", Role.READER, _FIRST),
    Operation(
        "EmailServices_ListVerifiedExchangeOnlineDomains", "POST", f"{_S}{_P}/listVerifiedExchangeOnlineDomains", Role.READER
    ),
    Operation("CommunicationServices_ListBySubscription", "GET", f"{_S}{_P}/communicationServices", Role.READER, _FIRST),
    Operation("EmailServices_ListBySubscription", "GET", f"{_S}{_P}/emailServices", Role.READER),
    Operation("CommunicationServices_ListByResourceGroup", "GET", f"{_B}/communicationServices", Role.READER, _FIRST),
    *_crud("CommunicationServices", f"{_B}/communicationServices", "communicationServiceName", _FIRST, patch=True),
    Operation("CommunicationServices_ListKeys", "POST", f"{_CS}/listKeys", Role.ADMIN, _FIRST),
    Operation("CommunicationServices_RegenerateKey", "POST", f"{_CS}/regenerateKey", Role.ADMIN, _FIRST),
    Operation("CommunicationServices_LinkNotificationHub", "POST", f"{_CS}/linkNotificationHub", Role.ADMIN, _FIRST),
    Operation("SmtpUsernames_List", "GET", f"{_CS}/smtpUsernames", Role.READER, _SMTP),
    *_crud("SmtpUsernames", f"{_CS}/smtpUsernames", "smtpUsername", _SMTP),
    Operation("EmailServices_ListByResourceGroup", "GET", f"{_B}/emailServices", Role.READER),
    *_crud("EmailServices", f"{_B}/emailServices", "emailServiceName", _EMAIL, patch=True),
    Operation("Domains_ListByEmailServiceResource", "GET", f"{_ES}/domains", Role.READER),
    *_crud("Domains", f"{_ES}/domains", "domainName", _EMAIL, patch=True),
    Operation("Domains_InitiateVerification", "POST", f"{_D}/initiateVerification", Role.ADMIN),
    Operation("Domains_CancelVerification", "POST", f"{_D}/cancelVerification", Role.ADMIN),
    Operation("SenderUsernames_ListByDomains", "GET", f"{_D}/senderUsernames", Role.READER),
    *_crud("SenderUsernames", f"{_D}/senderUsernames", "senderUsername", _EMAIL),
    Operation("SuppressionLists_ListByDomain", "GET", f"{_D}/suppressionLists", Role.READER, _SUPPRESSION),
    *_crud("SuppressionLists", f"{_D}/suppressionLists", "suppressionListName", _SUPPRESSION),
    Operation("SuppressionListAddresses_List", "GET", f"{_L}/suppressionListAddresses", Role.READER, _SUPPRESSION),
    *_crud("SuppressionListAddresses", f"{_L}/suppressionListAddresses", "addressId", _SUPPRESSION),
    # An extension resource of another provider, which has api-versions of its own.
    Operation("EventSubscriptions_List", "GET", _EG, Role.READER, "", ours=True),
    *_crud("EventSubscriptions", _EG, "eventSubscriptionName", "", patch=True, ours=True),
    Operation("EventSubscriptions_GetFullUrl", "POST", f"{_EG}/{{eventSubscriptionName}}/getFullUrl", Role.ADMIN, "", True),
    # Whoever began it in one resource group asks here, at the subscription.
    Operation("OperationStatuses_Get", "GET", f"{_A}/operationStatuses/{{operationId}}", Role.READER, _FIRST, True, True),
    Operation("OperationResults_Get", "GET", f"{_A}/operationResults/{{operationId}}", Role.READER, _FIRST, True, True),
    Operation("AuditEvents_List", "GET", f"{_S}{_P}/auditEvents", Role.READER, ours=True),
    Operation("AccessKeys_List", "GET", f"{_CS}/accessKeys", Role.READER, ours=True),
    *_crud("AccessKeys", f"{_CS}/accessKeys", "accessKeyName", _EMAIL, ours=True),
    Operation("SmtpUsernames_RegeneratePassword", "POST", f"{_CS}/smtpUsernames/{{smtpUsername}}/regeneratePassword",
              Role.ADMIN, _SMTP, ours=True),
    Operation("Domains_Records", "GET", f"{_D}/records", Role.READER, ours=True),
    Operation("Domains_PublishRecords", "POST", f"{_D}/publishRecords", Role.ADMIN, ours=True),
    Operation("Domains_Health", "GET", f"{_D}/health", Role.READER, ours=True),
    Operation("Domains_CheckHealth", "POST", f"{_D}/checkHealth", Role.READER, ours=True),
    Operation("Domains_RotateKeys", "POST", f"{_D}/rotateKeys", Role.ADMIN, ours=True),
    Operation("SuppressionLists_Export", "GET", f"{_L}/export", Role.READER, ours=True),
    Operation("SuppressionLists_Import", "POST", f"{_L}/import", Role.ADMIN, ours=True, csv=True),
    Operation("ManagedSuppressions_List", "GET", f"{_S}{_P}/managedSuppressions", Role.READER, ours=True),
    Operation("ManagedSuppressions_Delete", "DELETE", f"{_S}{_P}/managedSuppressions/{{suppressionId}}", Role.ADMIN, ours=True),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Match:
    """An operation and the values of its template, percent-decoded."""

    operation: Operation
    values: Mapping[str, str]


def match(method: str, path: str) -> Match | frozenset[str]:
    """The operation that a path (as on the wire, without query) and a method ask for; else the methods that the path has.

    None of them means that there is no such path. Literal segments are compared without case, as ARM does.
    """
    allowed: set[str] = set()
    for operation, pattern in _PATTERNS:
        found = pattern.fullmatch(path)
        if found is None:
            continue
        if operation.method == method.upper():
            return Match(operation, {name: unquote(value) for name, value in found.groupdict().items()})
        allowed.add(operation.method)
    return frozenset(allowed)


def kind_of(operation: Operation) -> str:
    """The type of the resources that an operation is about, such as `Microsoft.Communication/emailServices/domains`; the
    provider alone for an action on none."""
    provider, _, path = operation.template.rpartition("/providers/")[2].partition("/")
    segments = path.split("/")
    if operation.method == "POST":
        segments = segments[:-1]  # the action
    return "/".join([provider, *(segment for segment in segments if not segment.startswith("{"))])


def target_of(values: Mapping[str, str]) -> ResourceId | None:
    """The resource that the values of a template address, its names not looked at yet; None above all resources."""
    path = tuple((_KIND_OF[name], value) for name, value in values.items() if name in _KIND_OF)
    if not path:
        return None
    return ResourceId(values["subscriptionId"], values["resourceGroupName"], path)


def scope_of(values: Mapping[str, str]) -> str:
    """What a caller needs a role for: the target, or the group, or the subscription; empty for what is of no subscription."""
    target = target_of(values)
    if target is not None:
        return target.text
    parts = (("subscriptions", "subscriptionId"), ("resourceGroups", "resourceGroupName"))
    return "".join(f"/{segment}/{values[name]}" for segment, name in parts if name in values)


def check_names(values: Mapping[str, str]) -> None:
    """Raises RequestRefused (400) when the subscription, the group or a name is none that there can be."""
    target = target_of(values)
    try:
        if "subscriptionId" in values:
            check_subscription(values["subscriptionId"])
        if "resourceGroupName" in values:
            check_group(values["resourceGroupName"])
    except ResourceIdError as error:
        raise refusals.invalid_scope(str(error)) from None
    if target is None:
        return
    for kind, name in target.path:
        if not kind.allows(name):
            raise refusals.invalid_name(f"{kind.provider}/{kind.name}", name, kind.rule)
    if len(target.row.encode("utf-16-le")) > MOST_PATH:
        rule = f"shorter: kinds and names of an id have {MOST_PATH // 2} characters together"
        raise refusals.invalid_name(target.type, target.name, rule)


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", template)
    text = "".join(f"(?P<{part}>[^/]+)" if index % 2 else re.escape(part) for index, part in enumerate(parts))
    return re.compile(text + "/?", re.IGNORECASE | re.ASCII)


_PATTERNS = [(operation, _pattern(operation.template)) for operation in OPERATIONS]
