"""The options of `./postrider send`."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_send_options(send: argparse.ArgumentParser) -> None:
    """Add them to the sub-command's parser; this module needs nothing that has to be installed."""
    send.description = (
        "Send one message through the HTTP data plane and follow it until every recipient has its final state. "
        "Options replace what a message file says; without --to, it goes to the test recipient of the local world."
    )
    send.add_argument(
        "file", nargs="?", type=Path, metavar="FILE.eml", help="a message to send: its headers, texts and attachments"
    )
    message = send.add_argument_group("message")
    message.add_argument("--from", dest="sender", metavar="ADDRESS", help="default: the sender of the local world")
    message.add_argument("--to", action="append", default=[], metavar="ADDRESS", help="may be repeated, as --cc and --bcc")
    message.add_argument("--cc", action="append", default=[], metavar="ADDRESS")
    message.add_argument("--bcc", action="append", default=[], metavar="ADDRESS")
    message.add_argument("--reply-to", action="append", default=[], metavar="ADDRESS")
    message.add_argument("--subject")
    message.add_argument("--text", help="the plain text; - reads it from the standard input")
    message.add_argument("--html")
    message.add_argument("--attach", action="append", default=[], type=Path, metavar="FILE", help="may be repeated")
    message.add_argument("--header", action="append", default=[], metavar="'NAME: VALUE'", help="may be repeated")
    service = send.add_argument_group(
        "service",
        "By default that of COMMUNICATION_CONNECTION_STRING_EMAIL, or else the local world's, as .local/env tells.",
    )
    service.add_argument("--endpoint", metavar="URL", help="together with --access-key")
    service.add_argument("--access-key", metavar="BASE64")
    send.add_argument("--wait", type=float, default=60.0, metavar="SECONDS", help="how long to follow the message (60)")
