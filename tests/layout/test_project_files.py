"""The files that others read: the Functions host, Core Tools, pip, npm, and whoever clones the repository."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from functools import cache
from typing import Any

import pytest

from tests.kit.peers import require
from tests.layout.sources import ROOT

STORAGE = "AzureWebJobsStorage"
# The host answers 404 to a method that a function does not declare; ours says 405, and which there are.
ALL_METHODS = {"GET", "PUT", "PATCH", "POST", "DELETE", "HEAD", "OPTIONS"}
HTTP_FUNCTIONS = {
    "emails_send": ("emails:send", {"POST"}),
    "emails_get_send_result": ("emails/operations/{operationId}", {"GET"}),
    "emails_explain": ("emails/operations/{operationId}/explanation", {"GET"}),
    "health": ("health", {"GET"}),
    "management_subscriptions": ("subscriptions/{*path}", ALL_METHODS),
    "management_providers": ("providers/{*path}", ALL_METHODS),
}
QUEUE_FUNCTIONS = {
    "on_submission": "submissions",
    "on_delivery": "deliveries",
    "on_submission_poison": "submissions-poison",
    "on_delivery_poison": "deliveries-poison",
    "on_notice": "notices",
    "on_notice_poison": "notices-poison",
    "on_administration": "administration",
    "on_administration_poison": "administration-poison",
}
TIMER_FUNCTIONS = {"sweep": "0 */5 * * * *", "reverify": "0 0 3 * * *"}

# What is published to Azure; everything else in the repository is left out by .funcignore.
PUBLISHED = {"email_core", "function_app.py", "host.json", "requirements.txt", "LICENSE"}

# Each takes 80 to 300 ms to import, and a worker that answers HTTP may need none of them.
HEAVY_MODULES = ("azure.identity", "azure.storage.queue", "azure.storage.blob", "azure.data.tables", "jwt", "html2text")

# Loads the app as the Functions worker does: one module, one app object, one walk over its functions.
INDEXER = """
import inspect, json, sys
import function_app
heavy = [name for name in sys.argv[1:] if name in sys.modules]
from azure.functions.decorators.function_app import FunctionRegister
apps = [value for value in vars(function_app).values() if isinstance(value, FunctionRegister)]
functions = {}
for function in apps[0].get_functions():
    code = function.get_user_function()
    raw = json.loads(json.dumps(function.get_dict_repr(), default=str))
    functions[function.get_function_name()] = {
        "trigger": json.loads(json.dumps(function.get_trigger().get_dict_repr(), default=str)),
        "bindings": sorted(b["name"] for b in raw["bindings"]),
        "parameters": sorted(inspect.signature(code).parameters),
        "is_async": inspect.iscoroutinefunction(code),
    }
print(json.dumps({"apps": len(apps), "functions": functions, "heavy": heavy}))
"""


@pytest.fixture(scope="module")
def indexed() -> dict[str, Any]:
    """What a worker finds in function_app.py, in a process of its own with no setting but a storage account."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("POSTRIDER_", STORAGE))}
    done = subprocess.run(
        [sys.executable, "-c", INDEXER, *HEAVY_MODULES], cwd=ROOT, env={**kept, STORAGE: "UseDevelopmentStorage=true"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@cache
def tracked(*arguments: str) -> tuple[str, ...]:
    """What `git ls-files` lists."""
    require((ROOT / ".git").exists(), "this is no checkout: what is committed cannot be seen")
    listed = subprocess.run(["git", "ls-files", "-z", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return tuple(name for name in listed.stdout.split("\0") if name)


def texts() -> dict[str, str]:
    """The committed text files by name, except those that are only data of a test."""
    found = {}
    for name in tracked():
        path = ROOT / name
        if path.is_file() and b"\0" not in (raw := path.read_bytes())[:8000]:
            found[name] = raw.decode("utf-8", "replace")
    return found


def test_function_app_has_one_app_with_the_expected_functions(indexed: dict[str, Any]) -> None:
    assert indexed["apps"] == 1
    assert set(indexed["functions"]) == {*HTTP_FUNCTIONS, *QUEUE_FUNCTIONS, *TIMER_FUNCTIONS}


@pytest.mark.parametrize("name", HTTP_FUNCTIONS)
def test_function_with_a_route_is_anonymous_and_answers_its_methods(indexed: dict[str, Any], name: str) -> None:
    trigger = indexed["functions"][name]["trigger"]
    route, methods = HTTP_FUNCTIONS[name]

    assert trigger["type"] == "httpTrigger"
    assert trigger["route"] == route
    assert {method.upper() for method in trigger["methods"]} == methods
    # The functions authenticate by themselves, as ACS does; a function key would be one more that clients do not send.
    assert str(trigger["authLevel"]).lower().endswith("anonymous")


@pytest.mark.parametrize("name", QUEUE_FUNCTIONS)
def test_function_of_a_queue_listens_on_the_storage_of_the_app(indexed: dict[str, Any], name: str) -> None:
    trigger = indexed["functions"][name]["trigger"]

    assert (trigger["type"], trigger["queueName"], trigger["connection"]) == ("queueTrigger", QUEUE_FUNCTIONS[name], STORAGE)


@pytest.mark.parametrize("name", TIMER_FUNCTIONS)
def test_function_of_a_timer_makes_up_for_a_run_that_was_missed(indexed: dict[str, Any], name: str) -> None:
    trigger = indexed["functions"][name]["trigger"]

    assert (trigger["type"], trigger["schedule"]) == ("timerTrigger", TIMER_FUNCTIONS[name])
    assert (trigger["useMonitor"], trigger["runOnStartup"]) == (True, False)


@pytest.mark.parametrize("name", [*HTTP_FUNCTIONS, *QUEUE_FUNCTIONS, *TIMER_FUNCTIONS])
def test_function_parameters_are_its_bindings(indexed: dict[str, Any], name: str) -> None:
    function = indexed["functions"][name]

    assert set(function["parameters"]) - {"context"} == set(function["bindings"]) - {"$return"}
    assert function["is_async"]


def test_function_app_import_loads_nothing_heavy(indexed: dict[str, Any]) -> None:
    assert indexed["heavy"] == []


def test_host_json_routes_have_no_prefix() -> None:
    host = json.loads((ROOT / "host.json").read_text())

    assert host["version"] == "2.0"
    assert host["extensions"]["http"]["routePrefix"] == ""
    assert host["extensions"]["queues"]["messageEncoding"] == "base64"
    assert host["extensionBundle"]["version"].startswith("[4.")


def test_funcignore_publishes_the_function_app_alone() -> None:
    left_out = set(tracked("--ignored", "--cached", "--exclude-from=.funcignore"))
    published = {name.partition("/")[0] for name in tracked() if name not in left_out}

    assert published <= PUBLISHED
    assert published >= {"email_core", "function_app.py", "host.json", "requirements.txt"}


def test_funcignore_leaves_out_what_a_machine_adds() -> None:
    ignored = {line.strip().strip("/") for line in (ROOT / ".funcignore").read_text().splitlines()}

    assert ignored >= {".venv", ".local", "node_modules", "local.settings.json", ".git"}


def test_funcignore_has_no_pattern_that_core_tools_reads_otherwise_than_git() -> None:
    """A pattern that ends in a slash misses `node_modules/@azure` there, and one without a slash in front has no root."""
    patterns = [line for line in (ROOT / ".funcignore").read_text().splitlines() if line and not line.startswith("#")]

    anywhere = {"__pycache__", "**/__pycache__", "local.settings.json"}
    assert [
        pattern for pattern in patterns if pattern.endswith("/") or not (pattern.startswith("/") or pattern in anywhere)
    ] == []


def test_sample_settings_name_only_settings_that_exist() -> None:
    sample = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
    settings = (ROOT / "email_core" / "settings.py").read_text()

    assert sample["FUNCTIONS_WORKER_RUNTIME"] == "python"
    assert STORAGE in sample
    unknown = [name for name in sample if name.startswith("POSTRIDER_") and f'"{name}"' not in settings]
    assert unknown == []


REQUIREMENTS = (
    "requirements.txt", "requirements-local.txt", "requirements-relay.txt", "requirements-dev.txt", "bench/requirements.txt",
)  # fmt: skip


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_requirements_are_pinned(name: str) -> None:
    lines = [line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    pinned = re.compile(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==[0-9][0-9A-Za-z.]*(\s*;.*)?|-r requirements[a-z-]*\.txt")

    assert [line for line in lines if line and not pinned.fullmatch(line)] == []


@pytest.mark.parametrize("folder", [".", "bench"])
def test_node_packages_are_pinned_and_locked_without_a_registry(folder: str) -> None:
    package = json.loads((ROOT / folder / "package.json").read_text())
    lock = json.loads((ROOT / folder / "package-lock.json").read_text())
    wanted = {**package["dependencies"], **package.get("devDependencies", {})}

    assert [name for name, version in wanted.items() if not re.fullmatch(r"\d+\.\d+\.\d+", version)] == []
    assert {name: lock["packages"][f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert [name for name, entry in lock["packages"].items() if "resolved" in entry] == []


def test_committed_files_name_no_package_registry() -> None:
    hosts = {
        "registry." + "npmjs.org",
        "registry." + "yarnpkg.com",
        "files." + "pythonhosted.org",
        "pypi." + "org",
        *_own_registries(),
    }
    found = [f"{name} names {host}" for name, text in texts().items() for host in sorted(hosts) if host in text]

    assert found == []


def test_committed_files_name_no_path_of_one_machine() -> None:
    personal = re.compile(r"(?<![\w.:/}])/(work|farm|home|root|Users)/[\w.-]+")
    found = [f"{name} names {match.group()}" for name, text in texts().items() for match in personal.finditer(text)]

    assert found == []


def test_committed_files_hold_no_local_settings_and_no_local_state() -> None:
    of_one_machine = re.compile(r"(^|/)(local\.settings\.json$|\.local/|node_modules/|\.venv/|__pycache__/)")

    assert [name for name in tracked() if of_one_machine.search(name)] == []


def test_specifications_have_a_row_for_every_rfc_that_the_code_cites() -> None:
    rows = re.findall(r"^\|([^|]+)\|", (ROOT / "docs" / "specifications.md").read_text(encoding="utf-8"), re.MULTILINE)
    listed = {number for cell in rows for number in re.findall(r"(?<![-\d])\d{3,5}(?![-\d])", cell)}
    cited: dict[str, str] = {}
    for path in sorted((ROOT / "email_core").rglob("*.*")):
        if path.suffix in (".py", ".toml"):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
                for rfc in re.findall(r"RFC[ -]?(\d{3,5})", line):
                    cited.setdefault(rfc, f"{path.relative_to(ROOT)}:{number}")

    assert cited
    assert [f"{where} cites RFC {rfc}" for rfc, where in sorted(cited.items()) if rfc not in listed] == []


def _own_registries() -> set[str]:
    """The hosts of the mirrors that this machine is set to use: they belong to it alone."""
    urls = " ".join(value for name, value in os.environ.items() if re.search(r"index_url|registry|proxy", name, re.IGNORECASE))
    hosts = set(re.findall(r"https?://(?:[^@/\s]*@)?([a-z0-9.-]+)", urls))
    return {host for host in hosts if "." in host and not host.startswith("127.")}
