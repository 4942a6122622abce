"""A Knot DNS server of the test's own, for the names that a test needs; a name in no zone of it does not exist.

Zones are lists of record lines in zone-file syntax, with names relative to their zone. Changes go through RFC 2136
updates signed with TSIG, the way an administrator's DNS would take them, and are served when the call returns.
"""

from __future__ import annotations

import base64
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.tsigkeyring
import dns.update
import dns.zone
import dns.zonefile
import pytest

from tests.kit.free_ports import free_port
from tests.kit.peers import require
from tests.kit.waiting import wait_until

HOST = "127.0.0.1"
TTL = 60  # seconds, of every record that names none
_KEY = "updates."
_PERMANENT = (dns.rdatatype.SOA, dns.rdatatype.NS)  # at the top of a zone, these stay when its content is replaced

_CONFIG = """\
server:
    rundir: "{directory}"
    listen: {host}@{port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
log:
  - target: stderr
    any: warning
database:
    storage: "{directory}"
key:
  - id: {key}
    algorithm: hmac-sha256
    secret: {secret}
acl:
  - id: changes
    key: {key}
    action: [update, transfer]
template:
  - id: default
    storage: "{directory}"
    acl: changes
    zonefile-sync: -1
    journal-content: none
zone:
"""


def missing_reason() -> str:
    """Why Knot cannot run here; empty when it can."""
    found = shutil.which("knotd") or shutil.which("knotd", path="/usr/sbin")
    return "" if found else "Knot is not installed: apt-get install knot"


def txt(value: str) -> str:
    """A TXT record's data, cut into character-strings of at most 255 octets (RFC 1035 section 3.3.14)."""
    parts = [value[i : i + 255] for i in range(0, len(value), 255)] or [""]
    return " ".join('"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"' for part in parts)


class Knot:
    """A running server; `host` and `port` answer over UDP and TCP."""

    def __init__(self, zones: Mapping[str, Sequence[str]] | None = None, *, broken: Sequence[str] = ()) -> None:
        """For the zones in `broken`, the answer is SERVFAIL. SOA and NS records are added to a zone that has none."""
        self.host = HOST
        self.port = free_port(HOST)
        self._zones = {_origin(name): list(lines) for name, lines in (zones or {}).items()}
        self._zones.setdefault(dns.name.root, [])
        self._broken = [_origin(name) for name in broken]
        self._directory = Path(tempfile.mkdtemp(prefix="knot-"))
        self._secret = base64.b64encode(secrets.token_bytes(32)).decode()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Knot:
        try:
            self._configure()
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """host:port, as the setting POSTRIDER_DNS wants it."""
        return f"{self.host}:{self.port}"

    def zone_entry(self, zone: str, *, secret: str = "", key: str = "") -> str:
        """An entry of POSTRIDER_ZONES for a zone of this server; another `secret` or `key` is not taken by it."""
        return f"rfc2136://{key or _KEY.rstrip('.')}:{secret or self._secret}@{self.host}:{self.port}/{zone}"

    def add_records(self, lines: Sequence[str]) -> None:
        """Add records given with full names to the zones that these names are in."""
        changes: dict[dns.name.Name, dns.update.UpdateMessage] = {}
        for rrset in dns.zonefile.read_rrsets("\n".join(lines), rdclass=None, default_ttl=TTL):
            origin = self._zone_of(rrset.name)
            self._change(changes, origin).add(rrset.name, rrset)
        self._apply(changes)

    def delete_records(self, name: str, rdtype: str = "ANY") -> None:
        """Delete all records of a full name, or those of one type."""
        owner = _origin(name)
        changes: dict[dns.name.Name, dns.update.UpdateMessage] = {}
        self._change(changes, self._zone_of(owner)).delete(owner, rdtype)
        self._apply(changes)

    def replace_zone(self, name: str, lines: Sequence[str]) -> None:
        """Give a zone another content in one step, so that no resolver sees a mixture; its SOA and NS records stay."""
        origin = _origin(name)
        changes: dict[dns.name.Name, dns.update.UpdateMessage] = {}
        update = self._change(changes, origin)
        for owner, rdataset in self._transferred(origin).iterate_rdatasets():
            if owner != origin or rdataset.rdtype not in _PERMANENT:
                update.delete(owner, rdataset.rdtype)
        for rrset in dns.zonefile.read_rrsets("\n".join(lines), rdclass=None, default_ttl=TTL, origin=origin):
            update.add(rrset.name, rrset)
        self._apply(changes)

    def stop(self) -> None:
        """End the server and remove its directory."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout=10.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        shutil.rmtree(self._directory, ignore_errors=True)

    def _configure(self) -> None:
        config = _CONFIG.format(
            directory=self._directory, host=self.host, port=self.port, key=_KEY.rstrip("."), secret=self._secret
        )
        for number, (origin, lines) in enumerate(self._zones.items()):
            file = self._directory / f"{number}.zone"
            file.write_text("\n".join([f"$ORIGIN {origin}", f"$TTL {TTL}", *_permanent_lines(lines), *lines, ""]))
            config += f'  - domain: "{origin}"\n    file: "{file.name}"\n'
        for origin in self._broken:
            config += f'  - domain: "{origin}"\n    file: "absent"\n'
        (self._directory / "knot.conf").write_text(config)

    def _start(self) -> None:
        program = shutil.which("knotd") or "/usr/sbin/knotd"
        log = self._directory / "knot.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [program, "-c", str(self._directory / "knot.conf")], stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        try:
            wait_until(self._serves, timeout=20.0, what="answers of Knot")
        except (TimeoutError, ChildProcessError) as error:
            raise RuntimeError(f"{error}\n{log.read_text(errors='replace')}") from None

    def _serves(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise ChildProcessError(f"Knot ended at once with {self._process.returncode}")
        for origin in self._zones:
            question = dns.message.make_query(origin, dns.rdatatype.SOA)
            try:
                answer = dns.query.tcp(question, self.host, port=self.port, timeout=1.0)
            except (OSError, dns.exception.DNSException):
                return False
            if answer.rcode() != dns.rcode.NOERROR:
                return False
        return True

    def _zone_of(self, name: dns.name.Name) -> dns.name.Name:
        return max((origin for origin in self._zones if name.is_subdomain(origin)), key=len)

    def _change(
        self, changes: dict[dns.name.Name, dns.update.UpdateMessage], origin: dns.name.Name
    ) -> dns.update.UpdateMessage:
        if origin not in changes:
            changes[origin] = dns.update.UpdateMessage(origin, keyring=self._keyring(), keyalgorithm=dns.tsig.HMAC_SHA256)
        return changes[origin]

    def _apply(self, changes: Mapping[dns.name.Name, dns.update.UpdateMessage]) -> None:
        for origin, update in changes.items():
            answer = dns.query.tcp(update, self.host, port=self.port, timeout=10.0)
            if answer.rcode() != dns.rcode.NOERROR:
                raise RuntimeError(f"Knot refused a change of {origin}: {dns.rcode.to_text(answer.rcode())}")

    def _transferred(self, origin: dns.name.Name) -> dns.zone.Zone:
        zone = dns.zone.Zone(origin, relativize=False)
        question = dns.message.make_query(origin, dns.rdatatype.AXFR)
        question.use_tsig(self._keyring(), algorithm=dns.tsig.HMAC_SHA256)
        dns.query.inbound_xfr(self.host, zone, query=question, port=self.port, timeout=10.0)
        return zone

    def _keyring(self) -> dict[dns.name.Name, dns.tsig.Key]:
        return dns.tsigkeyring.from_text({_KEY: (dns.tsig.HMAC_SHA256, self._secret)})


@pytest.fixture
def knot() -> Iterator[Knot]:
    """A server of the test's own with the zones sender.test and rcpt.test, both empty."""
    reason = missing_reason()
    require(not reason, reason)
    with Knot({"sender.test": [], "rcpt.test": []}) as server:
        yield server


def _origin(name: str) -> dns.name.Name:
    return dns.name.from_text(name.lower())


def _permanent_lines(lines: Sequence[str]) -> list[str]:
    types = {word.upper() for line in lines for word in line.split()[1:4]}
    missing = [] if "SOA" in types else ["@ SOA ns.invalid. hostmaster.invalid. 1 3600 600 86400 60"]
    return [*missing, *([] if "NS" in types else ["@ NS ns.invalid."])]
