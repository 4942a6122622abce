"""`./postrider suppression` in a running local world."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

import pytest

from email_core.message.address import parse_address
from email_core.settings import load_settings
from email_core.storage import open_storage
from email_core.suppression.leases import Bounce
from email_core.suppression.managed import ManagedList
from local.environment import read_environment
from tests.kit.administering import Commands

pytestmark = pytest.mark.peers

CSV = "email,firstName,lastName,notes\r\nann@fabrikam.test,Ann,Smith,asked us to stop\r\nbob@fabrikam.test,,,\r\n"


@pytest.fixture
def domain(command: Commands) -> str:
    name = command.published()
    command.done("suppression", "add", name, "blocked", "first@fabrikam.test", "--whole-domain")
    return name


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "addresses.csv"
    path.write_bytes(CSV.encode())
    return path


def test_suppression_add_makes_the_list_and_puts_addresses_on_it_once(command: Commands, domain: str) -> None:
    told = command.done(
        "suppression", "add", domain, "blocked", "ann@fabrikam.test", "FIRST@fabrikam.test", "--notes", "by hand"
    )
    assert told.out == "blocked: 1 new, 1 changed, 0 there already\n"
    rows = command.done("suppression", "list", domain, "blocked").rows()
    assert sorted(row[0].lower() for row in rows) == ["ann@fabrikam.test", "first@fabrikam.test"]
    assert all("by hand" in row for row in rows)
    (listed,) = command.done("suppression", "list", domain).rows()
    assert listed[:2] == ["blocked", "all senders"]


def test_suppression_list_of_a_domain_without_lists_says_so(command: Commands) -> None:
    name = command.published()
    assert f"{name} has no lists" in command.done("suppression", "list", name).out
    assert command.done("suppression", "list", name, "--json").json == []


def test_suppression_import_and_export_hold_the_same(command: Commands, domain: str, file: Path, tmp_path: Path) -> None:
    told = command.done("suppression", "import", domain, "newsletter", str(file), "--sender", "news")
    assert told.out == "newsletter: 2 new, 0 changed, 0 there already\n"
    assert command.done("suppression", "import", domain, "newsletter", str(file)).out.endswith("2 there already\n")
    exported = tmp_path / "exported.csv"
    assert command.done("suppression", "export", domain, "newsletter", str(exported)).out == f"{exported}: 2 addresses\n"
    lines = exported.read_bytes().decode().splitlines()
    assert lines[0] == "email,firstName,lastName,notes"
    assert sorted(lines[1:]) == sorted(CSV.splitlines()[1:])
    rows = {row[0]: row[1] for row in command.done("suppression", "list", domain).rows()}
    assert rows["newsletter"] == "news"


def test_suppression_export_to_the_output_is_the_file_itself(command: Commands, domain: str) -> None:
    run = command.world.run("./postrider", "suppression", "export", domain, "blocked")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.splitlines() == ["email,firstName,lastName,notes", "first@fabrikam.test,,,"]


def test_suppression_import_with_bad_rows_names_their_lines_and_imports_nothing(
    command: Commands, domain: str, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("email\ngood@fabrikam.test\nno address\nalso good@\n", encoding="utf-8")
    told = command("suppression", "import", domain, "blocked", str(bad))
    assert told.status == 1
    assert "line 3: " in told.err and "line 4: " in told.err and "line 2: " not in told.err
    assert len(command.done("suppression", "list", domain, "blocked").rows()) == 1


def test_suppression_remove_takes_addresses_off_or_the_whole_list(command: Commands, domain: str) -> None:
    command.done("suppression", "add", domain, "blocked", "ann@fabrikam.test")
    told = command.done("suppression", "remove", domain, "blocked", "First@fabrikam.test")
    assert told.out == "First@fabrikam.test: removed\n"
    assert [row[0] for row in command.done("suppression", "list", domain, "blocked").rows()] == ["ann@fabrikam.test"]
    assert command("suppression", "remove", domain, "blocked").status == 2
    assert command.done("suppression", "remove", domain, "blocked", "--yes").out == "blocked: removed\n"
    assert "has no lists" in command.done("suppression", "list", domain).out


def test_suppression_add_takes_addresses_and_notes_as_they_are_written(command: Commands, domain: str) -> None:
    """An import takes an apostrophe off that an export put before a formula."""
    command.done("suppression", "add", domain, "blocked", "'+ann@fabrikam.test", "--notes", "'=said so")
    rows = {row[0]: row[-1] for row in command.done("suppression", "list", domain, "blocked").rows()}
    assert rows["'+ann@fabrikam.test"] == "'=said so"
    assert "+ann@fabrikam.test" not in rows


def test_suppression_remove_compares_addresses_as_sending_does(command: Commands, domain: str) -> None:
    command.done("suppression", "add", domain, "blocked", "Ann@m\u00fcnchen.example")
    command.done("suppression", "remove", domain, "blocked", "ann@xn--mnchen-3ya.example")
    assert len(command.done("suppression", "list", domain, "blocked").rows()) == 1


async def note_a_bounce(command: Commands, address: str) -> None:
    """What a run does that learned that there is no such mailbox."""
    settings = load_settings(read_environment(command.world.outbox.parent / "app-settings"))
    storage = open_storage(settings.storage)
    bounce = Bounce(
        message=f"key:{uuid.uuid4()}", attempt=1, at=time.time(), bounce_class="invalid_recipient", rule="no-such-user",
        reply="550 5.1.1 No such user", subscription=command.world.env["AZURE_SUBSCRIPTION_ID"],
    )  # fmt: skip
    await ManagedList(storage.tables).bounced(parse_address(address), bounce)
    await storage.close()


async def test_suppression_managed_shows_who_is_held_back_and_lets_mail_go_again(command: Commands) -> None:
    address = f"nobody-{uuid.uuid4().hex[:8]}@fabrikam.test"
    await note_a_bounce(command, address)
    rows = {row[0]: row[1:] for row in command.done("suppression", "managed").rows()}
    assert rows[address][1:] == ["1", "550 5.1.1 No such user"]
    (entry,) = command.done("suppression", "managed", "--address", address, "--json").json
    assert entry["properties"]["reason"] == "invalid_recipient"
    assert command("send", "--to", address).status == 1
    assert command.done("suppression", "managed", "--remove", address).out == f"{address}: mail may go there again\n"
    assert command.done("suppression", "managed", "--address", address).out == "Nothing is suppressed.\n"
    assert command("suppression", "managed", "--remove", address).status == 1
    assert command("send", "--to", address).status == 0


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("add", "DOMAIN", "unheard", "ann@fabrikam.test"), 1, "--sender USERNAME or --whole-domain"),
        (("add", "DOMAIN", "blocked", "no address"), 1, "InvalidCsv 'no address': email has a space"),
        (("add", "DOMAIN", "blocked", "ann@fabrikam.test\n", "nobody"), 2, "a line break"),
        (("add", "DOMAIN", "blocked", ""), 2, "is empty"),
        (("add", "DOMAIN", "a b", "ann@fabrikam.test", "--whole-domain"), 1, "InvalidResourceName"),
        (("add", "DOMAIN", "more", "ann@fabrikam.test", "--whole-domain"), 1, "SuppressionListExists"),
        (("add", "DOMAIN", "more", "ann@fabrikam.test", "--whole-domain", "--sender", "news"), 2, "--sender or"),
        (("remove", "DOMAIN", "blocked", "nobody@fabrikam.test"), 1, "nothing was removed"),
        (("list", "DOMAIN", "unheard"), 1, "no list unheard"),
        (("list", "never-added.test"), 1, "./postrider domain list"),
        (("import", "DOMAIN", "blocked", "/nonexistent.csv"), 2, "/nonexistent.csv cannot be read"),
        (("export", "DOMAIN", "blocked", "/nonexistent/out.csv"), 2, "cannot be written"),
        (("export", "DOMAIN", "unheard"), 1, "ResourceNotFound"),
        (("managed", "--address", "no address"), 1, "address"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_told_with_its_exit_status(
    command: Commands, domain: str, words: tuple[str, ...], status: int, said: str
) -> None:
    told = command("suppression", *(domain if word == "DOMAIN" else word for word in words))
    assert (told.status, told.out) == (status, "")
    assert said in told.err
    assert "Traceback" not in told.err
