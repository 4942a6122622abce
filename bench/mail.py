"""The message that the mail figures send, as the requests that carry it to Postrider and to the stand-ins for SES."""

from __future__ import annotations

import json
import time
import uuid
from urllib.parse import urlencode

from email_core.auth.hmac_access_key import authorization_headers

API_VERSION = "2025-09-01"
RECIPIENT = "ann@fabrikam.test"
SENDER = "news@contoso.example"  # of the peers; ours sends as the domain that is provisioned
_LINE = "The quick brown fox jumps over the lazy dog while the mail is on its way.\r\n"
TEXT = (_LINE * 28)[:2046] + "\r\n"  # 2 KB
_SES_HEADERS = {
    # Neither of them checks a signature; both want to see that there is one, and moto finds its service by it.
    "Authorization": "AWS4-HMAC-SHA256 Credential=bench/20261122/us-east-1/ses/aws4_request, SignedHeaders=host, Signature=00",
}


def send_request(port: int, sender: str, access_key: bytes, number: int) -> str:
    """`POST /emails:send` of Postrider, signed now, as an official client sends it."""
    target, host = f"/emails:send?api-version={API_VERSION}", f"localhost:{port}"
    message = {
        "senderAddress": sender,
        "content": {"subject": subject(number), "plainText": TEXT},
        "recipients": {"to": [{"address": RECIPIENT}]},
    }
    body = json.dumps(message).encode()
    signed = authorization_headers("POST", target, host, body, access_key, time.time())
    headers = {**signed, "Content-Type": "application/json", "x-ms-client-request-id": str(uuid.uuid4())}
    return _request(target, host, headers, body)


def ses_v1_request(port: int, number: int) -> str:
    """SendEmail of the SES API, version 1, which is what moto's server is asked most often."""
    fields = {
        "Action": "SendEmail", "Version": "2010-12-01", "Source": SENDER, "Destination.ToAddresses.member.1": RECIPIENT,
        "Message.Subject.Data": subject(number), "Message.Body.Text.Data": TEXT,
    }  # fmt: skip
    headers = {**_SES_HEADERS, "Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    return _request("/", f"127.0.0.1:{port}", headers, urlencode(fields).encode())


def ses_identity_request(port: int) -> str:
    """What moto wants to know before it takes mail from a sender."""
    fields = {"Action": "VerifyEmailIdentity", "Version": "2010-12-01", "EmailAddress": SENDER}
    headers = {**_SES_HEADERS, "Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    return _request("/", f"127.0.0.1:{port}", headers, urlencode(fields).encode())


def ses_v2_request(port: int, number: int) -> str:
    """SendEmail of the SES API, version 2."""
    message = {
        "FromEmailAddress": SENDER,
        "Destination": {"ToAddresses": [RECIPIENT]},
        "Content": {"Simple": {"Subject": {"Data": subject(number)}, "Body": {"Text": {"Data": TEXT}}}},
    }
    headers = {**_SES_HEADERS, "Content-Type": "application/json"}
    return _request("/v2/email/outbound-emails", f"127.0.0.1:{port}", headers, json.dumps(message).encode())


def mime_message() -> str:
    """The same message for who takes SMTP."""
    head = f"From: {SENDER}\r\nTo: {RECIPIENT}\r\nSubject: {subject(0)}\r\n"
    head += "Date: Sun, 22 Nov 2026 01:19:43 +0000\r\nMessage-ID: <bench@contoso.example>\r\nMIME-Version: 1.0\r\n"
    return head + 'Content-Type: text/plain; charset="utf-8"\r\n\r\n' + TEXT


def subject(number: int) -> str:
    return f"What is new at Contoso this week, number {number}"


def _request(target: str, host: str, headers: dict[str, str], body: bytes) -> str:
    fields = {"Host": host, "Accept": "application/json", "User-Agent": "bench", **headers, "Content-Length": str(len(body))}
    head = f"POST {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return head + "\r\n" + body.decode("latin-1")
