"""The options of `./postrider audit`."""

from __future__ import annotations

import argparse

from local.management_options import add_management_options


def add_audit_options(audit: argparse.ArgumentParser) -> None:
    """Add them to the sub-command's parser; this module needs nothing that has to be installed."""
    audit.description = "Who changed what and when: the audit log of a subscription, the latest entry first."
    audit.add_argument("--top", type=int, default=50, metavar="N", help="so many entries at most (50); 0: all")
    audit.add_argument("--resource", metavar="ID", help="of this resource and those below it")
    audit.add_argument("--verify", action="store_true", help="check that no entry was changed or taken out")
    add_management_options(audit)
