"""The options of `./postrider poison`."""

from __future__ import annotations

import argparse


def add_poison_options(poison: argparse.ArgumentParser) -> None:
    """Add them to the sub-command's parser; this module needs nothing that has to be installed."""
    poison.description = (
        "Items that could not be worked are kept in table `poison`, and their messages have ended as Failed. Look at them, and "
        "once the cause is gone, have them worked again."
    )
    actions = poison.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="every item that is kept, the latest first")
    showing = actions.add_parser("show", help="one item: what it is, what was done, why it failed, what a replay would do")
    showing.add_argument("item", metavar="ITEM", help="its id, or the beginning of it")
    replaying = actions.add_parser("replay", help="open the recipients that ended with the item, and work it again")
    which = replaying.add_mutually_exclusive_group(required=True)
    which.add_argument("item", nargs="?", metavar="ITEM", help="its id, or the beginning of it")
    which.add_argument("--all", action="store_true", help="every item")
    forgetting = actions.add_parser("forget", help="delete an item that is not to be replayed; its message stays as it is")
    forgetting.add_argument("item", metavar="ITEM", help="its id, or the beginning of it")
    for action in (listing, showing, replaying, forgetting):
        action.add_argument("--json", action="store_true", help="for programs")
