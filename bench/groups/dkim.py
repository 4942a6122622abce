"""DKIM: how fast messages are signed with one RSA-2048 key, relaxed/relaxed, beside other signers and beside OpenSSL alone."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bench.figures import OURS, Bench, Beside, Contender, ContenderFailed, Figure, Group
from bench.peers import missing_library, missing_node_package, missing_perl_module, missing_program
from bench.program import FOLDER, Program
from bench.programs.sign_opendkim import LIBRARY

_SECONDS = 0.5  # of signing, at least, in each round
_PATIENCE = 20.0  # seconds for a round
_OPENSSL_SECONDS = 1
_KILO, _MEGA = 1024, 1024 * 1024
_SIZES = {"2KB": 2 * _KILO, "50KB": 50 * _KILO, "1MB": _MEGA, "10MB": 10 * _MEGA}
_ODD_BODIES = {"spaces": b" ", "tabs": b"\t", "empty-lines": b"\r\n"}
_HEADER = b"""From: Contoso News <news@contoso.example>
To: Ann <ann@fabrikam.example>
Subject: What is new at Contoso this week
Date: Sun, 22 Nov 2026 01:19:43 +0000
Message-ID: <0b6cd7c2-6ab1-4f0f-a28f-7d0d0b7a2ed4@contoso.example>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 7bit
List-Unsubscribe: <https://contoso.example/unsubscribe?id=0b6cd7c2>
List-Unsubscribe-Post: List-Unsubscribe=One-Click

"""
# Some blanks are doubled, as in text that people write and in HTML that is indented: canonicalization has to change them.
_LINES = (b"The quick brown fox jumps over the lazy dog while the mail is on its way.\n" * 3) + b"  It arrives.  Soon.\n"
OPENSSL = "openssl speed rsa2048"
TEXT = f"{OURS}, 10 MB of text"


@contextmanager
def _open(bench: Bench) -> Iterator[Sequence[Figure]]:
    key = bench.scratch / "key.pem"
    private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    # The form that every signer reads; OpenDKIM's library knows no other.
    key.write_bytes(private_key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    with ExitStack() as stack:
        signers = {
            name: (missing, stack.enter_context(closing(Program([*command, str(key), "contoso.example", "s1"], bench.root))))
            for name, missing, command in _signers(bench.root)
        }
        yield [
            *(_of_size(name, _write(bench, name, _text(size)), signers) for name, size in _SIZES.items()),
            *(_of_odd_body(name, bench, blank, signers) for name, blank in _ODD_BODIES.items()),
        ]


def _signers(root: Path) -> list[tuple[str, str, list[str]]]:
    """Name, why it is missing, and the command without its arguments."""
    python = [sys.executable, "-m"]
    return [
        (OURS, "", [*python, "bench.programs.sign_postrider"]),
        ("libopendkim", missing_library(LIBRARY, "libopendkim11"), [*python, "bench.programs.sign_opendkim"]),
        ("dkimpy", "", [*python, "bench.programs.sign_dkimpy"]),
        (
            "Mail::DKIM",
            missing_perl_module("Mail::DKIM::Signer", "libmail-dkim-perl"),
            ["perl", str(FOLDER / "sign_mail_dkim.pl")],
        ),
        ("mailauth", missing_node_package(root, "mailauth"), ["node", str(FOLDER / "sign_mailauth.mjs")]),
    ]


def _text(size: int) -> bytes:
    header = _HEADER.replace(b"\n", b"\r\n")
    lines = _LINES.replace(b"\n", b"\r\n")
    return (header + lines * (size // len(lines)))[: size - 2] + b"\r\n" if size else header


def _write(bench: Bench, name: str, message: bytes) -> Path:
    path = bench.scratch / f"{name}.eml"
    path.write_bytes(message)
    return path


def _of_size(name: str, message: Path, signers: dict[str, tuple[str, Program]]) -> Figure:
    openssl = Contender(OPENSSL, _openssl_signs, missing_program("openssl", "openssl"))
    if openssl.missing:
        openssl = Contender(OPENSSL, missing=openssl.missing)
    contenders = _contenders(message, signers)
    return Figure(
        f"dkim.{name}",
        f"RSA-2048 signatures of a message of {name[:-2]} {name[-2:]}",
        "signatures/s",
        [contenders[0], openssl, *contenders[1:]],
        goals=[Beside(OPENSSL, 0.75)] if name == "2KB" else [],
    )


def _of_odd_body(name: str, bench: Bench, blank: bytes, signers: dict[str, tuple[str, Program]]) -> Figure:
    size = _SIZES["10MB"]
    odd = _write(bench, name, _text(0) + blank * (size // len(blank)) + b"end\r\n")
    contenders = _contenders(odd, signers)
    text = _contenders(bench.scratch / "10MB.eml", {OURS: signers[OURS]})[0]
    return Figure(
        f"dkim.{name}",
        f"RSA-2048 signatures of 10 MB of nothing but {name.replace('-', ' ')}",
        "signatures/s",
        [contenders[0], Contender(TEXT, text.measure), *contenders[1:]],
        goals=[Beside(TEXT, 1.0)],
    )


def _contenders(message: Path, signers: dict[str, tuple[str, Program]]) -> list[Contender]:
    hashes: dict[str, str] = {}

    def contender(name: str, missing: str, program: Program) -> Contender:
        def measure() -> float:
            done = program.do(message, _SECONDS, _PATIENCE)
            hashes[name] = done.result
            if done.result != hashes.get(OURS, done.result):
                raise ContenderFailed(f"signed another body than we did: bh={done.result}, ours is {hashes[OURS]}")
            return done.rate

        return Contender(name, missing=missing) if missing else Contender(name, measure)

    return [contender(name, missing, program) for name, (missing, program) in signers.items()]


def _openssl_signs() -> float:
    """What OpenSSL says of itself: RSA operations alone, without a message, a hash or a header."""
    command = ["openssl", "speed", "-elapsed", "-mr", "-seconds", str(_OPENSSL_SECONDS), "rsa2048"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"^\+F2:\d+:2048:([\d.]+):", done.stdout, re.MULTILINE)
    if done.returncode or not found:
        raise ContenderFailed(f"{OPENSSL} said: {(done.stderr or done.stdout).strip()[-300:]}")
    return float(found[1])


GROUP = Group(
    "dkim",
    "signing messages",
    "openssl, libopendkim and Mail::DKIM (apt), dkimpy (pip), mailauth (npm)",
    [f"dkim.{name}" for name in (*_SIZES, *_ODD_BODIES)],
    _open,
)
