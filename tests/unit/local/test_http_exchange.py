"""What a function sees of a request and what its answer becomes, without a server."""

from __future__ import annotations

import azure.functions as func
import pytest
from azure.functions.meta import Datum

from local.function_index import converter_of
from local.http_exchange import (
    Answer,
    BadRequest,
    decode_path,
    http_datum,
    query_parameters,
    request_headers,
    request_url,
    response_of,
    with_client,
    with_public_host,
)


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/emails:send", "/emails:send"),
        (b"/emails%3Asend", "/emails:send"),
        (b"/emails%3asend", "/emails:send"),
        (b"/a%2Fb%2fc", "/a%2Fb%2fc"),  # a slash stays encoded, as it was written
        (b"/a%3A%2F%3A", "/a:%2F:"),
        (b"/%C3%A9t%C3%A9", "/été"),
        (b"/%C3", "/%C3"),  # not UTF-8: left alone
        (b"/100%", "/100%"),
        (b"/%zz", "/%zz"),
        (b"/a+b", "/a+b"),
        (b"/a/../b", "/b"),
        (b"/a/./b", "/a/b"),
        (b"/a/%2e%2e/b", "/b"),
        (b"/../..", "/"),
        (b"/a/..", "/"),
        (b"/a/.hidden", "/a/.hidden"),
        (b"/", "/"),
    ],
)
def test_path_is_decoded_as_kestrel_does(raw: bytes, path: str) -> None:
    assert decode_path(raw) == path


@pytest.mark.parametrize("raw", [b"/a%00b", b"*", b"", b"/\xff"])
def test_path_that_kestrel_refuses_is_a_bad_request(raw: bytes) -> None:
    with pytest.raises(BadRequest):
        decode_path(raw)


@pytest.mark.parametrize(
    ("path", "query", "url"),
    [
        ("/emails:send", b"api-version=2025-09-01", "https://host:7443/emails:send?api-version=2025-09-01"),
        ("/été", b"", "https://host:7443/%C3%A9t%C3%A9"),
        ("/a b", b"q=%3A+x", "https://host:7443/a%20b?q=%3A+x"),
        ("/a%2Fb", b"", "https://host:7443/a%2Fb"),
        ("/100%", b"", "https://host:7443/100%25"),
        ('/"<>', b"", "https://host:7443/%22%3C%3E"),
    ],
)
def test_url_holds_the_path_encoded_again_and_the_query_as_it_was_sent(path: str, query: bytes, url: str) -> None:
    assert request_url("https", "host:7443", path, query) == url


def test_headers_are_lower_case_and_repeated_ones_joined() -> None:
    assert request_headers([(b"Accept", b"a"), (b"X-One", b"\xe9"), (b"accept", b"b, c")]) == {"accept": "a,b, c", "x-one": "é"}


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        (b"", {}),
        (b"a=1&b=2", {"a": "1", "b": "2"}),
        (b"a=&b", {}),  # the Functions host drops what has no value
        (b"a=1&a=2&A=3", {"a": "1,2,3"}),
        (b"q=a+b%2Bc", {"q": "a b+c"}),
    ],
)
def test_query_parameters_are_those_with_a_value(query: bytes, parameters: dict[str, str]) -> None:
    assert query_parameters(query) == parameters


def test_http_datum_becomes_the_request_that_the_sdk_gives_to_functions() -> None:
    datum = http_datum("POST", "http://h/x", {"content-type": "application/json"}, {"q": "1"}, {"id": "7"}, b'{"a": 1}')
    request = converter_of({"type": "httpTrigger"}).decode(datum, trigger_metadata={})
    assert (request.method, request.url, request.params["q"], request.route_params["id"]) == ("POST", "http://h/x", "1", "7")
    assert request.headers["Content-Type"] == "application/json"
    assert request.get_body() == b'{"a": 1}'
    assert request.get_json() == {"a": 1}


def answer_to(returned: object) -> Answer:
    return response_of(converter_of({"type": "http"}).encode(returned, expected_type=None))


def test_response_of_nothing_is_204_without_a_length() -> None:
    assert response_of(None) == Answer(204, [], b"")


def test_response_of_a_string_is_plain_text() -> None:
    assert answer_to("hé") == Answer(
        200, [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"3")], "hé".encode()
    )


def test_response_headers_of_the_connection_are_the_hosts_own() -> None:
    headers = {"Retry-After": "1", "Connection": "close", "Content-Length": "99"}
    response = func.HttpResponse(b"{}", status_code=202, mimetype="application/json", headers=headers)
    assert answer_to(response) == Answer(
        202, [(b"Retry-After", b"1"), (b"content-type", b"application/json"), (b"content-length", b"2")], b"{}"
    )


def test_response_cookies_are_the_one_header_that_may_repeat() -> None:
    response = func.HttpResponse("", headers={})
    response.headers.add("Set-Cookie", "a=1; Path=/; HttpOnly")
    response.headers.add("Set-Cookie", "b=2")
    cookies = [value for name, value in answer_to(response).headers if name == b"set-cookie"]
    assert cookies == [b"a=1; HttpOnly; Path=/", b"b=2"]


@pytest.mark.parametrize("status", [204, 304])
def test_response_without_content_has_neither_body_nor_length(status: int) -> None:
    answer = answer_to(func.HttpResponse("ignored", status_code=status))
    assert answer.body == b""
    assert b"content-length" not in dict(answer.headers)


def test_response_of_a_plain_datum_keeps_a_str_as_it_is() -> None:
    assert response_of(Datum("x", "string")).body == b"x"


@pytest.mark.parametrize(
    ("scheme", "host", "port", "original"),
    [
        ("https", "localhost", 7443, "localhost:7443"),
        ("https", "localhost:7443", 7443, None),
        ("https", "localhost", 443, None),
        ("http", "localhost", 80, None),
        ("http", "[::1]", 7071, "[::1]:7071"),
        ("https", "", 7443, None),
    ],
)
def test_public_host_gets_the_port_that_a_client_left_out(scheme: str, host: str, port: int, original: str | None) -> None:
    headers = with_public_host({"host": host} if host else {}, scheme, ("127.0.0.1", port))
    assert headers.get("x-original-host") == original


@pytest.mark.parametrize(
    ("came", "client", "goes"),
    [
        ("", ("127.0.0.1", 4711), "127.0.0.1:4711"),
        ("", ("::1", 4711), "[::1]:4711"),
        ("203.0.113.7", ("127.0.0.1", 4711), "203.0.113.7, 127.0.0.1:4711"),
        ("203.0.113.7", None, "203.0.113.7"),
    ],
)
def test_client_is_appended_to_the_addresses_that_came(came: str, client: tuple[str, int] | None, goes: str) -> None:
    headers = with_client({"x-forwarded-for": came}, client)
    assert headers["x-forwarded-for"] == goes


def test_client_that_is_not_known_leaves_the_headers_alone() -> None:
    assert with_client({"host": "localhost"}, None) == {"host": "localhost"}
