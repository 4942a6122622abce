"""`./postrider audit` in a running local world."""

from __future__ import annotations

import pytest

from tests.kit.administering import Commands, new_domain

pytestmark = pytest.mark.peers


def test_audit_tells_who_changed_what_the_latest_first(command: Commands) -> None:
    name = new_domain()
    path = command.done("domain", "add", name, "--json").json["id"]
    command.done("domain", "add", name, "--dmarc", "reject")
    command.done("domain", "remove", name, "--yes")
    told = command.done("audit", "--resource", path)
    operations = [(row[1], row[2]) for row in told.rows()]
    assert ("admin token", "Domains_Update") in operations
    assert operations.index(("admin token", "Domains_Delete")) < operations.index(("admin token", "Domains_CreateOrUpdate"))
    assert "none -> reject" in told.out
    entries = command.done("audit", "--resource", path, "--json").json
    assert all(entry["properties"]["resourceId"].startswith(path) for entry in entries)


def test_audit_shows_as_many_as_asked_for(command: Commands) -> None:
    for _ in range(3):
        command.done("domain", "add", new_domain())
    assert len(command.done("audit", "--top", "2").rows()) == 2
    assert len(command.done("audit", "--top", "0", "--json").json) > 2


def test_audit_verify_says_that_the_log_holds(command: Commands) -> None:
    command.done("domain", "add", new_domain())
    told = command.done("audit", "--verify")
    assert told.out.startswith("The log holds: ")
    head = command.done("audit", "--top", "1", "--json").json[0]["properties"]["hash"]
    assert head in told.out
    assert command.done("audit", "--verify", "--json").json["verified"] is True


def test_audit_of_a_resource_without_entries_says_so(command: Commands) -> None:
    told = command.done("audit", "--resource", "/subscriptions/none")
    assert told.out == "There are no entries.\n"
