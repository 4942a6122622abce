"""The capture sink over real SMTP on loopback."""

from __future__ import annotations

import json
import smtplib
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from local.certificates import ensure_certificates
from local.sink import HOST_NAME, KeepEverything, Outbox


class Sink(Controller):
    """The sink's handler in a thread of its own."""

    def __init__(self, folder: Path, **options: Any) -> None:
        super().__init__(
            KeepEverything(Outbox(folder)),
            hostname="127.0.0.1",
            port=0,
            server_hostname=HOST_NAME,
            enable_SMTPUTF8=True,
            **options,
        )

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[Sink]:
    running = Sink(tmp_path)
    running.start()
    yield running
    running.stop()


def kept(folder: Path) -> list[tuple[bytes, dict[str, Any]]]:
    return [(path.read_bytes(), json.loads(path.with_suffix(".json").read_text())) for path in sorted(folder.glob("*.eml"))]


def raw_send(port: int, content: bytes) -> tuple[int, bytes]:
    """DATA with the bytes as they are; smtplib's own would mend line ends."""
    with smtplib.SMTP("127.0.0.1", port, local_hostname="client.test") as client:
        client.ehlo()
        client.mail("bounce+a@postrider.test")
        client.rcpt("one@contoso.test")
        client.rcpt("two@contoso.test")
        client.docmd("DATA")
        client.send(content + b"\r\n.\r\n")
        return client.getreply()


def test_sink_keeps_the_bytes_as_they_came_and_the_envelope_beside_them(sink: Sink, tmp_path: Path) -> None:
    content = b"Subject: bare\r\n\r\nbare CR \r and LF \n here\r\n..dot\r\n8bit \xc3\xa9 \xff"
    code, text = raw_send(sink.port, content)
    ((bytes_kept, envelope),) = kept(tmp_path)
    assert bytes_kept == content.replace(b"\r\n..", b"\r\n.") + b"\r\n"
    assert envelope["mail_from"] == "bounce+a@postrider.test"
    assert envelope["rcpt_tos"] == ["one@contoso.test", "two@contoso.test"]
    assert (envelope["peer"], envelope["helo"], envelope["tls"]) == ("127.0.0.1", "client.test", False)
    assert datetime.fromisoformat(envelope["received_at"]).tzinfo == UTC
    assert code == 250
    assert text.decode().endswith(next(tmp_path.glob("*.eml")).name)


def test_sink_names_sort_in_the_order_of_arrival(sink: Sink, tmp_path: Path) -> None:
    for number in range(5):
        raw_send(sink.port, b"Subject: %d\r\n\r\nx" % number)
    assert [content.splitlines()[0] for content, _ in kept(tmp_path)] == [b"Subject: %d" % number for number in range(5)]
    assert len(list(tmp_path.iterdir())) == 10  # no half-written file is left


def test_sink_takes_international_addresses(sink: Sink, tmp_path: Path) -> None:
    with smtplib.SMTP("127.0.0.1", sink.port) as client:
        client.sendmail(
            "bounce@postrider.test", ["jos\u00e9@contoso.test"], b"Subject: x\r\n\r\ny\r\n", mail_options=["SMTPUTF8"]
        )
    assert kept(tmp_path)[0][1]["rcpt_tos"] == ["jos\u00e9@contoso.test"]


def test_sink_with_a_certificate_offers_starttls_and_says_so(tmp_path: Path) -> None:
    files = ensure_certificates(tmp_path / "tls", {})
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    running = Sink(tmp_path / "outbox", tls_context=context)
    running.start()
    try:
        with smtplib.SMTP("localhost", running.port) as client:
            client.starttls(context=ssl.create_default_context(cafile=str(files.bundle)))
            client.sendmail("a@postrider.test", ["b@contoso.test"], b"Subject: x\r\n\r\ny\r\n")
    finally:
        running.stop()
    assert kept(tmp_path / "outbox")[0][1]["tls"] is True


def test_sink_that_cannot_write_answers_451_so_that_the_mail_is_kept_by_the_sender(sink: Sink, tmp_path: Path) -> None:
    tmp_path.rename(tmp_path.with_name("moved"))
    code, text = raw_send(sink.port, b"Subject: x\r\n\r\ny")
    assert (code, text[:5]) == (451, b"4.3.0")


def test_outbox_keeps_messages_of_one_moment_apart(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    moment = datetime(2026, 11, 22, 4, 30, 0, 5, tzinfo=UTC)
    first, second = (outbox.keep(content, {}, moment) for content in (b"1", b"2"))
    assert first.name == "20261122T043000.000005Z-000001.eml"
    assert sorted([second, first]) == [first, second]
    assert second.read_bytes() == b"2"
