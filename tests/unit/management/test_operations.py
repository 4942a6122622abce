"""The table of operations: what a path and a method ask for, for which resource, and with which right."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest

from email_core.auth.principal import Role
from email_core.errors import RequestRefused
from email_core.management.api_version import API_VERSIONS, EVENT_GRID_VERSIONS, check_api_version
from email_core.management.operations import OPERATIONS, Match, Operation, check_names, kind_of, match, scope_of, target_of
from email_core.management.resource_id import KINDS, ResourceIdError, parse_resource_id

SUBSCRIPTION = "0e1f9a52-3b7c-4d6e-8f90-a1b2c3d4e5f6"
BASE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/group/providers/Microsoft.Communication"
DOMAIN = f"{BASE}/emailServices/mail/domains/contoso.com"
BY_NAME = {operation.name: operation for operation in OPERATIONS}


def matched(method: str, path: str) -> Match:
    found = match(method, path)
    assert isinstance(found, Match)
    return found


def test_table_has_the_41_operations_of_acs() -> None:
    assert len([operation for operation in OPERATIONS if not operation.ours]) == 41


def test_operations_have_a_name_and_a_place_of_their_own() -> None:
    names = Counter(operation.name for operation in OPERATIONS)
    places = Counter((operation.method, re.sub(r"\{\w+\}", "{}", operation.template.lower())) for operation in OPERATIONS)

    assert {name for name, count in (names + Counter()).items() if count > 1} == set()
    assert {place for place, count in places.items() if count > 1} == set()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_operation_is_found_by_its_own_path(operation: Operation) -> None:
    values = {name: f"v{number}" for number, name in enumerate(re.findall(r"\{(\w+)\}", operation.template))}
    path = re.sub(r"\{(\w+)\}", lambda found: values[found[1]], operation.template)

    for spelled in (path, path.upper(), f"{path}/"):
        found = matched(operation.method, spelled)
        assert found.operation is operation
        assert {name: value.lower() for name, value in found.values.items()} == values
    assert operation.method not in (match("TRACE", path) if isinstance(match("TRACE", path), str) else ())


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_operation_that_changes_something_or_tells_a_secret_needs_an_admin(operation: Operation) -> None:
    harmless = {"checkNameAvailability", "listVerifiedExchangeOnlineDomains", "checkHealth"}
    reads = operation.method == "GET" or operation.template.rpartition("/")[2] in harmless

    assert operation.role is (Role.READER if reads else Role.ADMIN)


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/providers/Microsoft.Communication/operations", "Operations_List"),
        ("PUT", DOMAIN, "Domains_CreateOrUpdate"),
        ("PATCH", DOMAIN, "Domains_Update"),
        ("POST", f"{DOMAIN}/initiateVerification", "Domains_InitiateVerification"),
        ("GET", f"{DOMAIN}/senderUsernames", "SenderUsernames_ListByDomains"),
        ("GET", f"{DOMAIN}/senderUsernames/senderUsernames", "SenderUsernames_Get"),
        ("GET", f"{BASE}/communicationServices/communicationServices", "CommunicationServices_Get"),
        ("DELETE", f"{BASE}/communicationServices/chat/smtpUsernames/robot", "SmtpUsernames_Delete"),
    ],
)
def test_path_and_method_ask_for_the_operation(method: str, path: str, name: str) -> None:
    assert matched(method, path).operation.name == name


def test_path_with_another_method_names_those_it_has() -> None:
    assert match("POST", DOMAIN) == {"GET", "PUT", "PATCH", "DELETE"}
    assert match("GET", f"{BASE}/communicationServices/chat/listKeys") == {"POST"}
    assert match("GET", f"{BASE}/unknown/chat") == frozenset()


def test_values_are_decoded_and_slashes_in_them_stay_within_a_name() -> None:
    found = matched("GET", f"{BASE}/emailServices/mail/domains/a%2Fb%C3%A4")

    assert found.values["domainName"] == "a/bä"
    with pytest.raises(RequestRefused):
        check_names(found.values)


@pytest.mark.parametrize(
    ("method", "path", "target", "scope"),
    [
        ("GET", DOMAIN, DOMAIN, DOMAIN),
        ("GET", f"{DOMAIN}/suppressionLists/all/suppressionListAddresses", f"{DOMAIN}/suppressionLists/all", None),
        ("POST", f"{DOMAIN}/initiateVerification", DOMAIN, None),
        ("GET", f"{BASE}/emailServices", None, f"/subscriptions/{SUBSCRIPTION}/resourceGroups/group"),
        ("GET", f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Communication/emailServices", None,
         f"/subscriptions/{SUBSCRIPTION}"),
        ("GET", "/providers/Microsoft.Communication/operations", None, ""),
        ("GET", f"{BASE}/communicationServices/chat/providers/Microsoft.EventGrid/eventSubscriptions/hook",
         f"{BASE}/communicationServices/chat/providers/Microsoft.EventGrid/eventSubscriptions/hook", None),
    ],
)  # fmt: skip
def test_target_and_scope_are_those_of_the_path(method: str, path: str, target: str | None, scope: str | None) -> None:
    values = matched(method, path).values
    found = target_of(values)

    assert (found.text if found else None) == target
    assert scope_of(values) == (target if scope is None else scope)
    if found:
        assert parse_resource_id(found.text) == found
    check_names(values)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Operations_List", "Microsoft.Communication/operations"),
        ("CommunicationServices_ListKeys", "Microsoft.Communication/communicationServices"),
        ("CommunicationServices_CheckNameAvailability", "Microsoft.Communication"),
        ("SenderUsernames_Get", "Microsoft.Communication/emailServices/domains/senderUsernames"),
        ("EventSubscriptions_GetFullUrl", "Microsoft.EventGrid/eventSubscriptions"),
    ],
)
def test_kind_of_an_operation_is_what_it_is_about(name: str, kind: str) -> None:
    assert kind_of(BY_NAME[name]) == kind


# --- api-versions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "version", "served"),
    [
        ("CommunicationServices_Get", "2020-08-20", True),
        ("EmailServices_Get", "2020-08-20", False),
        ("EmailServices_Get", "2023-03-31", True),
        ("EmailServices_Get", "2023-04-01-PREVIEW", True),
        ("SuppressionLists_Get", "2023-04-01", False),
        ("SuppressionLists_Get", "2023-06-01-preview", True),
        ("SmtpUsernames_Get", "2023-06-01-preview", False),
        ("SmtpUsernames_Get", "2024-09-01-preview", True),
        ("SmtpUsernames_Get", "2026-03-18", True),
        ("EventSubscriptions_Get", EVENT_GRID_VERSIONS[-1], True),
        ("EventSubscriptions_Get", "2026-03-18", True),
        ("EmailServices_Get", EVENT_GRID_VERSIONS[-1], False),
        ("EmailServices_Get", "2026-03-19", False),
        ("EmailServices_Get", "", False),
    ],
)
def test_operation_is_served_in_the_versions_that_have_it(name: str, version: str, served: bool) -> None:
    if served:
        assert check_api_version(version, BY_NAME[name]) == version.lower()
        return
    with pytest.raises(RequestRefused) as refused:
        check_api_version(version, BY_NAME[name])
    assert refused.value.status == 400


def test_every_operation_is_in_the_newest_version() -> None:
    assert all(check_api_version(API_VERSIONS[-1], operation) for operation in OPERATIONS)


# --- resource ids -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        DOMAIN.replace(SUBSCRIPTION, "no-guid"),
        DOMAIN.replace("/resourceGroups/", "/groups/"),
        DOMAIN.replace("Microsoft.Communication", "Microsoft.Web"),
        DOMAIN.replace("/emailServices/mail", ""),
        f"{DOMAIN}/senderUsernames",
        f"{DOMAIN}/emailServices/mail",
        f"{BASE}/domains/contoso.com",
        f"{BASE}/emailServices/with.dot",
        f"{BASE}/providers/Microsoft.EventGrid",
        f"{BASE}/emailServices//domains/x",
        f"{BASE}/emailServices/mail/providers/Microsoft.EventGrid/eventSubscriptions/hook",
        f"{BASE}/emailServices/mail/providers/Microsoft.EventGrid/domains/contoso.com",
        f"{BASE}/communicationServices/chat/eventSubscriptions/hook",
        json.dumps(["x"]),
    ],
)
def test_text_that_is_no_resource_id_is_told_why(text: str) -> None:
    with pytest.raises(ResourceIdError) as told:
        parse_resource_id(text)
    assert len(str(told.value)) > 10


def test_ids_are_compared_without_case_and_shown_with_it() -> None:
    one, other = parse_resource_id(DOMAIN), parse_resource_id(DOMAIN.upper())

    assert (one.key, one.partition, one.row) == (other.key, other.partition, other.row)
    assert one.text == DOMAIN and other.name == "CONTOSO.COM"
    assert one.type == "Microsoft.Communication/emailServices/domains"
    assert one.parent is not None and one.parent.text == f"{BASE}/emailServices/mail"


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_no_kind_allows_a_name_that_a_table_or_a_path_takes_for_something_else(kind: object) -> None:
    allows = kind.allows  # type: ignore[attr-defined]
    bad = ["", "a/b", "a\\b", "a#b", "a?b", "a|b", "a\nb", "a\x00b", "a\x7fb", "a\x85b", "n" * 254]

    assert [name for name in bad if allows(name)] == []
    assert allows("abc")
