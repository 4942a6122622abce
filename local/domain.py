"""`./postrider domain`: domains that mail is sent from, over the management API."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from email_core.domains.records import RecordError, platform_records, zone_lines
from email_core.settings import load_settings
from local import arm_scope
from local.administering import administer, failed, meant, tell
from local.arm_client import DONE, REFUSED, USAGE, ArmClient, ServiceRefused, UsageError
from local.domain_verify import verify, waiting_records
from local.domain_view import health_lines, list_lines, published_lines, record_table, show_lines
from local.installation import installation

MANAGED_NAME = "AzureManagedDomain"


def domain(options: argparse.Namespace, root: Path) -> int:
    """The exit status: 0 done (verified, not red), 1 refused (or not so), 2 a wrong command line, 3 nothing running."""
    if options.action == "platform":
        return _platform(options, root)
    actions: dict[str, Callable[[ArmClient, argparse.Namespace], int]] = {
        "add": _add, "list": _list, "show": _show, "records": _records, "publish": _publish, "verify": verify,
        "cancel": _cancel, "health": _health, "rotate": _rotate, "remove": _remove, "link": _link, "unlink": _link,
    }  # fmt: skip
    return administer(actions[options.action], options, root)


def _platform(options: argparse.Namespace, root: Path) -> int:
    """The records of the platform domain. Raises NoInstallation, SettingsError."""
    settings = load_settings(installation(root).app_settings)
    try:
        records = platform_records(
            settings.platform_domain,
            bounce_domain=settings.bounce_domain,
            senders=options.address,
            spf_includes=options.spf,
            mx_addresses=options.mx,
            ehlo_name=settings.ehlo_name,
        )
    except RecordError as error:
        return failed(f"{error}: --address and --mx take addresses, --spf takes the name of an SPF record", USAGE)
    found = [
        {"purpose": str(record.purpose), "type": record.type, "name": record.name, "value": record.value, "ttl": record.ttl}
        for record in records
    ]
    return tell(options, {"domain": settings.platform_domain, "records": found}, lambda: zone_lines(records))


def _add(client: ArmClient, options: argparse.Namespace) -> int:
    if bool(options.name) == options.managed:
        raise UsageError("give the name of a domain, or --managed for one below the platform's")
    service = _email_service(client, options)
    name = options.name or MANAGED_NAME
    properties: dict[str, Any] = {
        "domainManagement": "AzureManaged" if options.managed else "CustomerManaged",
        "mailFromSubdomain": options.mail_from,
        "dmarcPolicy": options.dmarc,
        "anySender": options.any_sender and options.any_sender == "on",
        "userEngagementTracking": options.tracking and {"on": "Enabled", "off": "Disabled"}[options.tracking],
        "limits": None if options.limit is None else [each for each in options.limit if each],
    }
    path = f"{service}/domains/{name}"
    before = client.find(path)
    if before is None:
        reply = client.put(path, {"location": "global", "properties": _given(properties)})
    else:  # a PUT would take away what is not named
        reply = client.call("PATCH", path, {"properties": _given(properties)})
    client.wait(reply)
    for sender in options.sender:
        _add_sender(client, f"{path}/senderUsernames", sender)
    made = client.get(path)
    senders = _senders(client, made)
    return tell(options, made, lambda: [*_added(made, changed=before is not None), "", *show_lines(made, senders)])


def _add_sender(client: ArmClient, path: str, sender: str) -> None:
    username, named, display_name = sender.partition("=")
    properties = {"username": username, "displayName": display_name}
    if not named and (before := client.find(f"{path}/{username}")):  # a PUT would take away the name that it has
        properties["displayName"] = before["properties"].get("displayName") or ""
    client.put(f"{path}/{username}", {"properties": properties})


def _added(made: dict[str, Any], *, changed: bool) -> list[str]:
    name = made["properties"]["fromSenderDomain"]
    if changed:
        return [f"{name}: changed"]
    if made["properties"]["domainManagement"] == "AzureManaged":
        return [f"{name}: added, and ready. Let a service send from it: ./postrider domain link {made['name']}"]
    return [
        f"{name}: added. Next: publish what ./postrider domain records {name} shows, or have it published with",
        f"./postrider domain publish {name}; then ./postrider domain verify {name}",
    ]


def _email_service(client: ArmClient, options: argparse.Namespace) -> str:
    if options.data_location is None:
        return arm_scope.email_service(client, options)
    if not options.email_service or not client.group:
        raise UsageError("--data-location makes an email service: give --email-service NAME and --resource-group as well")
    path = f"{client.provider}/emailServices/{options.email_service}"
    if client.find(path) is None:
        client.wait(client.put(path, {"location": "global", "properties": {"dataLocation": options.data_location}}))
    return path


def _list(client: ArmClient, options: argparse.Namespace) -> int:
    found = arm_scope.domains(client, options)
    return tell(options, found, lambda: list_lines(found))


def _show(client: ArmClient, options: argparse.Namespace) -> int:
    found = arm_scope.domain(client, options, options.name)
    senders = _senders(client, found)
    services = client.list(f"{client.of_subscription}/communicationServices")
    linked = [service["name"] for service in services if _links(service, found)]
    return tell(options, {**found, "senderUsernames": senders}, lambda: show_lines(found, senders, linked))


def _records(client: ArmClient, options: argparse.Namespace) -> int:
    found = arm_scope.domain(client, options, options.name)
    path = f"{found['id']}/records"
    if options.json or options.format in ("table", "json"):
        records = client.get(path, format="json")
        options.json = options.json or options.format == "json"
        return tell(options, records, lambda: record_table(records))
    sys.stdout.write(client.call("GET", path, query={"format": options.format}).content.decode())
    return DONE


def _publish(client: ArmClient, options: argparse.Namespace) -> int:
    found = arm_scope.domain(client, options, options.name)
    reply = client.call("POST", f"{found['id']}/publishRecords")
    tell(options, reply.body, lambda: published_lines(reply.body))
    conflicts = any(record.get("outcome") == "conflict" for record in reply.body.get("records", ()))
    return REFUSED if conflicts else DONE


def _cancel(client: ArmClient, options: argparse.Namespace) -> int:
    found = arm_scope.domain(client, options, options.name)
    records = options.record or waiting_records(found)
    for record in records:
        client.wait(client.call("POST", f"{found['id']}/cancelVerification", {"verificationType": record}))
    names = ", ".join(records)
    told = f"{options.name}: {names} not looked for any longer" if records else f"{options.name}: nothing is looked for"
    return tell(options, {"cancelled": list(records)}, lambda: [told])


def _health(client: ArmClient, options: argparse.Namespace) -> int:
    found = arm_scope.domain(client, options, options.name)
    report = None if options.check else _last_report(client, found["id"])
    if report is None:
        report = client.call("POST", f"{found['id']}/checkHealth").body
    tell(options, report, lambda: health_lines(report))
    return REFUSED if report.get("status") == "red" else DONE


def _last_report(client: ArmClient, path: str) -> dict[str, Any] | None:
    try:
        return client.get(f"{path}/health")
    except ServiceRefused as refused:
        if refused.code == "HealthNotChecked":
            return None
        raise


def _rotate(client: ArmClient, options: argparse.Namespace) -> int:
    found = arm_scope.domain(client, options, options.name)
    reply = client.call("POST", f"{found['id']}/rotateKeys")
    client.wait(reply)
    told = [f"{options.name}: new DKIM keys are on their way. ./postrider domain records {options.name} tells how far they are"]
    return tell(options, reply.body, lambda: told)


def _remove(client: ArmClient, options: argparse.Namespace) -> int:
    found = arm_scope.domain(client, options, options.name)
    meant(options, f"{found['id']} will be deleted, with its keys, senders and suppression lists.")
    client.delete(found["id"])
    return tell(options, {"removed": found["id"]}, lambda: [f"{options.name}: removed"])


def _link(client: ArmClient, options: argparse.Namespace) -> int:
    found = arm_scope.domain(client, options, options.name)
    path = arm_scope.communication_service(client, options)
    service = client.get(path)
    others = [each for each in service["properties"].get("linkedDomains") or () if each.lower() != found["id"].lower()]
    linked = [*others, found["id"]] if options.action == "link" else others
    reply = client.call("PATCH", path, {"properties": {"linkedDomains": linked}})
    client.wait(reply)
    what = "may send from" if options.action == "link" else "may no longer send from"
    return tell(options, client.get(path), lambda: [f"{service['name']} {what} {options.name}; workers know within a minute"])


def _links(service: dict[str, Any], domain: dict[str, Any]) -> bool:
    linked = service["properties"].get("linkedDomains") or ()
    return domain["id"].lower() in (each.lower() for each in linked)


def _senders(client: ArmClient, domain: dict[str, Any]) -> list[dict[str, Any]]:
    return list(client.list(f"{domain['id']}/senderUsernames"))


def _given(properties: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if value is not None}
