"""Parses one request and tells what memory that took: `python -m bench.programs.parse_request FILE`.

The answer is three numbers in bytes: resident before the request was there, at most until it was parsed, and its own size.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from email_core.data_plane.send_request import parse_send_request

_SMALL = b"""{
    "senderAddress": "a@b.example",
    "content": {"subject": "s", "plainText": "t"},
    "recipients": {"to": [{"address": "c@d.example"}]}
}"""


def main() -> None:
    parse_send_request(_SMALL, max_recipients=50)  # whatever is made when it is first used
    before = _peak()
    body = Path(sys.argv[1]).read_bytes()
    parse_send_request(body, max_recipients=50)
    print(before, _peak(), len(body))


def _peak() -> int:
    # Not getrusage: Linux hands the peak of the process that started us down to us.
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    if not found:
        raise SystemExit("/proc tells no VmHWM: memory is measured on Linux only")
    return int(found[1]) * 1024


if __name__ == "__main__":
    main()
