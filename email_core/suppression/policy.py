"""Is a recipient suppressed, and by which list? Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from email_core.suppression.address_rows import AddressRow, Lease
from email_core.suppression.leases import is_held


@dataclass(frozen=True, slots=True)
class Suppression:
    """Why a recipient gets no mail: a customer list with the id of the address there, or the lease on the managed list.

    `list_name` is the sender username that a customer list is for, empty for one of the whole domain.
    """

    list_name: str = ""
    address_id: str = ""
    lease: Lease | None = None


def applies(list_name: str, sender: str) -> bool:
    """Whether a list of the sending domain is for a sender (its local part). Sender usernames know no case."""
    return not list_name or list_name.casefold() == sender.casefold()


def suppression(
    row: AddressRow, *, lists: Sequence[tuple[str, str]], sender: str, message: str, now: float
) -> Suppression | None:
    """What keeps mail of a sender (its local part) from an address; None when nothing does.

    `lists` are names and keys of the sending domain's lists; they come first, for what a customer decided needs no bounce. A
    lease that this very message began does not hold it back: a run that died before it settled would else tell its own
    bounce as a suppression.
    """
    for list_name, key in lists:
        if key in row.lists and applies(list_name, sender):
            return Suppression(list_name, row.lists[key])
    if row.lease is not None and is_held(row.lease, now) and row.lease.source != message:
        return Suppression(lease=row.lease)
    return None
