"""The official, unmodified clients against the local world: what a program sees that changed its connection string only."""

from __future__ import annotations

import base64
import email
import email.policy
import json
import os
import ssl
import subprocess
import sys
import time
import urllib.request
import uuid
from email.message import EmailMessage
from pathlib import Path

import pytest
from azure.communication.email import EmailClient
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import HttpResponseError

from email_core.auth.hmac_access_key import authorization_headers
from tests.kit.world import ROOT, World

pytestmark = pytest.mark.peers

EXAMPLES = ROOT / "docs" / "examples"
SDK_IN_NODE = ROOT / "tests" / "kit" / "send_with_sdk.mjs"


@pytest.fixture
def trusted(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The world, with its certificates trusted by the clients in this process."""
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, world.env[name])
    return world


def request_to(world: World, subject: str, **changes: object) -> dict[str, object]:
    return {
        "senderAddress": world.sender,
        "content": {"subject": subject, "plainText": "Hello."},
        "recipients": {"to": [{"address": world.recipient, "displayName": "Zoë"}]},
        **changes,
    }


def captured(world: World, subject: str) -> EmailMessage:
    raw = world.wait_for_captured(
        lambda message: email.message_from_bytes(message, policy=email.policy.default)["Subject"] == subject
    )
    return email.message_from_bytes(raw, policy=email.policy.default)  # type: ignore[return-value]


@pytest.mark.parametrize(
    "command",
    [(sys.executable, "send.py"), ("node", "send.mjs"), ("bash", "send.sh")],
    ids=["python", "javascript", "curl"],
)
def test_example_of_the_readme_sends_text_html_attachment_and_inline_image(world: World, command: tuple[str, str]) -> None:
    program, file = command
    before = len(world.captured())
    done = world.run(program, str(EXAMPLES / file))
    assert (done.returncode, done.stderr) == (0, "")
    assert "Succeeded" in done.stdout
    raw = world.wait_for_captured(lambda message: world.captured().index(message) >= before)
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert message.get_content_type() == "multipart/mixed"
    assert message.get_body(("plain",)).get_content().startswith("A mail with text")  # type: ignore[union-attr]
    assert "cid:stamp" in message.get_body(("html",)).get_content()  # type: ignore[union-attr]
    inline = next(part for part in message.walk() if part["Content-ID"] == "<stamp>")
    assert inline.get_content_type() == "image/png"
    [attached] = [part for part in message.walk() if part.get_filename() == "list.csv"]
    assert attached.get_payload(decode=True) == b"stage,horses\r\n1,4\r\n"


def test_javascript_client_sends_everything_that_it_can(world: World) -> None:
    done = world.run("node", str(SDK_IN_NODE))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["status"] == "Succeeded"
    message = captured(world, "From the JavaScript client: ✓ größer")
    assert message["To"].addresses[0].display_name == "Jörg 受信者"
    assert message["Reply-To"].addresses[0].display_name == "Answers"
    assert message["X-Program"] == "send_with_sdk"


def test_python_client_over_https_polls_to_succeeded(trusted: World) -> None:
    subject = f"sync {uuid.uuid4()}"
    client = EmailClient.from_connection_string(trusted.connection_string)
    result = client.begin_send(request_to(trusted, subject)).result()
    assert result["status"] == "Succeeded"
    assert captured(trusted, subject)["To"].addresses[0].display_name == "Zoë"


# In a process of its own, as a customer has it: aiohttp reads SSL_CERT_FILE when it is imported.
ASYNC_PROGRAM = """
import asyncio, os, sys
from azure.communication.email.aio import EmailClient

async def main():
    message = {
        "senderAddress": os.environ["SENDER_ADDRESS"],
        "content": {"subject": sys.argv[1], "html": "<p>Hello.</p>"},
        "recipients": {"to": [{"address": os.environ["RECIPIENT_ADDRESS"]}]},
    }
    async with EmailClient.from_connection_string(os.environ["COMMUNICATION_CONNECTION_STRING_EMAIL"]) as client:
        poller = await client.begin_send(message)
        print((await poller.result())["status"])

asyncio.run(main())
"""


def test_python_async_client_over_https_polls_to_succeeded(world: World) -> None:
    subject = f"async {uuid.uuid4()}"
    done = world.run(sys.executable, "-c", ASYNC_PROGRAM, subject)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Succeeded\n", "")
    assert captured(world, subject)["Subject"] == subject


def test_python_client_over_plain_http_with_the_key_alone(trusted: World) -> None:
    subject = f"http {uuid.uuid4()}"
    key = trusted.connection_string.partition("accesskey=")[2]
    client = EmailClient(trusted.env["POSTRIDER_ENDPOINT_HTTP"], AzureKeyCredential(key))
    assert client.begin_send(request_to(trusted, subject)).result()["status"] == "Succeeded"


def test_python_client_repeats_an_operation_id_and_sends_once(trusted: World) -> None:
    subject, operation_id = f"once {uuid.uuid4()}", str(uuid.uuid4())
    client = EmailClient.from_connection_string(trusted.connection_string)
    for _ in range(3):
        result = client.begin_send(request_to(trusted, subject), operation_id=operation_id).result()
        assert result["id"] == operation_id
    captured(trusted, subject)
    assert sum(subject.encode() in message for message in trusted.captured()) == 1


def test_python_client_reads_code_target_and_details_of_a_refusal(trusted: World) -> None:
    client = EmailClient.from_connection_string(trusted.connection_string)
    bad = request_to(trusted, "bad", recipients={"to": [{"address": "no"}]}, replyTo=[{"address": "a b@c.d"}])
    with pytest.raises(HttpResponseError) as caught:
        client.begin_send(bad)
    assert caught.value.status_code == 400
    assert caught.value.error is not None
    assert caught.value.error.code == "InvalidEmailAddress"
    assert {detail.target for detail in caught.value.error.details} == {"recipients.to[0].address", "replyTo[0].address"}


def test_python_client_with_a_wrong_key_is_denied(trusted: World) -> None:
    endpoint = trusted.connection_string.partition(";")[0]
    client = EmailClient.from_connection_string(f"{endpoint};accesskey=d3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmc=")
    with pytest.raises(HttpResponseError) as caught:
        client.begin_send(request_to(trusted, "denied"))
    assert (caught.value.status_code, caught.value.error.code) == (401, "Denied")  # type: ignore[union-attr]


def test_client_that_leaves_the_port_out_of_host_can_poll_all_the_same(trusted: World) -> None:
    """The Java client signs and sends Host without the port, and follows Operation-Location to the letter."""
    body = json.dumps(request_to(trusted, f"portless {uuid.uuid4()}")).encode()
    target = "/emails:send?api-version=2025-09-01"
    key = base64.b64decode(trusted.connection_string.partition("accesskey=")[2])
    headers = authorization_headers("POST", target, "localhost", body, key, time.time())
    request = urllib.request.Request(trusted.endpoint + target, data=body, headers={**headers, "Host": "localhost"})
    context = ssl.create_default_context(cafile=trusted.env["SSL_CERT_FILE"])
    with urllib.request.urlopen(request, context=context) as response:
        assert response.status == 202
        assert response.headers["Operation-Location"].startswith(f"{trusted.endpoint}/emails/operations/")


def test_python_client_sees_the_bounce_of_a_test_recipient(trusted: World) -> None:
    client = EmailClient.from_connection_string(trusted.connection_string)
    addresses = ["delivered@simulator.postrider.test", "bounce@simulator.postrider.test", "spam@simulator.postrider.test"]
    message = request_to(trusted, "simulated", recipients={"bcc": [{"address": address} for address in addresses]})
    result = client.begin_send(message).result()
    assert [recipient["status"] for recipient in result["recipients"]] == ["Delivered", "Bounced", "FilteredSpam"]


def test_exec_ends_with_the_status_of_its_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(ROOT / "postrider"), "exec", "--", "sh", "-c", 'test -n "$COMMUNICATION_CONNECTION_STRING_EMAIL" && exit 7'],
        cwd=ROOT, env={**os.environ}, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 7, done.stderr + done.stdout
