"""The options of `./postrider suppression`."""

from __future__ import annotations

import argparse
from pathlib import Path

from local.management_options import add_management_options, add_yes


def add_suppression_options(suppression: argparse.ArgumentParser) -> None:
    """Add them to the sub-command's parser; this module needs nothing that has to be installed."""
    suppression.description = (
        "Addresses that get no mail: those of the customer's own lists, each for a domain or one sender of it, and those that "
        "the service keeps because mail to them bounced."
    )
    actions = suppression.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="the lists of a domain, or the addresses of a list")
    listing.add_argument("domain", metavar="DOMAIN")
    listing.add_argument("list", nargs="?", metavar="LIST")
    adding = _of_a_list(actions, "add", "put addresses on a list")
    adding.add_argument("addresses", nargs="+", metavar="ADDRESS")
    adding.add_argument("--notes", metavar="TEXT", help="kept with each of the addresses")
    removing = _of_a_list(actions, "remove", "take addresses off a list, or delete the list")
    removing.add_argument("addresses", nargs="*", metavar="ADDRESS", help="none: the list itself, with all that is on it")
    add_yes(removing)
    importing = _of_a_list(actions, "import", "put the addresses of a CSV file on a list, all or none of them")
    importing.add_argument("file", type=Path, metavar="FILE", help="- is the standard input")
    for action in (adding, importing):
        action.add_argument("--sender", metavar="USERNAME", help="make the list if it is not there, for this sender")
        action.add_argument("--whole-domain", action="store_true", help="make the list if it is not there, for all senders")
    exporting = _of_a_list(actions, "export", "write a list as CSV")
    exporting.add_argument("file", nargs="?", type=Path, metavar="FILE", help="default: the output")
    managed = actions.add_parser("managed", help="what the service suppresses by itself, why, and until when")
    managed.add_argument("--address", metavar="ADDRESS", help="of this address alone")
    managed.add_argument("--remove", metavar="ADDRESS", help="let mail go to this address again")
    for action in (listing, adding, removing, importing, exporting):
        add_management_options(action, email_service=True)
    add_management_options(managed)


def _of_a_list(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, help_text: str
) -> argparse.ArgumentParser:
    action = actions.add_parser(name, help=help_text)
    action.add_argument("domain", metavar="DOMAIN")
    action.add_argument("list", metavar="LIST", help="the name of the list")
    return action
