"""The installation: its app settings, its sealing key, and whether that key opens the secrets that storage holds."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from email_core.errors import ConfigurationMissing
from email_core.sealing import KEY_BYTES, Sealer, SealingError
from local.doctor.check import Check, Finding, Findings, counted, left_out, notice, ok, wrong
from local.doctor.subject import Subject

if TYPE_CHECKING:
    from email_core.storage import StoredEntity

SEALED = frozenset(("primaryKey", "secondaryKey", "privateKey", "secret"))  # members of documents that are never in plain
_GROUP = "Installation"
_SHOWN = 3
_OTHER_KEY = (
    "put the key that sealed them into POSTRIDER_SEALING_KEY, after a comma when new secrets are sealed with another; "
    "a key that is lost cannot be had again: then remove the resources from the table `resources` and provision them anew"
)


async def app_settings(subject: Subject) -> Finding:
    name = "app settings"
    if subject.installation is None:
        return wrong(name, *subject.trouble)
    return ok(name, f"from {subject.found_in}")


async def settings(subject: Subject) -> Findings:
    """A line for each setting that is wrong."""
    name = "settings"
    if subject.installation is None:
        return left_out(name, "no installation was found")
    if not subject.wrong_settings:
        return ok(name, "all valid")
    where = f"correct it in {subject.found_in}; docs/install.md has the rule and the default of each setting"
    return [wrong(name, line, where) for line in subject.wrong_settings]


async def sealing_key(subject: Subject) -> Finding:
    name = "sealing key"
    try:
        sealer = Sealer.from_setting(subject.settings().sealing_key)
        sealer.derived_keys("reverse-path")
    except SealingError as error:
        return wrong(
            name,
            str(error),
            "set POSTRIDER_SEALING_KEY to base64 of 32 bytes. Where secrets were sealed before, set the key that sealed them: "
            "another one does not open them",
        )
    count = subject.settings().sealing_key.count(",") + 1
    return ok(name, f"{counted(count, 'key')} of {KEY_BYTES} bytes")


async def sealed_secrets(subject: Subject) -> Finding:
    """Every access key of a service and every signing key of a domain, opened; the domains as delivery reads them."""
    from email_core.domains.directory import RESOURCES, Directory

    name, sealer, storage = "secrets in storage", subject.sealer(), subject.storage()
    # What has none is an operation, or a claim on a name: there are no secrets in them.
    rows = [row async for row in storage.tables.query(RESOURCES, "") if "document" in row.values]
    number = 0
    plain: list[str] = []
    closed: list[str] = []
    for row in rows:
        for secret in secrets_of(row, sealer):
            number += 1
            if secret:
                (plain if secret.startswith("not sealed") else closed).append(f"{_path(row)}: {secret}")
    if plain or closed:
        return _not_sealed_well(name, plain, closed, number)
    directory = Directory(storage.tables, sealer, subject.clock, 0.0)
    for row in rows:
        if row.values.get("kind") == "domains":
            try:
                await directory.domain(_resource_id(row))
            except ConfigurationMissing as error:
                return wrong(name, str(error), "provision that domain and its signing keys anew")
    if not rows:
        return notice(name, "there is no service and no domain yet", "provision the installation: see docs/install.md")
    return ok(name, f"{counted(number, 'secret')} in {counted(len(rows), 'resource')}, all sealed, all open with this key")


def secrets_of(row: StoredEntity, sealer: Sealer) -> Iterator[str]:
    """For each secret of a resource why it is not as it should be, empty when it is. No text holds a secret."""
    import msgspec

    try:
        document = msgspec.json.decode(str(row.values.get("document", "")))
    except msgspec.MsgspecError:
        yield "its document is not JSON"
        return
    context = str(document.get("id", "")).lower() if isinstance(document, dict) else ""
    for value in _sealed_members(document):
        if not value.startswith("v1."):
            yield "not sealed: a secret lies in plain in the table"
            continue
        try:
            base64.b64decode(sealer.open(value, context=context), validate=True)
        except (SealingError, binascii.Error) as error:
            yield str(error) if isinstance(error, SealingError) else "what was sealed is not base64"
        else:
            yield ""


def _sealed_members(document: object) -> Iterator[str]:
    if isinstance(document, Mapping):
        for name, value in document.items():
            if name in SEALED:
                yield str(value)
            else:
                yield from _sealed_members(value)
    elif isinstance(document, list):
        for value in document:
            yield from _sealed_members(value)


def _not_sealed_well(name: str, plain: list[str], closed: list[str], number: int) -> Finding:
    if plain:
        return wrong(
            name,
            f"{len(plain)} of {number} lie in plain: {plain[0]}",
            "replace these keys, for whoever could read the table has them: remove the resource and provision it anew",
        )
    shown = "; ".join(dict.fromkeys(closed[:_SHOWN]))
    return wrong(name, f"{len(closed)} of {number} do not open with this key: {shown}", _OTHER_KEY)


def _path(row: StoredEntity) -> str:
    return str(row.values.get("RowKey", "")).replace("|", "/")


def _resource_id(row: StoredEntity) -> str:
    import msgspec

    document: dict[str, Any] = msgspec.json.decode(str(row.values["document"]))
    return str(document["id"])


CHECKS = (
    Check(_GROUP, "app settings", app_settings),
    Check(_GROUP, "settings", settings),
    Check(_GROUP, "sealing key", sealing_key),
    Check(_GROUP, "secrets in storage", sealed_secrets, of_storage=True),
)
