"""The options of `./postrider domain`."""

from __future__ import annotations

import argparse

from local.management_options import add_management_options, add_yes

RECORDS = ("Domain", "SPF", "DKIM", "DKIM2", "DMARC", "MailFrom")
FORMATS = ("table", "bind", "bicep", "terraform", "json")
DMARC_POLICIES = ("none", "quarantine", "reject")


def add_domain_options(domain: argparse.ArgumentParser) -> None:
    """Add them to the sub-command's parser; this module needs nothing that has to be installed."""
    domain.description = (
        "Domains that mail is sent from: add one, publish its DNS records, have them verified, link it to a communication "
        "service, and see how it is."
    )
    actions = domain.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add(actions)
    listing = actions.add_parser("list", help="every domain, and whether it may send")
    showing = _named(actions, "show", "one domain: what was found in the DNS, senders, limits, and who may use it")
    records = _named(actions, "records", "what has to stand in the DNS")
    records.add_argument("--format", choices=FORMATS, default="table", help="default: table")
    publish = _named(actions, "publish", "write the records to the DNS zones that the installation may write")
    verify = _verify(actions)
    cancel = _named(actions, "cancel", "do not look for records any longer")
    _records_option(cancel, "default: all that are looked for")
    health = _named(actions, "health", "what receivers think of its DNS, and how to better it")
    health.add_argument("--check", action="store_true", help="look now, in place of telling what was found last")
    rotate = _named(actions, "rotate", "replace its DKIM keys, without a moment without a valid signature")
    remove = _named(actions, "remove", "delete a domain with all that is below it")
    add_yes(remove)
    for action in (listing, showing, records, publish, verify, cancel, health, rotate, remove):
        add_management_options(action, email_service=True)
    platform = actions.add_parser("platform", help="what has to stand in the DNS for the platform domain of the installation")
    platform.description = "From the settings of the installation, in the environment, the local world or local.settings.json."
    platform.add_argument("--spf", action="append", default=[], metavar="NAME", help="the SPF record of a smarthost")
    platform.add_argument("--address", action="append", default=[], metavar="ADDRESS", help="that mail leaves from by mx")
    platform.add_argument(
        "--mx", action="append", default=[], metavar="ADDRESS", help="of the SMTP server, which takes bounces"
    )
    platform.add_argument("--json", action="store_true", help="for programs")
    for action in (
        _named(actions, "link", "let a communication service send from a verified domain"),
        _named(actions, "unlink", "let it no longer"),
    ):
        add_management_options(action, email_service=True, service=True)


def _add(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    adding = actions.add_parser("add", help="add a domain, or change one")
    adding.add_argument("name", nargs="?", metavar="DOMAIN", help="of your own; left out with --managed")
    adding.add_argument("--managed", action="store_true", help="a domain below the platform's, which sends at once")
    adding.add_argument("--mail-from", metavar="SUBDOMAIN", help="bounces come back to this part before the domain")
    adding.add_argument("--dmarc", choices=DMARC_POLICIES, help="the policy in its DMARC record")
    adding.add_argument("--any-sender", choices=("on", "off"), help="whether any local part may send")
    adding.add_argument("--tracking", choices=("on", "off"), help="whether opens and clicks are tracked")
    adding.add_argument(
        "--sender",
        action="append",
        default=[],
        metavar="USERNAME[=NAME]",
        help="who may send, with a name for From; one that is there keeps its name unless NAME or = follows",
    )
    add_limit(adding)
    adding.add_argument(
        "--data-location", metavar="PLACE", help="make the email service if it is not there yet, with its data at this place"
    )
    add_management_options(adding, email_service=True)


def _verify(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    verify = _named(actions, "verify", "have the records looked for, and say what is wrong until they are right")
    _records_option(verify, "default: all that are not verified")
    waiting = verify.add_mutually_exclusive_group()
    waiting.add_argument("--no-wait", action="store_true", help="ask for it and be gone")
    waiting.add_argument("--wait", type=float, metavar="SECONDS", help="how long to wait; default: until it is decided")
    return verify


def _records_option(action: argparse.ArgumentParser, default: str) -> None:
    action.add_argument(
        "--record",
        action="append",
        choices=RECORDS,
        metavar="RECORD",
        default=[],
        help=f"{', '.join(RECORDS)}; {default}",
    )


def _named(actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, help_text: str) -> argparse.ArgumentParser:
    action = actions.add_parser(name, help=help_text, description=help_text[0].upper() + help_text[1:] + ".")
    action.add_argument("name", metavar="DOMAIN")
    return action


def add_limit(action: argparse.ArgumentParser) -> None:
    """The option that limits what is sent."""
    action.add_argument(
        "--limit", action="append", type=limit, metavar="UNIT/WINDOW=N",
        help="as in messages/minute=100 or recipients/day=5000; may be repeated; none=0 takes all limits away",
    )  # fmt: skip


def limit(text: str) -> dict[str, object] | None:
    """A limit as the API has it; None for the word that takes all away."""
    if text == "none=0":
        return None
    what, equals, number = text.partition("=")
    unit, slash, window = what.partition("/")
    if not equals or not slash or not number.isdecimal():
        raise argparse.ArgumentTypeError("a limit is UNIT/WINDOW=N, such as messages/minute=100")
    return {"unit": unit, "window": window, "most": int(number)}
