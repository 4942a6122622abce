"""`./postrider key` in a running local world."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator

import pytest

from tests.kit.administering import SERVICE, Commands

pytestmark = pytest.mark.peers


@pytest.fixture
def service(command: Commands) -> Iterator[str]:
    """A communication service of the test's own, so that keys may be made anew."""
    name = f"s{uuid.uuid4().hex[:12]}"
    client = _client(command)
    reply = client.put(
        f"{client.provider}/communicationServices/{name}", {"location": "global", "properties": {"dataLocation": "Europe"}}
    )
    client.wait(reply)
    yield name
    client.delete(f"{client.provider}/communicationServices/{name}")


def _client(command: Commands):  # type: ignore[no-untyped-def]
    from local.arm_client import chosen_client
    from local.cli import read_command_line

    return chosen_client(read_command_line(["audit"]).options, command.folder)


def test_key_list_shows_what_each_may_and_secrets_when_asked(command: Commands, service: str) -> None:
    told = command.done("key", "list", "--service", service)
    assert [row[:2] for row in told.rows()] == [["primary", "send and read"], ["secondary", "send and read"]]
    assert "accesskey" not in told.out
    told = command.done("key", "list", "--service", service, "--secrets")
    assert told.out.count("accesskey=") == 2
    keys = command.done("key", "list", "--service", service, "--secrets", "--json").json["keys"]
    assert keys["primaryConnectionString"].startswith(f"endpoint={command.world.endpoint}/;accesskey=")


def test_key_regenerate_replaces_one_and_leaves_the_other(command: Commands, service: str) -> None:
    before = command.done("key", "list", "--service", service, "--secrets", "--json").json["keys"]
    told = command.done("key", "regenerate", "secondary", "--service", service, "--yes")
    after = command.done("key", "list", "--service", service, "--secrets", "--json").json["keys"]
    assert after["secondaryConnectionString"] in told.out
    assert after["secondaryKey"] != before["secondaryKey"]
    assert after["primaryKey"] == before["primaryKey"]


def test_key_regenerate_asks_first(command: Commands, service: str) -> None:
    told = command("key", "regenerate", "primary", "--service", service)
    assert told.status == 2
    assert "--yes" in told.err


def test_key_add_shows_the_secret_once_and_the_key_works_until_it_is_removed(command: Commands) -> None:
    name = f"k{uuid.uuid4().hex[:8]}"
    sender = command.world.sender.partition("@")[2]
    words = ("--service", SERVICE, "--domain", sender, "--expires", "90d", "--limit", "messages/hour=3", "--read")
    told = command.done("key", "add", name, *words)
    secret = re.search(r"accesskey=(\S+)", told.out)
    assert secret
    rows = {row[0]: row[1:] for row in command.done("key", "list", "--service", SERVICE).rows()}
    assert rows[name][0:3] == ["send and read", sender, "anywhere"]
    assert rows[name][4] == "3 messages per hour"
    assert secret[1] not in command.done("key", "list", "--service", SERVICE, "--secrets").out
    connect = ("--endpoint", command.world.endpoint, "--access-key", secret[1])
    assert [command("send", *connect).status for _ in range(4)] == [0, 0, 0, 1]
    assert command.done("key", "remove", name, "--yes", "--service", SERVICE).out.startswith(f"{name}: removed")
    assert name not in command.done("key", "list", "--service", SERVICE).out


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("add", "primary"), 1, "InvalidResourceName"),
        (("add", "a key"), 1, "InvalidResourceName"),
        (("add", "fresh", "--source", "192.0.2.1/8"), 1, "properties.sourceRanges[0]"),
        (("add", "fresh", "--expires", "2001-01-01T00:00:00Z"), 1, "properties.expiresOn"),
        (("add", "fresh", "--domain", "not a domain"), 1, "properties.domains[0]"),
        (("remove", "never-made", "--yes"), 1, "./postrider key list"),
        (("list", "--service", "nowhere"), 1, "no communication service nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_told_with_its_exit_status(
    command: Commands, service: str, words: tuple[str, ...], status: int, said: str
) -> None:
    named = () if "--service" in words else ("--service", service)
    told = command("key", *words, *named)
    assert (told.status, told.out) == (status, "")
    assert said in told.err


def test_key_of_a_name_that_is_taken_is_refused(command: Commands, service: str) -> None:
    command.done("key", "add", "web", "--service", service)
    told = command("key", "add", "web", "--service", service)
    assert told.status == 2
    assert "there is a key web already" in told.err


def test_service_has_to_be_named_when_there_are_several(command: Commands, service: str) -> None:
    told = command("key", "list")
    assert told.status == 2
    assert "--service NAME" in told.err
    assert service in told.err
