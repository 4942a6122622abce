"""Whether a recipient is suppressed, by table: lists of the domain and of senders, leases, and what comes first."""

from __future__ import annotations

import pytest

from email_core.suppression.address_rows import AddressRow, Lease
from email_core.suppression.policy import suppression

NOW = 1_790_000_000.0
LISTS = (("", "whole"), ("News", "news"), ("sales", "sales"))
LEASE = Lease(bounce_class="invalid_recipient", first_seen=NOW, last_seen=NOW, since=NOW, until=NOW + 60, source="service:1")
ENDED = Lease(bounce_class="invalid_recipient", first_seen=NOW, last_seen=NOW, since=NOW - 60, until=NOW)
COUNTED = Lease(bounce_class="invalid_recipient", first_seen=NOW, last_seen=NOW)


@pytest.mark.parametrize(
    ("row", "sender", "wanted"),
    [
        (AddressRow(), "news", None),
        (AddressRow({"whole": "1"}), "news", ""),
        (AddressRow({"whole": "1"}), "anybody", ""),
        (AddressRow({"news": "1"}), "news", "News"),
        (AddressRow({"news": "1"}), "NEWS", "News"),
        (AddressRow({"news": "1"}), "sales", None),
        (AddressRow({"of another domain": "1"}), "news", None),
        (AddressRow({}, LEASE), "news", "managed"),
        (AddressRow({}, ENDED), "news", None),
        (AddressRow({}, COUNTED), "news", None),
        (AddressRow({"sales": "1"}, LEASE), "news", "managed"),
        (AddressRow({"news": "1"}, LEASE), "news", "News"),
    ],
    ids=[
        "nobody", "whole domain", "whole domain, any sender", "the sender", "the sender, other case", "another sender",
        "another domain", "lease", "lease that ended", "too few bounces", "another sender, and lease", "both: the customer's",
    ],
)  # fmt: skip
def test_suppression_of_a_row(row: AddressRow, sender: str, wanted: str | None) -> None:
    found = suppression(row, lists=LISTS, sender=sender, message="service:9", now=NOW)
    assert (None if found is None else "managed" if found.lease else found.list_name) == wanted


def test_suppression_by_a_list_names_the_id_of_the_address() -> None:
    found = suppression(AddressRow({"whole": "abc"}), lists=LISTS, sender="news", message="service:9", now=NOW)
    assert found is not None
    assert found.address_id == "abc"


def test_suppression_by_the_lease_that_the_message_itself_began_is_none() -> None:
    assert suppression(AddressRow({}, LEASE), lists=LISTS, sender="news", message="service:1", now=NOW) is None
