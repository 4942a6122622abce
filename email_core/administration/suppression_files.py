"""A suppression list as a file: CSV out and in. An import takes all rows or, when one of them is wrong, none."""

from __future__ import annotations

import asyncio

from email_core.administration.audit import Change
from email_core.administration.call import Administration, Call, Handler, Reply
from email_core.administration.suppression_addresses import check_still_there
from email_core.administration.suppression_lists import existing_list
from email_core.administration.writing import being_deleted, principal_type
from email_core.domains.documents import DELETING
from email_core.errors import Fault, RequestRefused
from email_core.management import refusals
from email_core.storage import StorageLimit
from email_core.suppression.csv_file import MOST_BYTES, CsvFaults, read_csv, write_csv
from email_core.suppression.customer_lists import CustomerLists
from email_core.suppression.intake import Stamp, take_in

CSV = "text/csv"


async def export(admin: Administration, call: Call) -> Reply:
    """SuppressionLists_Export."""
    found = await existing_list(admin, call.resource)
    listed = [each async for each in CustomerLists(admin.storage.tables).addresses(found.document.key)]
    content = await asyncio.to_thread(write_csv, listed)
    headers = {
        "Content-Type": f"{CSV}; charset=utf-8; header=present",  # RFC 7111
        "Content-Disposition": f'attachment; filename="{found.document.name}.csv"',
    }
    return Reply(200, content, headers)


async def import_addresses(admin: Administration, call: Call) -> Reply:
    """SuppressionLists_Import."""
    found = await existing_list(admin, call.resource)
    if found.document.provisioning_state == DELETING:
        raise being_deleted(call.resource)
    if call.content_type.partition(";")[0].strip().lower() != CSV:
        text = f"The body must be CSV: send the header Content-Type: {CSV}, and the columns email,firstName,lastName,notes."
        raise refusals.refused("UnsupportedMediaType", text, "Content-Type", status=415)
    if len(call.raw_body) > MOST_BYTES:
        raise refusals.too_large(MOST_BYTES)
    try:
        rows = await asyncio.to_thread(read_csv, call.raw_body)
    except CsvFaults as faults:
        raise _refusal(faults) from faults
    text = f"{len(rows)} rows of a file"
    await admin.audit.append(
        call.resource.subscription,
        Change(call.principal, call.operation.name, call.resource.text, call.request_id, {}, text=text),
    )
    stamp = Stamp(admin.clock.now(), call.principal.name, principal_type(call.principal))
    try:
        done = await take_in(admin.storage.tables, found.document.key, rows, stamp)
    except StorageLimit as limit:
        text = "More suppression lists hold one of the e-mail addresses than one address may be in."
        raise refusals.conflict("TooManySuppressionLists", text) from limit
    await check_still_there(admin, call.resource, found.document.key)
    return Reply(200, done._asdict())


def _refusal(faults: CsvFaults) -> RequestRefused:
    more = faults.count - len(faults.faults)
    told = [Fault("InvalidCsv", f"Line {line}: {why} Nothing was imported.", f"line {line}") for line, why in faults.faults]
    if more:
        told.append(Fault("InvalidCsv", f"{more} more lines are wrong."))
    return RequestRefused(400, *told)


HANDLERS: dict[str, Handler] = {
    "SuppressionLists_Export": export,
    "SuppressionLists_Import": import_addresses,
}
