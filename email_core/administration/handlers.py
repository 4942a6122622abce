"""Which function does each operation: the tables of all modules in one."""

from __future__ import annotations

from collections import ChainMap

from email_core.administration import (
    access_keys,
    audit_events,
    communication_services,
    domains,
    email_services,
    event_subscriptions,
    health,
    keys,
    managed_suppressions,
    names,
    operation_statuses,
    records,
    removal,
    rotation,
    sender_usernames,
    smtp_usernames,
    suppression_addresses,
    suppression_files,
    suppression_lists,
    verification_requests,
)
from email_core.administration.call import Handler

MODULES = (
    access_keys, audit_events, communication_services, domains, email_services, event_subscriptions, health, keys,
    managed_suppressions, names, operation_statuses, records, removal, rotation, sender_usernames, smtp_usernames,
    suppression_addresses, suppression_files, suppression_lists, verification_requests,
)  # fmt: skip

HANDLERS: dict[str, Handler] = dict(ChainMap(*(module.HANDLERS for module in MODULES)))
