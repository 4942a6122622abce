"""The setting POSTRIDER_ROLES: what its entries give, and what is told of a wrong one."""

from __future__ import annotations

import pytest

from email_core.auth.principal import Grant, Role
from email_core.auth.roles import parse_roles
from email_core.settings import SettingsError

ANN = "7e6d4f0e-3f52-4fd7-a3f7-5a3c2f6f1b22"
APP = "0f8fad5b-d9cb-469f-a165-70867728950e"
SUBSCRIPTION = "/subscriptions/3f2504e0-4f89-41d3-9a0c-0305e82c3301"
SERVICE = f"{SUBSCRIPTION}/resourceGroups/Mail/providers/Microsoft.Communication/communicationServices/News"


@pytest.mark.parametrize("name", ["Admin", "Reader", "Sender", "Postrider.Admin", "postrider.reader", "SENDER"])
def test_app_role_by_the_name_of_a_role_has_it_everywhere(name: str) -> None:
    role = next(role for role in Role if role.value.lower() == name.lower().removeprefix("postrider."))
    assert parse_roles(()).grants([name], "", "") == (Grant(role),)


@pytest.mark.parametrize("name", ["", "Owner", "Admins", "Postrider.", "Other.Admin", ANN])
def test_app_role_of_another_name_gives_nothing(name: str) -> None:
    assert parse_roles((f"{ANN}=Admin",)).grants([name], "", "") == ()


def test_app_role_that_is_mapped_has_the_role_of_the_mapping_alone() -> None:
    roles = parse_roles((f"sender=Sender@{SERVICE}", "Mail.Ops=Admin"))
    assert roles.grants(["Sender"], "", "") == (Grant(Role.SENDER, SERVICE.lower()),)
    assert roles.grants(["Postrider.Sender"], "", "") == (Grant(Role.SENDER),)
    assert roles.grants(["mail.ops"], "", "") == (Grant(Role.ADMIN),)


def test_entries_for_one_name_add_up() -> None:
    roles = parse_roles((f"{ANN}=Reader", f"{ANN.upper()}=Sender@{SUBSCRIPTION}/"))
    assert roles.grants([], ANN, APP) == (Grant(Role.READER), Grant(Role.SENDER, SUBSCRIPTION))


def test_entry_for_an_application_gives_nothing_to_who_is_none() -> None:
    roles = parse_roles((f"{APP}=Admin",))
    assert roles.grants([], ANN, APP) == (Grant(Role.ADMIN),)
    assert roles.grants([], ANN, "") == ()


@pytest.mark.parametrize("scope", [SUBSCRIPTION, f"{SUBSCRIPTION}/resourceGroups/Mail", SERVICE, f"{SERVICE}/accessKeys/ci"])
def test_entry_with_a_scope_covers_what_is_below_it_alone(scope: str) -> None:
    [grant] = parse_roles((f"{ANN}=Admin@{scope}",)).grants([], ANN, "")
    assert grant.covers(scope.upper()) and grant.covers(f"{scope}/more/of")
    assert not grant.covers(f"{scope}x") and not grant.covers(scope.rpartition("/")[0])


@pytest.mark.parametrize(
    "entry",
    [
        "ann", "=Admin", " =Admin", "ann=", "ann=Owner", "ann=Admin@", "ann=Admin@subscriptions/x", "ann=Admin@/subscriptions",
        f"ann=Admin@{SUBSCRIPTION}/resourceGroups", f"ann=Admin@{SUBSCRIPTION}/resourceGroups/a/providers/Microsoft.Web",
        f"ann=Admin@{SERVICE}/accessKeys", "ann:Admin",
    ],
)  # fmt: skip
def test_entry_that_is_wrong_is_told_with_the_rule(entry: str) -> None:
    with pytest.raises(SettingsError) as error:
        parse_roles((f"{ANN}=Reader", entry))
    assert repr(entry) in str(error.value)
    assert "POSTRIDER_ROLES" in str(error.value) and "WHO=ROLE" in str(error.value)
    assert len(str(error.value).splitlines()) == 1
