"""Real SMTP clients, told nothing but what `./postrider up` and `exec` tell: the variables of the environment."""

from __future__ import annotations

import base64
import json
import re
import shlex
import shutil
import sys
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

from tests.kit.world import ROOT, World

CLIENTS = ("swaks", "msmtp", "smtplib", "nodemailer")
_KIT = Path(__file__).parent


@dataclass(frozen=True)
class Letter:
    """A mail for `to`, for `hidden` as Bcc, and for `international`, whose local part is not ASCII.

    `raw`: its header has UTF-8 as it is, from a program that knows neither encoded words nor SMTPUTF8.
    """

    subject: str = field(default_factory=lambda: f"Grüße ✓ {uuid.uuid4().hex}")
    to: str = field(default_factory=lambda: f"to-{uuid.uuid4().hex}@example.com")
    hidden: str = field(default_factory=lambda: f"hidden-{uuid.uuid4().hex}@example.com")
    international: str = field(default_factory=lambda: f"jörg-{uuid.uuid4().hex}@example.com")
    text: str = "A mail with text.\n"
    html: str = "<p>A mail with <b>HTML</b>.</p>\n"
    name: str = "list.csv"
    attached: str = "stage,horses\n1,4\n"
    raw: bool = False

    @property
    def recipients(self) -> list[str]:
        return [self.to, self.hidden, self.international]

    def subject_on_the_wire(self) -> str:
        """For clients that send what they are given: in an encoded word, or raw."""
        if self.raw:
            return self.subject
        return f"=?utf-8?B?{base64.b64encode(self.subject.encode()).decode()}?="

    def written(self, sender: str) -> bytes:
        """As a program writes it that pipes its mail into a command."""
        message = EmailMessage(policy=SMTP.clone(linesep="\n", utf8=self.raw))
        message["From"], message["To"], message["Bcc"], message["Subject"] = sender, self.to, self.hidden, self.subject
        if self.raw:
            message["Organization"], message["Reply-To"] = "Büro für Grüße", f"Jörg Müller <{sender}>"
        message.set_content(self.text)
        message.add_alternative(self.html, subtype="html")
        message.add_attachment(self.attached, subtype="csv", filename=self.name)
        return message.as_bytes()


@dataclass(frozen=True)
class Sent:
    """How a client ended, and all that it said."""

    status: int
    said: str

    @property
    def operation_id(self) -> str:
        """The id in the reply to the message."""
        found = re.search(r"250 2\.0\.0 Ok: (?:already )?queued as ([0-9a-f-]{36})", self.said)
        assert found, self.said
        return found[1]


def missing_reason(client: str) -> str:
    """Why a client cannot be run here; empty when it can."""
    if client == "nodemailer":
        there, hint = (ROOT / "node_modules" / "nodemailer").is_dir(), "npm ci"
    else:
        there, hint = client == "smtplib" or shutil.which(client) is not None, f"apt-get install {client}"
    return "" if there else f"{client} is not installed: {hint}"


def send(client: str, world: World, folder: Path, letter: Letter, *, tls: bool = False, **changes: str) -> Sent:
    """Send a letter with a client, from the environment of the world with `changes`; `tls`: by the port with implicit TLS."""
    variables = {"IMPLICIT_TLS": "1"} if tls else {}
    (folder / "letter.json").write_text(json.dumps(asdict(letter)), encoding="utf-8")
    (folder / "attached").write_text(letter.attached, encoding="utf-8")
    (folder / "letter.eml").write_bytes(letter.written(changes.get("SENDER_ADDRESS", world.sender)))
    variables |= {"LETTER": str(folder / "letter.json"), "FOLDER": str(folder), **changes}
    done = world.run(*_COMMANDS[client](letter, variables), **variables)
    return Sent(done.returncode, done.stdout + done.stderr)


def _swaks(letter: Letter, variables: Mapping[str, str]) -> list[str]:
    tls = '-p "$SMTP_TLS_PORT" --tls-on-connect' if "IMPLICIT_TLS" in variables else '-p "$SMTP_PORT" --tls'
    words = [
        "--to", ",".join(letter.recipients), "--h-To", letter.to, "--h-Bcc", letter.hidden,
        "--h-Subject", letter.subject_on_the_wire(),
        "--attach-type", "text/plain", "--attach-body", letter.text,
        "--attach-type", "text/html", "--attach-body", letter.html,
        "--attach-type", "text/csv", "--attach-name", letter.name, "--attach", f"@{variables['FOLDER']}/attached",
    ]  # fmt: skip
    login = '--auth PLAIN --auth-user "$SMTP_USERNAME" --auth-password "$SMTP_PASSWORD" --from "$SENDER_ADDRESS"'
    verify = '--tls-verify --tls-ca-path "$SSL_CERT_FILE"'
    return ["sh", "-c", f'swaks --server "$SMTP_HOST" {tls} {verify} {login} {shlex.join(words)}']


def _msmtp(letter: Letter, variables: Mapping[str, str]) -> list[str]:
    port = '--port="$SMTP_TLS_PORT" --tls-starttls=off' if "IMPLICIT_TLS" in variables else '--port="$SMTP_PORT"'
    recipients = shlex.join([letter.to, letter.hidden, letter.international])
    login = '--auth=plain --user="$SMTP_USERNAME" --passwordeval="printenv SMTP_PASSWORD" --from="$SENDER_ADDRESS"'
    tls = '--tls=on --tls-trust-file="$SSL_CERT_FILE"'
    return ["sh", "-c", f'msmtp --host="$SMTP_HOST" {port} {tls} {login} --logfile=- -- {recipients} <"$FOLDER/letter.eml"']


_COMMANDS: Mapping[str, Callable[[Letter, Mapping[str, str]], list[str]]] = {
    "swaks": _swaks,
    "msmtp": _msmtp,
    "smtplib": lambda _, __: [sys.executable, str(_KIT / "send_with_smtplib.py")],
    "nodemailer": lambda _, __: ["node", str(_KIT / "send_with_nodemailer.mjs")],
}
