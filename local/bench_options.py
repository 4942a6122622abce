"""The options of `./postrider bench`."""

from __future__ import annotations

import argparse


def add_bench_options(bench: argparse.ArgumentParser) -> None:
    """Add them to the sub-command's parser; this module needs nothing that has to be installed."""
    bench.description = (
        "Measure Postrider and, in the same run, what it is compared with. Each figure is the median of several rounds, with "
        "the least and the most. A peer that is not installed is named and left out."
    )
    bench.add_argument(
        "names", nargs="*", metavar="NAME", help="which figures; --list names them; all but the long run when none"
    )
    bench.add_argument("--list", action="store_true", help="name the figures and what each needs")
    bench.add_argument("--rounds", type=_count, default=5, metavar="N", help="rounds of each figure (5)")
    bench.add_argument("--json", action="store_true", help="for programs")
    bench.add_argument(
        "--install-peers", action="store_true", help="install the peers first (pip, npm, and apt when run as root)"
    )
    bench.add_argument("--write", action="store_true", help="put the results into bench/README.md as well")
    bench.add_argument("--messages", type=_count, default=100_000, metavar="N", help="of the long run `kills` (100000)")
    bench.add_argument("--kills", type=_count, default=1_000, metavar="N", help="of the long run `kills` (1000)")
    bench.add_argument("--door", choices=("http", "smtp"), default="http", help="of the long run `kills` (http)")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("this is a number from 1 up")
    return int(text)
