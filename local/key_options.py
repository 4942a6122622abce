"""The options of `./postrider key`."""

from __future__ import annotations

import argparse

from local.domain_options import add_limit
from local.management_options import add_management_options, add_yes


def add_key_options(key: argparse.ArgumentParser) -> None:
    """Add them to the sub-command's parser; this module needs nothing that has to be installed."""
    key.description = (
        "Access keys of a communication service: the two that ACS has, and extra ones that may do less. A key that was "
        "regenerated or removed is refused everywhere within a minute."
    )
    actions = key.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="every key and what it may do")
    listing.add_argument("--secrets", action="store_true", help="show the two connection strings as well")
    regenerate = actions.add_parser("regenerate", help="replace one of the two keys; the other one goes on")
    regenerate.add_argument("which", choices=("primary", "secondary"))
    adding = actions.add_parser("add", help="make an extra key, and show it this once")
    adding.add_argument("name", metavar="NAME", help="1 to 63 letters, digits and hyphens")
    adding.add_argument("--domain", action="append", default=[], metavar="DOMAIN", help="it may send from; may be repeated")
    adding.add_argument("--source", action="append", default=[], metavar="RANGE", help="it may come from, as 192.0.2.0/24")
    adding.add_argument("--expires", metavar="TIME", help="ISO 8601 such as 2027-01-31T00:00:00Z, or days from now such as 90d")
    adding.add_argument("--read", action="store_true", help="it may ask what became of mail as well; default: send only")
    add_limit(adding)
    removing = actions.add_parser("remove", help="delete an extra key")
    removing.add_argument("name", metavar="NAME")
    for action in (regenerate, removing):
        add_yes(action)
    for action in (listing, regenerate, adding, removing):
        add_management_options(action, service=True)
