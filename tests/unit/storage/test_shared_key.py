"""Shared Key signatures, against those of the official clients' own policies."""

from __future__ import annotations

import base64
from urllib.parse import quote, urlencode

import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.pipeline import AsyncPipeline, PipelineContext, PipelineRequest
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.core.pipeline.transport import AioHttpTransport, RequestsTransport
from azure.core.rest import HttpRequest
from azure.data.tables._authentication import SharedKeyCredentialPolicy as TablePolicy
from azure.storage.queue._shared.authentication import SharedKeyCredentialPolicy as LongPolicy
from hypothesis import given
from hypothesis import strategies as st

from email_core.storage.account import SharedKey
from email_core.storage.entities import entity_path
from email_core.storage.shared_key import SharedKeyPolicy, long_form, short_form
from tests.kit.storage_values import keys, texts

ACCOUNT = "devstoreaccount1"
KEY = base64.b64encode(b"0123456789abcdef" * 4).decode()
ENDPOINTS = ("https://devstoreaccount1.table.core.windows.net", "http://127.0.0.1:10002/devstoreaccount1")


class Sent(Exception):
    """Stands for the request having left."""


class Stop(SansIOHTTPPolicy[HttpRequest, object]):
    """Ends a request where it would leave."""

    def on_request(self, request: PipelineRequest[HttpRequest]) -> None:
        raise Sent


async def ours(request: HttpRequest, *, short: bool) -> str:
    policy = SharedKeyPolicy(SharedKey(ACCOUNT, base64.b64decode(KEY)), short=short)
    with pytest.raises(Sent):
        await AsyncPipeline(AioHttpTransport(), [policy, Stop()]).run(request)
    return request.headers["Authorization"]


def theirs(request: HttpRequest, *, short: bool) -> str:
    """What the SDK writes for the same request with the same date, for a transport that leaves the URL alone as ours does."""
    policy = TablePolicy(AzureNamedKeyCredential(ACCOUNT, KEY)) if short else LongPolicy(ACCOUNT, KEY)
    del request.headers["Authorization"]
    policy.on_request(PipelineRequest(request, PipelineContext(RequestsTransport())))
    return request.headers["Authorization"]


@given(partition_key=keys(), row_key=keys(), endpoint=st.sampled_from(ENDPOINTS))
async def test_signature_of_a_table_request_is_that_of_the_sdk(partition_key: str, row_key: str, endpoint: str) -> None:
    url = endpoint + entity_path("things", partition_key, row_key) + "?$select=a,b"
    request = HttpRequest("PATCH", url, headers={"Content-Type": "application/json", "If-Match": "*"}, content=b"{}")
    assert await ours(request, short=True) == theirs(request, short=True)


@pytest.mark.parametrize(
    ("method", "path", "headers", "body"),
    [
        ("POST", "/items/messages?messagettl=-1&visibilitytimeout=30", {"Content-Type": "application/xml"}, b"<x/>"),
        ("GET", "/items/messages?numofmessages=32&visibilitytimeout=30", {}, b""),
        ("PUT", "/items/messages/id?popreceipt=a%2Bb%2Fc%3D%3D&visibilitytimeout=0", {}, b""),
        ("GET", "/items?comp=metadata", {}, b""),
        ("PUT", "/content/a%20b/%C3%A9", {"x-ms-blob-type": "BlockBlob", "Content-Type": "application/octet-stream"}, b"x"),
        ("PUT", "/content?restype=container", {"Content-Length": "0"}, b""),
        ("DELETE", "/content/x", {"If-Match": '"etag"'}, b""),
    ],
)
@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_signature_of_a_queue_or_blob_request_is_that_of_the_sdk(
    endpoint: str, method: str, path: str, headers: dict[str, str], body: bytes
) -> None:
    request = HttpRequest(method, endpoint + path, headers={"x-ms-version": "2020-12-06", **headers}, content=body)
    assert await ours(request, short=False) == theirs(request, short=False)


@given(texts().filter(lambda text: text.isprintable() and text.strip()))
async def test_signature_of_any_query_value_is_that_of_the_sdk(value: str) -> None:
    url = f"{ENDPOINTS[1]}/items/messages/id?" + urlencode({"popreceipt": value}, quote_via=quote, safe="")
    request = HttpRequest("DELETE", url, headers={"x-ms-version": "2020-12-06"})
    assert await ours(request, short=False) == theirs(request, short=False)


def test_short_form_is_that_of_the_documentation() -> None:
    headers = {"Content-Type": "application/json", "x-ms-date": "Sun, 11 Oct 2009 19:52:39 GMT"}
    assert short_form("testaccount1", "PUT", "https://testaccount1.table.core.windows.net/Tables", headers) == (
        "PUT\n\napplication/json\nSun, 11 Oct 2009 19:52:39 GMT\n/testaccount1/Tables"
    )
    assert short_form("a", "GET", "https://a.table.core.windows.net/?comp=properties", headers).endswith(
        "\n/a/?comp=properties"
    )


def test_long_form_is_that_of_the_documentation() -> None:
    headers = {"x-ms-version": "2015-02-21", "x-ms-date": "Fri, 26 Jun 2015 23:39:12 GMT"}
    url = "https://myaccount.blob.core.windows.net/mycontainer?restype=container&comp=metadata&timeout=20"
    assert long_form("myaccount", "GET", url, headers) == (
        "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n"
        "/myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20"
    )


@pytest.mark.parametrize(("length", "signed"), [("", ""), ("0", ""), ("12", "12")])
def test_long_form_leaves_out_a_length_of_zero(length: str, signed: str) -> None:
    headers = {"x-ms-date": "now", **({"Content-Length": length} if length else {})}
    assert long_form("a", "PUT", "https://a.queue.core.windows.net/q", headers).split("\n")[3] == signed
