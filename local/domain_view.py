"""Domains as people read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from local.table import paragraph, printable, table

REQUIRED = ("Domain", "SPF", "DKIM", "DKIM2")
VERIFIED = "Verified"
_INDENT = 12
_HEALTH_INDENT = 10
_WORST_FIRST = ("red", "amber", "green")


def list_lines(domains: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A table, a line for each domain."""
    if not domains:
        yield "There are no domains: ./postrider domain add makes one."
        return
    rows = [
        (
            domain["properties"]["fromSenderDomain"],
            _kind(domain),
            domain["properties"].get("sending", {}).get("state", "?"),
            f"{_verified(domain)} of {len(REQUIRED)}",
            domain["id"].split("/")[8],
        )
        for domain in domains
    ]
    yield from table(("DOMAIN", "KIND", "SENDING", "VERIFIED", "EMAIL SERVICE"), rows)


def show_lines(
    domain: Mapping[str, Any], senders: Sequence[Mapping[str, Any]], linked: Sequence[str] | None = None
) -> Iterator[str]:
    """All that is to be known of a domain. `linked` are the services that may send from it, None when nobody asked."""
    properties = domain["properties"]
    yield f"Domain      {properties['fromSenderDomain']} ({_kind(domain)})"
    yield f"Resource    {domain['id']}"
    yield f"Sending     {sending_text(properties.get('sending', {}))}"
    if linked is not None:
        yield f"Used by     {', '.join(linked) or 'no service: ./postrider domain link lets one'}"
    names = ", ".join(_sender(each) for each in senders)
    yield f"Senders     {'any, and ' if properties.get('anySender') else ''}{printable(names) or 'none'}"
    yield f"Bounces to  {properties.get('mailFromSenderDomain', '')}"
    if properties.get("limits"):
        yield f"Limits      {limits_text(properties['limits'])}"
    yield f"Tracking    {properties.get('userEngagementTracking', 'Disabled')}"
    details = properties.get("verificationDetails") or {}
    if details:
        yield "Records"
    for kind, detail in details.items():
        yield from detail_lines(kind, detail)


def detail_lines(kind: str, detail: Mapping[str, Any]) -> Iterator[str]:
    """What is known of one record, with what is wrong and what to do about it."""
    when = detail.get("nextCheckAt") if detail.get("status") != VERIFIED else None
    yield f"  {kind:<8}  {detail['status']}{f', next look at {moment(when)}' if when else ''}"
    if detail["status"] == VERIFIED and not detail.get("lostSince"):
        return
    if detail.get("lostSince"):
        yield f"{'':{_INDENT}}missed since {moment(detail['lostSince'])}"
    for name, text in (("", detail.get("reason")), ("", detail.get("remedy"))):
        yield from paragraph(f"{name}{text}", _INDENT) if text else ()
    if detail.get("reason") and detail.get("expected"):
        yield f"{'':{_INDENT}}expected  {printable(detail['expected'])}"
        yield from (f"{'':{_INDENT}}found     {printable(each)}" for each in detail.get("found") or ("nothing",))


def record_table(answer: Mapping[str, Any]) -> Iterator[str]:
    """What has to stand in the DNS, in the zone that it is for."""
    records = answer["records"]
    if not records:
        yield f"{answer['domain']}: nothing has to stand in the DNS, its records are the platform's."
        records = answer["platformRecords"]
        if not records:
            return
    yield f"In the zone {answer['zone']}:"
    rows = [(record["relativeName"], record["ttl"], record["type"], record["purpose"], record["value"]) for record in records]
    yield from table(("NAME", "TTL", "TYPE", "FOR", "VALUE"), rows)
    if answer.get("rotation"):
        yield ""
        yield "DKIM rotation:"
        yield from outline(answer["rotation"], "  ")


def published_lines(answer: Mapping[str, Any]) -> Iterator[str]:
    """What came of each record."""
    yield f"In the zone {answer['zone']}:"
    names = ("relativeName", "type", "outcome", "reason")
    yield from table(("NAME", "TYPE", "OUTCOME", "WHY"), [[record[name] for name in names] for record in answer["records"]])


def health_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """A health report: each check, the worst first, with what to do, and what the large receivers ask for."""
    yield f"{report['domain']}: {report['status']}, looked at {moment(report['checkedAt'])}"
    if report.get("note"):
        yield from paragraph(report["note"], 0)
    for check in sorted(report.get("checks", ()), key=lambda each: _WORST_FIRST.index(each["status"])):
        yield f"  {check['status']:<6}  {check['name']}{'' if check.get('required') else ' (advice)'}"
        if check["status"] == _WORST_FIRST[-1]:
            continue
        for text in (check.get("reason"), check.get("fix")):
            yield from paragraph(text, _HEALTH_INDENT) if text else ()
        yield from (f"{'':{_HEALTH_INDENT}}found  {printable(value)}" for value in check.get("found", ()))
    for name, verdict in report.get("providers", {}).items():
        failing = ", ".join(point["rule"] for point in verdict.get("failing", ()))
        yield f"  {verdict['status']:<6}  {name}{f': {printable(failing)}' if failing else ''}"


def outline(value: object, indent: str) -> Iterator[str]:
    """Whatever the service answers, a line for each thing."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if isinstance(inner, Mapping | list) and inner:
                yield f"{indent}{name}:"
                yield from outline(inner, f"{indent}  ")
            elif inner not in (None, "", [], {}):
                yield f"{indent}{name}: {printable(str(inner))}"
    elif isinstance(value, list):
        for inner in value:
            lines = list(outline(inner, ""))
            yield from (f"{indent}{'- ' if number == 0 else '  '}{line}" for number, line in enumerate(lines))
    else:
        yield f"{indent}{printable(str(value))}"


def sending_text(sending: Mapping[str, Any]) -> str:
    """Whether a domain may send, and why not."""
    text = str(sending.get("state", "?"))
    if sending.get("since"):
        text += f" since {moment(sending['since'])}"
    if sending.get("pausesAt"):
        text += f"; it is paused at {moment(sending['pausesAt'])}"
    return f"{text}: {printable(sending['reason'])}" if sending.get("reason") else text


def limits_text(limits: Sequence[Mapping[str, Any]]) -> str:
    """Limits in one line."""
    return ", ".join(f"{limit['most']} {limit['unit']} per {limit['window']}" for limit in limits)


def moment(text: str) -> str:
    """A time of the API, to the second."""
    return f"{text[:19].replace('T', ' ')}Z"


def _kind(domain: Mapping[str, Any]) -> str:
    return "managed" if domain["properties"]["domainManagement"] == "AzureManaged" else "own"


def _verified(domain: Mapping[str, Any]) -> int:
    states = domain["properties"].get("verificationStates", {})
    return sum(states.get(kind, {}).get("status") == VERIFIED for kind in REQUIRED)


def _sender(sender: Mapping[str, Any]) -> str:
    username, display_name = sender["properties"]["username"], sender["properties"].get("displayName")
    return f'{username} ("{display_name}")' if display_name else str(username)
