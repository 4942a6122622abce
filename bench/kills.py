"""The long kill run: messages go in by HTTP or SMTP while what works them is killed, to a receiver that counts.

`python -m bench.kills --messages 100000 --kills 1000 --seed 1`. 0 lost, every duplicate flagged, and how many there were; the
exit status is 1 when it came out otherwise. `--door smtp` kills SMTP servers as well, and clients repeat what nobody answered.
The same runs with 2,000 messages and 100 kills, and with 300 and 30 by SMTP, are tests.
Every start of a host reads the code anew: run it where nobody edits.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.kit.kill_report import Report
from tests.kit.kill_run import run_in, run_smtp_in

MESSAGES = 100_000
KILLS = 1_000
DOORS = {"http": run_in, "smtp": run_smtp_in}


async def kill_run(messages: int, kills: int, *, progress: Callable[[str], None], seed: int = 1, door: str = "http") -> Report:
    """One run. `progress` gets a line every few seconds; the logs of what was killed stay when something was wrong."""
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    progress(f"Seed {seed}, by {door}; the logs go to {folder}")
    report = await DOORS[door](folder, messages, kills, seed=seed, tell=progress)
    if report.clean:
        shutil.rmtree(folder)
    else:
        progress(f"The logs are kept in {folder}")
    return report


def main(arguments: Sequence[str]) -> int:
    """0 when nothing was lost and every duplicate is flagged."""
    parser = argparse.ArgumentParser(prog="python -m bench.kills", description=__doc__)
    parser.add_argument("--messages", type=int, default=MESSAGES, metavar="N")
    parser.add_argument("--kills", type=int, default=KILLS, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="another one makes other messages and kills (1)")
    parser.add_argument("--door", choices=DOORS, default="http", help="by which the messages go in (http)")
    options = parser.parse_args(arguments)
    running = kill_run(options.messages, options.kills, progress=_say, seed=options.seed, door=options.door)
    report = asyncio.run(running)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    _say(f"{sum(each.ru_utime + each.ru_stime for each in used):.0f} s of processor time, all processes together")
    _say(f"\n{report}\n\n{report.markdown()}")
    return 0 if report.clean else 1


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
