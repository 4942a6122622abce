"""The options of `./postrider explain`."""

from __future__ import annotations

import argparse

# Those of email_core.delivery.outcome.Stage that a server can reply at.
STAGES = ("connect", "banner", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "final-dot")


def add_explain_options(explain: argparse.ArgumentParser) -> None:
    """Add them to the sub-command's parser; this module needs nothing that has to be installed."""
    explain.description = (
        "Tell in plain words what happened to a message and why, what happens next, and what can be done about it. "
        "With --reply, tell what a reply of a mail server means and what follows from it."
    )
    what = explain.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "id",
        nargs="?",
        metavar="ID",
        help="the operation id of a message; or the name that the log has for it, with a colon in it, which is read from the "
        "installation's storage and shows no recipient in full unless POSTRIDER_LOG_FULL_ADDRESSES is on",
    )
    what.add_argument("--reply", metavar="TEXT", help='as in --reply "550 5.7.1 Message rejected"')
    explain.add_argument(
        "--stage",
        choices=STAGES,
        metavar="STAGE",
        help=f"with --reply: where in the conversation it came: {', '.join(STAGES)}; default: rcpt",
    )
    explain.add_argument(
        "--mx", default="", metavar="HOST", help="with --reply: who said it; providers have words of their own"
    )
    explain.add_argument("--json", action="store_true", help="for programs")
    service = explain.add_argument_group(
        "service",
        "By default that of COMMUNICATION_CONNECTION_STRING_EMAIL, or else the local world's, as .local/env tells.",
    )
    service.add_argument("--endpoint", metavar="URL", help="together with --access-key")
    service.add_argument("--access-key", metavar="BASE64")
