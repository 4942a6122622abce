"""The options of `./postrider doctor`."""

from __future__ import annotations

import argparse


def add_doctor_options(doctor: argparse.ArgumentParser) -> None:
    """Add them to the sub-command's parser; this module needs nothing that has to be installed."""
    doctor.description = (
        "Look at this machine and at the installation that the app settings name, and print a line for each check, with a "
        "remedy where something is wrong. What depends on the network is tried from this machine: run it where the functions "
        "run. Nothing is changed, and no mail is sent."
    )
    doctor.add_argument("--json", action="store_true", help="for programs")
    doctor.add_argument(
        "--probe-domain",
        default="gmail.com",
        metavar="DOMAIN",
        help="whose mail servers are asked for to see whether port 25 is open (gmail.com); its greeting is read, nothing more",
    )
    doctor.add_argument(
        "--time-server",
        default="time.windows.com",
        metavar="HOST[:PORT]",
        type=_time_server,
        help="an NTP server to compare the clock with (time.windows.com), beside storage; empty for none",
    )
    doctor.add_argument("--offline", action="store_true", help="leave out what leaves this machine and its storage")


def _time_server(text: str) -> str:
    from local.doctor.sntp import split_time_server

    try:
        if text:
            split_time_server(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a host, or host:port with a port from 1 to 65535; it is {text!r}") from None
    return text
