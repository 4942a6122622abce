"""The test kit proves itself: what its peers say of a message is only worth something when they say it of known messages."""

from __future__ import annotations

import base64
import email
import email.policy
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import aiosmtplib
import dkim
import dns.asyncresolver
import dns.resolver
import nacl.signing
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.kit import knot as knot_server
from tests.kit import mailauth
from tests.kit.knot import Knot, txt
from tests.kit.peers import require
from tests.kit.postfix import SCRIPTED_REPLIES, Postfix
from tests.kit.processes import processes_of_session

pytestmark = pytest.mark.peers

SENDER = "notify@sender.test"


@dataclass(frozen=True)
class Keys:
    """A key of each kind in the form that dkimpy takes, with the DNS records that publish them."""

    rsa_pem: bytes
    ed25519_seed: bytes
    records: tuple[str, ...]


@pytest.fixture(scope="module")
def keys() -> Keys:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = base64.b64encode(private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
    edwards = nacl.signing.SigningKey.generate()
    edwards_public = base64.b64encode(bytes(edwards.verify_key)).decode()
    return Keys(
        rsa_pem=private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
        ed25519_seed=base64.b64encode(bytes(edwards)),
        records=(
            f"r1._domainkey.sender.test TXT {txt('v=DKIM1; k=rsa; p=' + public)}",
            f"e1._domainkey.sender.test TXT {txt('v=DKIM1; k=ed25519; p=' + edwards_public)}",
        ),
    )


@pytest.fixture
def sender_dns(knot: Knot, keys: Keys) -> Iterator[Knot]:
    """The DNS of a sender who published everything."""
    require(not mailauth.missing_reason(), mailauth.missing_reason())
    knot.add_records(
        [
            *keys.records,
            f"sender.test TXT {txt('v=spf1 ip4:127.0.0.1 -all')}",
            f"_dmarc.sender.test TXT {txt('v=DMARC1; p=reject; adkim=s; aspf=s')}",
        ]
    )
    yield knot


def letter(name: str, recipient: str) -> bytes:
    body = "A line.\r\n..two dots\r\n.one dot\r\nblanks at the end  \t\r\n\r\nlong " + "x" * 900 + "\r\n\xe4\xf6\r\n"
    head = f"From: Notify <{SENDER}>\r\nTo: {recipient}\r\nSubject: {name}\r\nDate: Sat, 22 Nov 2026 10:00:00 +0000\r\n"
    more = f"Message-ID: <{name}@sender.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    return (head + more + "Content-Transfer-Encoding: 8bit\r\n\r\n" + body).encode()


def signed(message: bytes, keys: Keys) -> bytes:
    common = {"canonicalize": (b"relaxed", b"relaxed"), "include_headers": [b"from", b"to", b"subject", b"date", b"message-id"]}
    first = dkim.sign(message, b"r1", b"sender.test", keys.rsa_pem, **common)
    second = dkim.sign(message, b"e1", b"sender.test", keys.ed25519_seed, signature_algorithm=b"ed25519-sha256", **common)
    return bytes(first + second + message)


async def submit(server: Postfix, message: bytes, *recipients: str, reverse_path: str = SENDER) -> None:
    """One conversation over STARTTLS with a verified certificate."""
    context = ssl.create_default_context(cafile=str(server.certificate))
    async with aiosmtplib.SMTP(hostname=server.host, port=server.port, start_tls=True, tls_context=context) as client:
        options = ["SMTPUTF8"] if any(not address.isascii() for address in (reverse_path, *recipients)) else []
        await client.sendmail(reverse_path, list(recipients), message, mail_options=["BODY=8BITMIME", *options])


async def judge(message: bytes, server: Knot, *, client_ip: str = "127.0.0.1") -> dict:
    return await mailauth.verdict(
        message, client_ip=client_ip, helo="mail.sender.test", mail_from=SENDER, dns=(server.host, server.port)
    )


def body_of(message: bytes) -> bytes:
    return message.replace(b"\r\n", b"\n").partition(b"\n\n")[2]


async def test_chain_message_signed_twice_passes_everything(postfix: Postfix, sender_dns: Knot, keys: Keys) -> None:
    recipient = postfix.address("user")
    message = signed(letter("passes", recipient), keys)

    await submit(postfix, message, recipient)
    stored = await postfix.message("passes@sender.test")
    verdict = await judge(stored, sender_dns)

    assert [(row["result"], row["algorithm"], row["aligned"]) for row in verdict["dkim"]] == [
        ("pass", "rsa-sha256", "sender.test"),
        ("pass", "ed25519-sha256", "sender.test"),
    ]
    assert (verdict["spf"]["result"], verdict["dmarc"]["result"]) == ("pass", "pass")
    assert "dmarc=pass" in verdict["headers"]


async def test_chain_body_altered_on_the_way_fails_dkim(postfix: Postfix, sender_dns: Knot, keys: Keys) -> None:
    message = signed(letter("altered", postfix.address("user")), keys).replace(b"A line.", b"A lie.")

    await submit(postfix, message, postfix.address("user"))
    verdict = await judge(await postfix.message("altered@sender.test"), sender_dns)

    assert [row["result"] for row in verdict["dkim"]] == ["fail", "fail"]
    assert verdict["dmarc"]["result"] == "pass"  # by SPF alone


async def test_chain_unsigned_message_from_elsewhere_fails_dmarc(sender_dns: Knot) -> None:
    verdict = await judge(letter("forged", "user@rcpt.test"), sender_dns, client_ip="192.0.2.10")

    assert (verdict["dkim"], verdict["spf"]["result"], verdict["dmarc"]["result"]) == ([], "fail", "fail")


async def test_mailauth_dns_server_broken_gives_temporary_errors(keys: Keys) -> None:
    require(not mailauth.missing_reason(), mailauth.missing_reason())
    require(not knot_server.missing_reason(), knot_server.missing_reason())
    with Knot(broken=["sender.test"]) as server:
        verdict = await judge(signed(letter("unsure", "user@rcpt.test"), keys), server)

    assert {row["result"] for row in verdict["dkim"]} == {"temperror"}
    assert (verdict["spf"]["result"], verdict["dmarc"]["result"]) == ("temperror", "temperror")


async def test_postfix_conversation_is_encrypted_and_logged(postfix: Postfix) -> None:
    await submit(postfix, letter("encrypted", postfix.address("user")), postfix.address("user"))
    stored = await postfix.message("encrypted@sender.test")

    assert email.message_from_bytes(stored, policy=email.policy.default)["Delivered-To"] == postfix.address("user")
    assert b"with ESMTPS id" in stored  # RFC 3848: the S says STARTTLS
    assert "TLS connection established" in postfix.log()


async def test_postfix_body_of_eight_bits_and_dots_is_stored_unchanged(postfix: Postfix) -> None:
    message = letter("unchanged", postfix.address("user"))

    await submit(postfix, message, postfix.address("user"))

    assert body_of(await postfix.message("unchanged@sender.test")) == body_of(message)


async def test_postfix_internationalised_address_is_accepted(postfix: Postfix) -> None:
    recipient = postfix.address("j\xf6rg")

    await submit(postfix, letter("international", recipient), recipient)

    stored = await postfix.message("international@sender.test")
    assert f"Delivered-To: {recipient}".encode() in stored


@pytest.mark.parametrize("local", sorted(SCRIPTED_REPLIES))
async def test_postfix_scripted_recipient_fails_as_told(postfix: Postfix, local: str) -> None:
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as refused:
        await submit(postfix, letter("scripted", postfix.address(local)), postfix.address(local, "second.test"))

    reply = refused.value.recipients[0]
    code, _, text = SCRIPTED_REPLIES[local].partition(" ")
    assert reply.code == int(code)
    assert reply.message.startswith(text[:5])
    assert text[6:] in reply.message


async def test_postfix_foreign_domain_is_refused(postfix: Postfix) -> None:
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused, match="Relay access denied"):
        await submit(postfix, letter("relay", "user@elsewhere.test"), "user@elsewhere.test")


async def test_postfix_waiting_for_a_message_that_never_came_names_it(postfix: Postfix) -> None:
    with pytest.raises(TimeoutError, match=r"never@sender\.test in the Maildir"):
        await postfix.message("never@sender.test", timeout=0.1)


def test_postfix_stopped_leaves_no_process_and_no_file(postfix: Postfix) -> None:
    with Postfix("gone.test", parameters={"smtpd_tls_security_level": "none"}) as server:
        directory = server.certificate.parent
        master = int((directory / "spool" / "pid" / "master.pid").read_text().split()[0])
        assert len(processes_of_session(master)) > 1

    assert processes_of_session(master) == []
    assert not directory.exists()
    assert postfix.log()  # the other one is not affected


def test_postfix_wrong_parameter_says_why_it_did_not_start(postfix: Postfix) -> None:
    broken = Postfix("broken.test", parameters={"inet_interfaces": "192.0.2.1"})

    with pytest.raises(RuntimeError, match=r"no local interface found for 192\.0\.2\.1"):
        broken.__enter__()


def answers(server: Knot, name: str, rdtype: str = "TXT") -> list[str]:
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port, resolver.lifetime = [server.host], server.port, 5.0
    return sorted(record.to_text() for record in resolver.resolve(name, rdtype))


async def test_knot_record_longer_than_a_string_comes_back_joined(knot: Knot) -> None:
    knot.add_records([f"long.sender.test TXT {txt('a' * 600)}"])
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = [knot.host], knot.port

    record = (await resolver.resolve("long.sender.test", "TXT"))[0]

    assert b"".join(record.strings) == b"a" * 600


def test_knot_update_is_served_at_once(knot: Knot) -> None:
    knot.add_records(["sender.test TXT one"])
    knot.add_records(["sender.test TXT two", "elsewhere.test A 192.0.2.7"])

    assert answers(knot, "sender.test") == ['"one"', '"two"']
    assert answers(knot, "elsewhere.test", "A") == ["192.0.2.7"]


def test_postfix_dns_records_lead_to_it(knot: Knot, postfix: Postfix) -> None:
    knot.add_records(postfix.dns_records())

    assert answers(knot, "rcpt.test", "MX") == answers(knot, "third.test", "MX") == ["10 mx.rcpt.test."]
    assert answers(knot, "mx.rcpt.test", "A") == [postfix.host]


def test_knot_record_deleted_no_longer_exists(knot: Knot) -> None:
    knot.add_records(["gone.sender.test TXT here"])
    knot.delete_records("gone.sender.test", "TXT")

    with pytest.raises(dns.resolver.NXDOMAIN):
        answers(knot, "gone.sender.test")


def test_knot_zone_replaced_keeps_nothing_of_the_old_content() -> None:
    require(not knot_server.missing_reason(), knot_server.missing_reason())
    with Knot({"zone.test": ["@ TXT old", "old TXT old", "@ MX 10 old.test."]}) as server:
        server.replace_zone("zone.test", ["@ TXT new", "new TXT new"])

        assert answers(server, "zone.test") == ['"new"']
        assert answers(server, "new.zone.test") == ['"new"']
        with pytest.raises(dns.resolver.NXDOMAIN):
            answers(server, "old.zone.test")
        with pytest.raises(dns.resolver.NoAnswer):
            answers(server, "zone.test", "MX")


def test_knot_name_outside_every_zone_does_not_exist(knot: Knot) -> None:
    with pytest.raises(dns.resolver.NXDOMAIN):
        answers(knot, "unheard.example")


def test_knot_broken_zone_answers_server_failure() -> None:
    require(not knot_server.missing_reason(), knot_server.missing_reason())
    with Knot(broken=["broken.test"]) as server, pytest.raises(dns.resolver.NoNameservers, match="SERVFAIL"):
        answers(server, "broken.test")
