"""`./postrider doctor` as a process, on real storage, a real DNS, a clock that is set off, and a whole local world."""

from __future__ import annotations

import asyncio
import base64
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from email_core.domains.directory import RESOURCES, resource_keys
from email_core.settings import load_settings
from email_core.storage import Storage, open_storage
from local.doctor import spool
from local.doctor.check import State
from local.environment import read_environment
from local.folder import Folder
from local.provision import provision
from tests.kit.azurite import Azurite
from tests.kit.doctor import Examination, examined, subject_of
from tests.kit.free_ports import free_port
from tests.kit.knot import Knot, missing_reason
from tests.kit.peers import require
from tests.kit.smtp_receiver import SmtpReceiver
from tests.kit.time_server import TimeServer
from tests.kit.world import World

pytestmark = pytest.mark.peers

ROOT = Path(__file__).parents[2]
SEALING_KEY = base64.b64encode(b"the sealing key of these tests..").decode()
OTHER_KEY = base64.b64encode(b"another sealing key, of 32 bytes").decode()
GROUPS = [
    "This machine", "Installation", "Ports", "Storage", "Clock", "DNS", "Routes", "Queues and messages", "Functions host",
    "SMTP server",
]  # fmt: skip


@pytest.fixture(scope="module")
def provisioned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The connection string of an installation that is provisioned, and that no test changes."""
    server = start_azurite(tmp_path_factory.mktemp("azurite"))
    try:
        asyncio.run(provision({"AzureWebJobsStorage": server.connection_string, "POSTRIDER_SEALING_KEY": SEALING_KEY}))
        yield server.connection_string
    finally:
        server.stop()


@pytest.fixture
def settings(provisioned: str) -> dict[str, str]:
    """The app settings of that installation, with no way out but a sink that is not there."""
    return settings_for(provisioned)


@pytest.fixture
def own_azurite(tmp_path: Path) -> Iterator[Azurite]:
    """An empty Azurite of the test's own, which it may fill and stop."""
    server = start_azurite(tmp_path)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
async def own_settings(own_azurite: Azurite) -> dict[str, str]:
    """The app settings of an installation that is provisioned there."""
    settings = settings_for(own_azurite.connection_string)
    await provision(settings)
    return settings


def start_azurite(folder: Path) -> Azurite:
    require(shutil.which("node") and (ROOT / "node_modules" / "azurite").exists(), "Azurite is not installed: npm ci")
    return Azurite(folder, in_memory=True)


def settings_for(connection_string: str) -> dict[str, str]:
    return {
        "AzureWebJobsStorage": connection_string,
        "POSTRIDER_SEALING_KEY": SEALING_KEY,
        "POSTRIDER_ROUTES": f"capture://127.0.0.1:{free_port()}",
    }


async def offline(root: Path, settings: Mapping[str, str], *arguments: str) -> Examination:
    return await examined(root, settings, "--json", "--offline", *arguments)


async def test_doctor_finds_nothing_wrong_with_a_running_world(world: World) -> None:
    found = read_environment(world.outbox.parent / "app-settings")
    endpoints = {name: value for name, value in world.env.items() if name.startswith(("POSTRIDER_ENDPOINT", "SMTP_", "SSL_"))}
    examination = await offline(ROOT, {**found, **endpoints})
    assert examination.names("wrong") == []
    assert examination.status == 0
    assert "all open with this key" in examination.of("secrets in storage")["found"]
    for name, port in {"submission, STARTTLS": "SMTP_PORT", "submission, TLS": "SMTP_TLS_PORT"}.items():
        assert f"localhost:{world.env[port]} answers, certificate for localhost" in examination.of(name)["found"]
    assert [examination.of(name)["state"] for name in ("reports", "ready")] == ["ok", "ok"]
    assert "settings, submissions, deliveries, tables, content: ok" in examination.of("health")["found"]
    assert examination.of(found["POSTRIDER_ROUTES"])["state"] == "ok"
    assert [name for name in ("tables", "queues", "blobs") if examination.of(name)["state"] != "ok"] == []


async def test_doctor_on_a_stopped_azurite_says_so_with_the_remedy(
    own_azurite: Azurite, own_settings: dict[str, str], tmp_path: Path
) -> None:
    own_azurite.stop()
    examination = await offline(tmp_path, own_settings)
    assert examination.status == 1
    for name in ("tables", "queues", "blobs"):
        line = examination.of(name)
        assert line["state"] == "wrong"
        assert line["found"].startswith(f"no answer from http://127.0.0.1:{own_azurite.ports[name.removesuffix('s')]}")
        assert "start ./postrider up" in line["remedy"]
    left_out = [examination.of(name) for name in ("secrets in storage", "submissions", "poison", "never taken up", "overdue")]
    assert {line["state"] for line in left_out} == {"left out"}
    assert "start ./postrider up" in (await examined(tmp_path, own_settings, "--offline")).output


async def test_doctor_with_another_storage_key_tells_it_from_silence(settings: dict[str, str], tmp_path: Path) -> None:
    key = settings["AzureWebJobsStorage"].partition("AccountKey=")[2].partition(";")[0]
    settings["AzureWebJobsStorage"] = settings["AzureWebJobsStorage"].replace(key, SEALING_KEY)
    examination = await offline(tmp_path, settings)
    assert examination.status == 1
    line = examination.of("tables")
    assert (line["state"], " refuses with 403 " in line["found"]) == ("wrong", True)
    assert "copy it anew" in line["remedy"]
    assert examination.of("against storage")["state"] == "ok"  # which needs no signature
    assert SEALING_KEY not in examination.output


async def test_doctor_on_storage_that_was_never_provisioned_names_what_is_missing(own_azurite: Azurite, tmp_path: Path) -> None:
    examination = await offline(
        tmp_path, {"AzureWebJobsStorage": own_azurite.connection_string, "POSTRIDER_SEALING_KEY": SEALING_KEY}
    )
    assert examination.status == 1
    assert examination.of("tables")["found"].startswith("missing: messages, activity, resources")
    assert examination.of("queues")["found"] == "missing: submissions, deliveries, administration, notices"
    assert examination.of("blobs")["found"] == "missing: content"


@pytest.mark.parametrize("off", [600, -600])
async def test_doctor_on_a_clock_that_is_ten_minutes_off_says_by_how_much(
    settings: dict[str, str], tmp_path: Path, off: int
) -> None:
    require(shutil.which("faketime"), "faketime is not installed: apt-get install faketime")
    with TimeServer() as server:
        examination = await examined(
            tmp_path, settings, "--json", "--time-server", server.address, "--probe-domain", "localhost.invalid",
            under=["faketime", "--exclude-monotonic", "-f", f"{off:+d}s"],
        )  # fmt: skip
        right = await examined(
            tmp_path, settings, "--json", "--time-server", server.address, "--probe-domain", "localhost.invalid"
        )
    assert examination.status == 1
    for name in ("against storage", "against a time server"):
        line = examination.of(name)
        assert (line["state"], line["found"].partition(" of ")[0].partition(" http")[0].partition(" 127")[0]) == (
            "wrong", "10 min ahead" if off > 0 else "10 min behind",
        )  # fmt: skip
        assert "timedatectl" in line["remedy"] or "wsl" in line["remedy"]
        assert right.of(name)["state"] == "ok"


async def test_doctor_on_a_clock_that_storage_refuses_still_says_by_how_much(settings: dict[str, str], tmp_path: Path) -> None:
    """Azurite does not look at the date of a signature, as Azure does; a key that is not right is refused in the same words."""
    require(shutil.which("faketime"), "faketime is not installed: apt-get install faketime")
    key = settings["AzureWebJobsStorage"].partition("AccountKey=")[2].partition(";")[0]
    settings["AzureWebJobsStorage"] = settings["AzureWebJobsStorage"].replace(key, SEALING_KEY)
    examination = await examined(
        tmp_path, settings, "--json", "--offline", under=["faketime", "--exclude-monotonic", "-f", "+1200s"]
    )
    assert examination.of("against storage")["found"].startswith("20 min ahead of http://127.0.0.1:")
    assert "A clock that is 15 minutes off is refused in the same words" in examination.of("tables")["remedy"]


async def test_doctor_with_port_25_shut_and_open_by_a_real_dns(settings: dict[str, str], tmp_path: Path) -> None:
    reason = missing_reason()
    require(not reason, reason)
    zone = {"example.test": ["@ MX 10 mx", "mx A 127.0.0.1", '@ TXT "v=spf1 -all"']}
    with Knot(zone) as knot:
        async with SmtpReceiver() as receiver:
            settings |= {
                "POSTRIDER_ROUTES": "mx",
                "POSTRIDER_DNS": knot.address,
                "POSTRIDER_MX_PORT": str(receiver.port),
                "POSTRIDER_ALLOW_PRIVATE_ADDRESSES": "on",
            }
            arguments = ("--json", "--time-server", "", "--probe-domain", "example.test")
            is_open = await examined(tmp_path, settings, *arguments)
        is_shut = await examined(tmp_path, settings, *arguments)
        unknown = await examined(tmp_path, settings, *arguments[:-1], "no-such.example.test")
    name, host = "port 25", f"mx.example.test port {receiver.port}"
    assert is_open.names("wrong") == []
    assert is_open.status == 0
    assert is_open.of(name)["found"] == f"open: {host} says 220 receiver.invalid ESMTP"
    assert receiver.verbs() == ["QUIT"]
    assert (is_shut.status, is_shut.names("wrong")) == (1, [name])
    assert is_shut.of(name)["found"] == f"shut: {host}: Connection refused"
    assert "smarthost" in is_shut.of(name)["remedy"]
    assert "Azure" in is_shut.of(name)["remedy"]
    assert unknown.names("wrong") == ["MX", "TXT"]
    assert unknown.of(name)["state"] == "left out"


async def test_doctor_with_a_key_that_does_not_open_what_is_stored_says_which(settings: dict[str, str], tmp_path: Path) -> None:
    examination = await offline(tmp_path, {**settings, "POSTRIDER_SEALING_KEY": OTHER_KEY})
    line = examination.of("secrets in storage")
    assert (examination.status, line["state"]) == (1, "wrong")
    assert line["found"].startswith("6 of 6 do not open with this key: ")
    assert "after a comma" in line["remedy"]
    assert OTHER_KEY not in examination.output
    both = await offline(tmp_path, {**settings, "POSTRIDER_SEALING_KEY": f"{OTHER_KEY},{SEALING_KEY}"})
    assert both.of("secrets in storage")["state"] == "ok"


async def test_doctor_on_a_secret_that_lies_in_plain_says_where(own_settings: dict[str, str], tmp_path: Path) -> None:
    resource = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Communication/communicationServices/open"
    async with storage_of(own_settings) as storage:
        partition, path = resource_keys(resource)
        document = f'{{"id": "{resource.lower()}", "primaryKey": "c2VjcmV0IGtleSBpbiBwbGFpbg=="}}'
        row = {"PartitionKey": partition, "RowKey": path, "kind": "communicationServices", "document": document}
        await storage.tables.insert(RESOURCES, row)
    examination = await offline(tmp_path, own_settings)
    line = examination.of("secrets in storage")
    assert (line["state"], line["found"]) == (
        "wrong", "1 of 7 lie in plain: communicationservices/open: not sealed: a secret lies in plain in the table",
    )  # fmt: skip
    assert "c2VjcmV0" not in examination.output


async def test_doctor_shows_every_setting_that_is_wrong(settings: dict[str, str], tmp_path: Path) -> None:
    several = {**settings, "POSTRIDER_MAX_RECIPIENTS": "many", "POSTRIDER_TTL_HOURS": "500"}
    examination = await offline(tmp_path, several)
    lines = [check for check in examination.document["checks"] if check["name"] == "settings"]
    assert examination.status == 1
    assert [(line["state"], line["found"].partition(" ")[0]) for line in lines] == [
        ("wrong", "POSTRIDER_MAX_RECIPIENTS"),
        ("wrong", "POSTRIDER_TTL_HOURS"),
    ]
    assert all("docs/install.md" in line["remedy"] for line in lines)
    assert examination.of("tables")["state"] == "left out"


async def test_doctor_shows_settings_that_are_wrong_only_to_those_who_use_them(
    settings: dict[str, str], tmp_path: Path
) -> None:
    used = {
        "POSTRIDER_ROUTES": "smarthost://user:a-password@host?tls=off",
        "POSTRIDER_DNS": "resolver.example.test",
        "POSTRIDER_EHLO_NAME": "no name",
        "POSTRIDER_SEALING_KEY": "c2hvcnQ=",
    }
    examination = await offline(tmp_path, {**settings, **used})
    found = [check["found"] for check in examination.document["checks"] if check["state"] == "wrong"]
    assert [text.partition(" ")[0] for text in found[:4]] == [
        "POSTRIDER_ROUTES,",
        "POSTRIDER_DNS",
        "POSTRIDER_EHLO_NAME",
        "key",
    ]
    assert "must have 32" in examination.of("sealing key")["found"]
    assert examination.of("tables")["state"] == "ok"  # storage is not touched by any of them
    assert examination.of("routes")["state"] == "left out"
    assert "a-password" not in examination.output


async def test_doctor_without_an_installation_is_wrong_and_leaves_out_the_rest(tmp_path: Path) -> None:
    examination = await offline(tmp_path, {})
    assert examination.status == 1
    assert "start a local world with ./postrider up" in examination.of("app settings")["remedy"]
    assert examination.document["installation"] == "nowhere"
    assert examination.of("tables")["state"] == "left out"


@pytest.mark.parametrize(("name", "text"), [("local.settings.json", "{"), (".local/app-settings", "export A='")])
async def test_doctor_on_settings_that_cannot_be_read_says_which_file(tmp_path: Path, name: str, text: str) -> None:
    Folder.of_up(tmp_path).base.mkdir()
    (tmp_path / name).write_text(text)
    line = (await offline(tmp_path, {})).of("app settings")
    assert (line["state"], name in line["found"]) == ("wrong", True)


async def test_document_has_the_members_that_programs_rely_on(settings: dict[str, str], tmp_path: Path) -> None:
    examination = await offline(tmp_path, settings)
    document = examination.document
    assert list(document) == ["format", "machine", "installation", "summary", "checks"]
    assert document["format"] == 1
    assert document["installation"] == "the environment"
    assert "Python 3." in document["machine"]
    assert list(dict.fromkeys(check["group"] for check in document["checks"])) == GROUPS
    counts = dict.fromkeys(map(str, State), 0)
    for check in document["checks"]:
        assert list(check) == ["group", "name", "state", "found", "remedy"]
        assert all(isinstance(value, str) for value in check.values())
        assert check["found"]
        assert bool(check["remedy"]) == (check["state"] in ("notice", "wrong"))
        counts[check["state"]] += 1
    assert document["summary"] == counts
    assert examination.status == (1 if counts["wrong"] else 0)


async def test_messages_and_poison_items_that_need_a_look_are_counted(
    monkeypatch: pytest.MonkeyPatch, own_settings: dict[str, str], tmp_path: Path
) -> None:
    now = time.time()
    subject = subject_of(monkeypatch, tmp_path, own_settings)
    assert [(await check.make(subject)).state for check in spool.CHECKS] == [State.OK] * 5  # type: ignore[union-attr]
    rows = [
        # Never claimed: two of old, one of just now, one that ended.
        ("k:old", "message", 0, "", "Running", now - 7200, now - 7200),
        ("k:older", "message", 0, "", "Running", now - 7500, now - 7500),
        ("k:fresh", "message", 0, "", "Running", now - 60, now - 60),
        ("k:failed", "message", 0, "", "Failed", now - 7200, 0.0),
        # Claimed: overdue, waiting for its time, under a claim, final; and an envelope that nobody claimed.
        ("k:overdue", "message", 1, "token", "Running", now - 7200, now - 3600),
        ("k:waiting", "message", 1, "token", "Running", now - 7200, now + 3600),
        ("k:claimed", "message", 0, "token", "Running", now - 7200, now + 200),
        ("k:final", "message", 1, "token", "Succeeded", now - 7200, 0.0),
        ("k:split", "envelope:001", 0, "", "Running", now - 7200, now - 7200),
    ]  # fmt: skip
    storage = subject.storage()
    for message, row, attempt, token, status, accepted_at, next_attempt_at in rows:
        await storage.tables.insert(
            "messages",
            {
                "PartitionKey": message, "RowKey": row, "attempt": attempt, "claimToken": token, "status": status,
                "acceptedAt": accepted_at, "nextAttemptAt": next_attempt_at,
            },
        )  # fmt: skip
    await storage.tables.upsert("poison", {"PartitionKey": "deliveries", "RowKey": "1", "keptAt": now - 86400})
    await storage.queues.enqueue("deliveries", "an item")
    findings = {check.name: await check.make(subject) for check in spool.CHECKS}
    await subject.close()
    said = {name: (finding.state, finding.found) for name, finding in findings.items()}  # type: ignore[union-attr]
    assert said == {
        "submissions": (State.OK, "0 items in queue submissions"),
        "deliveries": (State.OK, "1 item in queue deliveries, with those that wait for their next attempt"),
        "poison": (State.NOTICE, "1 item kept in table poison, the oldest for 24 h"),
        "never taken up": (State.NOTICE, "2 messages, the oldest for 2 h (operation older)"),
        "overdue": (State.NOTICE, "2 rows whose next attempt should have been, the longest 2 h ago"),
    }
    assert "./postrider poison list" in findings["poison"].remedy  # type: ignore[union-attr]
    assert "Operation-Id" in findings["never taken up"].remedy  # type: ignore[union-attr]


async def test_scan_that_takes_too_long_is_cut_and_says_so(
    monkeypatch: pytest.MonkeyPatch, own_settings: dict[str, str], tmp_path: Path
) -> None:
    subject = subject_of(monkeypatch, tmp_path, own_settings)
    await subject.storage().tables.insert("poison", {"PartitionKey": "deliveries", "RowKey": "1", "keptAt": 1.0})
    monkeypatch.setattr(spool, "SCAN_SECONDS", 0.0)
    finding = await spool.overdue(subject)
    await subject.close()
    assert finding.found == "no message among those seen in 0 s"


class storage_of:
    """The storage of these settings, open for a while."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._storage = open_storage(load_settings(settings).storage)

    async def __aenter__(self) -> Storage:
        return self._storage

    async def __aexit__(self, *_: object) -> None:
        await self._storage.close()
