"""Who may import whom. Imports point downward only, so that a reader who goes down never has to look up again."""

from __future__ import annotations

import ast
import graphlib
import sys
from collections.abc import Iterator

import pytest

from tests.layout.sources import Import, Source, sources

# Everybody may import these modules of email_core: they know nothing of mail.
BASE = {"allocator", "errors", "clock", "settings", "maillog", "sealing"}

# A unit is a package of email_core, or a module directly in it. `services` is the composition root: it alone sees all.
ALLOWED = {
    "function_app": {"triggers", "services"},
    "triggers": {
        "data_plane", "management", "auth", "submission", "delivery", "domains", "suppression", "engagement", "events",
        "insights", "explain", "services", "administration",
    },
    "submission": {"hygiene", "signing", "message", "suppression", "engagement", "domains", "storage", "delivery", "dns"},
    "returns": {"delivery", "message", "suppression", "events", "insights", "storage"},
    "delivery": {"message", "suppression", "events", "insights", "dns", "storage"},
    "events": {"message", "storage", "dns"},
    "insights": {"message", "storage", "dns"},
    "suppression": {"message", "storage", "dns"},
    "engagement": {"message", "storage", "dns"},
    "administration": {"management", "domains", "suppression", "storage", "auth", "message", "dns", "signing"},
    # A service has access keys, a domain has signing keys, and both have resource ids.
    "domains": {"message", "storage", "dns", "signing", "auth", "management"},
    "auth": {"data_plane"},  # a refusal is worded where all of them are
    "hygiene": {"message"},
    "data_plane": {"message"},
    "management": {"message", "auth"},  # an operation says which role it needs
    "signing": set(),
    "message": set(),
    "dns": set(),
    "storage": set(),
    "explain": {"delivery", "message"},
    "smtp_relay": {
        "submission", "returns", "delivery", "domains", "suppression", "auth", "message", "management", "administration",
        "services",
    },
    "local": {"function_app", "storage", "auth", "domains", "data_plane", "message", "delivery", "explain", "dns", "services",
        "administration", "management",
    },
    **{unit: set() for unit in BASE},
}  # fmt: skip

# Single modules beyond that, so that the rest of their unit stays out.
ALLOWED_MODULES = {
    "local": {
        "email_core.delivery.routes",  # a wrong --route is told before anything starts
        "email_core.suppression.csv_file",  # what is written for an import is written as that reads it
    }
}

PURE_PACKAGES = (
    "email_core.message", "email_core.signing", "email_core.data_plane", "email_core.management", "email_core.explain",
)  # fmt: skip
PURE_MODULES = (
    "email_core.auth.hmac_access_key", "email_core.delivery.outcome", "email_core.delivery.reply",
    "email_core.delivery.retry_schedule", "email_core.delivery.verp", "email_core.delivery.tls_policy",
    "email_core.delivery.simulator", "email_core.delivery.bounce_classes", "email_core.delivery.mta_sts",
    "email_core.returns.mime_parts", "email_core.returns.status_report", "email_core.returns.bounce_words",
    "email_core.returns.bounce_report", "email_core.returns.arf_report", "email_core.returns.consequences",
    "email_core.suppression.complaints", "email_core.suppression.unsubscribe_token",
    "email_core.delivery.dsn", "email_core.delivery.dsn_due",
)  # fmt: skip
IMPURE_IMPORTS = (
    "aiohttp", "aiosmtplib", "asyncio", "azure", "concurrent", "dns", "http.client", "http.server", "logging",
    "multiprocessing", "os", "queue", "random", "sched", "secrets", "select", "selectors", "shutil", "signal",
    "smtplib", "socket", "subprocess", "tempfile", "threading", "time", "urllib.request", "email_core.clock",
    "email_core.maillog",
)  # fmt: skip
IMPURE_CALLS = {"now", "utcnow", "today", "localtime", "make_msgid", "uuid1", "uuid4", "open", "print", "input", "getenv"}
STORAGE_SDKS = ("azure.data", "azure.storage", "azure.core", "azure.identity")
# These talk to Azure DNS and to Entra, with the same core and identity.
NOT_STORAGE = {"email_core.dns.azure_zone", "local.entra_token"}


def core() -> tuple[Source, ...]:
    return sources("email_core", "function_app.py", "smtp_relay")


def unit_of(module: str) -> str:
    """The unit that a module of ours belongs to; empty for all other modules."""
    parts = module.split(".")
    if parts[0] == "email_core":
        return parts[1] if len(parts) > 1 else ""
    return parts[0] if parts[0] in ("function_app", "smtp_relay", "local") else ""


def is_pure(source: Source) -> bool:
    return source.module in PURE_MODULES or any(
        source.module == package or source.module.startswith(f"{package}.") for package in PURE_PACKAGES
    )


def offences(found: Iterator[tuple[Source, Import, str]]) -> list[str]:
    return [f"{source.where(entry.line)} imports {entry.name}: {why}" for source, entry, why in found]


def test_imports_between_units_point_downward() -> None:
    def upward() -> Iterator[tuple[Source, Import, str]]:
        for source in (*core(), *sources("local")):
            unit = unit_of(source.module)
            if unit in ("services", ""):
                continue
            allowed = ALLOWED.get(unit, set()) | BASE | {unit}
            modules = ALLOWED_MODULES.get(unit, set())
            for entry in source.imports():
                target = unit_of(entry.name)
                if target and target not in allowed and not any(entry.within(module) for module in modules):
                    yield source, entry, f"{unit} may import {', '.join(sorted(allowed - {unit}))}"

    assert offences(upward()) == []


def test_import_table_names_every_unit() -> None:
    units = {unit_of(source.module) for source in (*core(), *sources("local"))} - {"", "services"}

    assert units <= set(ALLOWED)


def test_import_table_has_no_cycle() -> None:
    graphlib.TopologicalSorter(ALLOWED).prepare()  # raises CycleError with the units on it


def test_imports_of_function_app_and_core_never_reach_the_local_world_or_tests() -> None:
    def outside() -> Iterator[tuple[Source, Import, str]]:
        for source in core():
            for entry in source.imports():
                if any(entry.within(name) for name in ("local", "bench", "tests")):
                    yield source, entry, "it does not exist in production"
                elif entry.within("function_app"):
                    yield source, entry, "function_app registers the rest and is not imported by it"

    assert offences(outside()) == []


def test_imports_of_azure_functions_stay_at_the_edge() -> None:
    def within() -> Iterator[tuple[Source, Import, str]]:
        for source in core():
            if source.module == "function_app" or unit_of(source.module) == "triggers":
                continue
            yield from ((source, entry, "triggers only") for entry in source.imports() if entry.within("azure.functions"))

    assert offences(within()) == []


def test_imports_of_storage_sdks_stay_in_storage() -> None:
    def elsewhere() -> Iterator[tuple[Source, Import, str]]:
        for source in (*core(), *sources("local")):
            if unit_of(source.module) == "storage" or source.module in NOT_STORAGE:
                continue
            for entry in source.imports():
                if any(entry.within(sdk) for sdk in STORAGE_SDKS):
                    yield source, entry, "email_core/storage is the only storage code"

    assert offences(elsewhere()) == []


def test_environment_is_read_in_settings_only() -> None:
    names = {"environ", "environb", "getenv", "putenv"}
    found = [
        f"{source.where(node.lineno)} reads the environment: add a field to Settings"
        for source in core()
        if source.module != "email_core.settings"
        for node in ast.walk(source.tree)
        if (isinstance(node, ast.Attribute) and node.attr in names and ast.unparse(node.value) == "os")
        or (isinstance(node, ast.ImportFrom) and node.module == "os" and names & {alias.name for alias in node.names})
    ]

    assert found == []


def test_pure_modules_import_no_input_output_and_no_clock() -> None:
    def impure() -> Iterator[tuple[Source, Import, str]]:
        for source in filter(is_pure, core()):
            for entry in source.imports():
                if any(entry.within(name) for name in IMPURE_IMPORTS):
                    yield source, entry, "this module is pure: take what it needs as a parameter"

    assert offences(impure()) == []


def test_pure_modules_call_no_clock_no_chance_and_no_file() -> None:
    found = [
        f"{source.where(call.lineno)} calls {ast.unparse(call.func)}: this module is pure"
        for source in filter(is_pure, core())
        for call in ast.walk(source.tree)
        if isinstance(call, ast.Call) and _is_impure(call)
    ]

    assert found == []


def test_pure_modules_exist_where_the_list_says() -> None:
    modules = {source.module for source in core()}
    later = {"email_core.delivery.mta_sts"}

    assert {*PURE_MODULES, *PURE_PACKAGES} - later <= modules


def test_postrider_command_needs_only_the_standard_library_until_it_has_installed_the_rest() -> None:
    ours = {source.module: source for source in sources("postrider", "local")}
    # It reads the command line with these before it installs.
    commands = ("send", "explain", "doctor", "poison", "bench", "management", "domain", "key", "suppression", "audit")
    options = [f"local.{command}_options" for command in commands]
    waiting, seen, foreign = ["postrider", "local.cli", *options], set(), []
    while waiting:
        source = ours[waiting.pop()]
        seen.add(source.module)
        for entry in source.imports():
            if not entry.top_level:
                continue
            inner = next((name for name in (entry.name, entry.name.rpartition(".")[0]) if name in ours), "")
            if inner and inner not in seen:
                waiting.append(inner)
            elif not inner and entry.name.partition(".")[0] not in sys.stdlib_module_names:
                foreign.append(f"{source.where(entry.line)} imports {entry.name}")

    assert foreign == []


@pytest.mark.parametrize(
    ("text", "name", "top_level"),
    [
        ("import azure.identity", "azure.identity", True),
        ("from azure import identity", "azure.identity", True),
        ("def f():\n    import jwt", "jwt", False),
        ("from ..delivery import verp", "email_core.delivery.verp", True),
        ("from . import limits", "email_core.message.limits", True),
        ("if TYPE_CHECKING:\n    import azure.core", "azure.core", False),
    ],
)
def test_source_import_in_any_form_is_seen(text: str, name: str, top_level: bool) -> None:
    path = sources("function_app.py")[0].path
    source = Source(path, "email_core.message.compose", ast.parse(text))

    assert [(entry.name, entry.top_level) for entry in source.imports()] == [(name, top_level)]


def _is_impure(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    # formatdate() without a time is now; with one it is a conversion.
    return name in IMPURE_CALLS or (name == "formatdate" and not call.args)
