"""MIME: how fast a message is composed, beside the standard library's EmailMessage and nodemailer's composer.

All start from what a web service holds when it has read a request: texts, and attachments in base64. All end with the bytes of
the message.
"""

from __future__ import annotations

import base64
import json
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from bench.figures import OURS, Bench, Beside, Contender, ContenderFailed, Figure, Group
from bench.peers import missing_node_package
from bench.program import FOLDER, Program

_SECONDS = 0.5  # of composing, at least, in each round
_PATIENCE = 60.0  # seconds for a round
_ATTACHMENT = 5 * 1024 * 1024
EMAIL_MESSAGE, NODEMAILER = "EmailMessage", "nodemailer"
_PARAGRAPH = (
    "Dear Ann, your order 4711 left our warehouse this morning and should be with you on Thursday. "
    "You can follow it on our page, and change the day of delivery there until tomorrow at noon. "
)


@contextmanager
def _open(bench: Bench) -> Iterator[Sequence[Figure]]:
    python = [sys.executable, "-m"]
    commands = {
        OURS: ("", [*python, "bench.programs.compose_postrider"]),
        EMAIL_MESSAGE: ("", [*python, "bench.programs.compose_email_message"]),
        NODEMAILER: (missing_node_package(bench.root, "nodemailer"), ["node", str(FOLDER / "compose_nodemailer.mjs")]),
    }
    with ExitStack() as stack:
        composers = {
            name: (missing, stack.enter_context(closing(Program(command, bench.root))))
            for name, (missing, command) in commands.items()
        }
        yield [
            Figure(
                "mime.12KB",
                "messages of 12 KB composed: a text of 4 KB and HTML of 8 KB",
                "messages/s",
                _contenders(_write(bench, "12KB", attachment=b""), composers),
                goals=[Beside(EMAIL_MESSAGE, 10.0), Beside(NODEMAILER, 10.0)],
            ),
            Figure(
                "mime.5MB",
                "messages composed with an attachment of 5 MB, held in base64",
                "messages/s",
                _contenders(_write(bench, "5MB", attachment=random.Random(1).randbytes(_ATTACHMENT)), composers),
                goals=[Beside(EMAIL_MESSAGE, 5.0), Beside(NODEMAILER, 1.0)],
            ),
        ]


def _write(bench: Bench, name: str, attachment: bytes) -> Path:
    """What a request said, as JSON."""
    file = {
        "name": "report.pdf", "contentType": "application/pdf", "contentInBase64": base64.b64encode(attachment).decode(),
    }  # fmt: skip
    paragraph = f"<p style='color: #333'>{_PARAGRAPH}</p>\n"
    held = {
        "from": "news@contoso.example",
        "to": "ann@fabrikam.example",
        "subject": "Your order 4711 is on its way",
        "text": "\n\n".join([_PARAGRAPH] * (4096 // len(_PARAGRAPH))),
        "html": f"<html><body>{paragraph * (8192 // len(paragraph))}</body></html>",
        "messageId": "<0b6cd7c2-6ab1-4f0f-a28f-7d0d0b7a2ed4@contoso.example>",
        "date": 1_795_310_383.0,
        "attachments": [file] if attachment else [],
    }
    path = bench.scratch / f"{name}.json"
    path.write_text(json.dumps(held))
    return path


def _contenders(held: Path, composers: dict[str, tuple[str, Program]]) -> list[Contender]:
    content = json.loads(held.read_text())
    least = len(content["text"]) + len(content["html"]) + sum(len(file["contentInBase64"]) for file in content["attachments"])

    def contender(name: str, missing: str, program: Program) -> Contender:
        def measure() -> float:
            done = program.do(held, _SECONDS, _PATIENCE)
            if int(done.result) < least:
                raise ContenderFailed(f"composed {done.result} bytes of a content of {least}")
            return done.rate

        return Contender(name, missing=missing) if missing else Contender(name, measure)

    return [contender(name, missing, program) for name, (missing, program) in composers.items()]


GROUP = Group(
    "mime",
    "composing messages",
    "nodemailer (npm)",
    ["mime.12KB", "mime.5MB"],
    _open,
)
