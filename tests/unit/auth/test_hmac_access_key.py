"""Which signed requests pass: held against the official Python client's own policy and against how other clients sign."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from azure.communication.email._shared import policy as sdk_policy
from azure.core.credentials import AzureKeyCredential
from azure.core.pipeline import PipelineContext, PipelineRequest
from azure.core.pipeline.transport import AioHttpTransport, HttpRequest, RequestsTransport

from email_core.auth.hmac_access_key import AccessKey, SignedRequest, Verified, authorization_headers, verify
from email_core.auth.principal import Principal, PrincipalKind
from tests.unit.auth.signed_requests import (
    BODY,
    DATE,
    HOST,
    KEYS,
    NOW,
    PRIMARY,
    STRANGER,
    TARGET,
    assert_denied,
    signed_request,
    twelve_line_signature,
    with_headers,
)

# --- who is it --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", KEYS, ids=["primary", "secondary", "other-service"])
def test_verify_names_the_service_the_key_and_the_host(key):
    assert verify(signed_request(key), KEYS, now=NOW) == Verified(
        Principal(PrincipalKind.ACCESS_KEY, key.service_key, key.name), HOST, key
    )


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer eyJ0eXAi.x.y", "HMAC-SHA512 x", "HMAC", "Basic HMAC-SHA256", "SharedKey a:b"]
)
def test_verify_of_another_scheme_or_none_is_left_to_other_authenticators(authorization):
    assert verify(with_headers(signed_request(), authorization=authorization), KEYS, now=NOW) is None


def test_verify_with_a_key_of_nobody_is_denied():
    assert_denied(signed_request(STRANGER))


def test_verify_without_any_keys_is_denied():
    assert_denied(signed_request(), keys=())


def test_verify_of_two_services_with_one_key_names_the_first():
    twin = AccessKey("svcz", "primary", PRIMARY.secret)
    verified = verify(signed_request(), (twin, PRIMARY), now=NOW)
    assert verified is not None
    assert verified.principal.service_key == "svcz"


# --- the official clients ---------------------------------------------------------------------------------------------


def python_sdk_request(monkeypatch, transport, method: str, url: str, content: str | None) -> HttpRequest:
    monkeypatch.setattr(sdk_policy, "get_current_utc_time", lambda: DATE)
    credential = AzureKeyCredential(base64.b64encode(PRIMARY.secret).decode())
    request = HttpRequest(method, url, data=content)
    policy = sdk_policy.HMACCredentialsPolicy(url.partition("/emails")[0], credential)
    policy.on_request(PipelineRequest(request, PipelineContext(transport)))
    return request


@pytest.mark.parametrize("transport", [RequestsTransport, AioHttpTransport], ids=["sync", "async"])
@pytest.mark.parametrize(
    ("method", "path", "content"),
    [("POST", TARGET, BODY.decode()), ("GET", "/emails/operations/7f0b1d6e?api-version=2025-09-01", None)],
    ids=["send", "status"],
)
@pytest.mark.parametrize("host", [HOST, "localhost:7443", "127.0.0.1:8080"])
async def test_verify_takes_what_the_python_client_signs(monkeypatch, transport, method, path, content, host):
    sdk_request = python_sdk_request(monkeypatch, transport(), method, f"https://{host}{path}", content)
    body = (content or "").encode()
    headers = {name.lower(): value for name, value in sdk_request.headers.items()}
    request = SignedRequest(method, path, ("other.example", host), headers, body)
    assert verify(request, KEYS, now=NOW) == Verified(Principal(PrincipalKind.ACCESS_KEY, "svca", "primary"), host, PRIMARY)


def test_authorization_headers_equal_those_of_the_python_client(monkeypatch):
    sdk_request = python_sdk_request(monkeypatch, RequestsTransport(), "POST", f"https://{HOST}{TARGET}", BODY.decode())
    for name, value in authorization_headers("post", TARGET, HOST, BODY, PRIMARY.secret, NOW).items():
        assert sdk_request.headers[name] == value


@pytest.mark.parametrize(
    ("signed_host", "arriving_host"),
    [
        (HOST, HOST),
        ("localhost:7443", "localhost:7443"),
        (HOST, f"{HOST}:443"),  # JavaScript and .NET leave a default port out
        (HOST, f"{HOST}:80"),
        (f"{HOST}:443", HOST),  # Python keeps one that its endpoint names
        (f"{HOST}:80", HOST),
        ("localhost", "localhost:7443"),  # Java leaves any port out
        ("contoso.example", "Contoso.Example"),
        ("contoso.example", "Contoso.Example:443"),
        ("Contoso.Example", "Contoso.Example"),
        ("[::1]:7443", "[::1]:7443"),
        ("[::1]", "[::1]:7443"),
    ],
)
def test_verify_takes_the_hosts_that_clients_sign_for(signed_host, arriving_host):
    verified = verify(signed_request(host=signed_host, arrives_at=(arriving_host,)), KEYS, now=NOW)
    assert verified is not None
    assert verified.host == arriving_host


@pytest.mark.parametrize(
    ("signed_host", "arriving_host"),
    [
        (HOST, "evil.example"),
        ("localhost:7443", "localhost:7444"),
        ("localhost:7443", "localhost"),
        (f"{HOST}:8443", f"{HOST}:443"),
        ("[::1]:7443", "[::2]:7443"),
        ("example", "contoso.example"),
    ],
)
def test_verify_for_another_host_is_denied(signed_host, arriving_host):
    assert_denied(signed_request(host=signed_host, arrives_at=(arriving_host,)))


def test_verify_behind_a_proxy_finds_the_public_host_among_the_candidates():
    request = signed_request(
        host="mail.contoso.example", arrives_at=("", "10.0.0.4:8080", "mail.contoso.example", "func.local")
    )
    verified = verify(request, KEYS, now=NOW)
    assert verified is not None
    assert verified.host == "mail.contoso.example"


def test_verify_prefers_the_more_trusted_of_two_hosts_that_fit():
    verified = verify(signed_request(host="localhost", arrives_at=("localhost:443", "localhost")), KEYS, now=NOW)
    assert verified is not None
    assert verified.host == "localhost:443"


def test_verify_looks_at_few_hosts_however_many_a_client_claims():
    hosts = [f"host{n}.example" for n in range(1000)]
    assert verify(signed_request(host=hosts[3], arrives_at=hosts), KEYS, now=NOW)
    assert_denied(signed_request(host=hosts[4], arrives_at=hosts))
    assert_denied(signed_request(arrives_at=("", "")))


@pytest.mark.parametrize(
    ("signed_target", "arriving_target"),
    [
        ("/emails:send?api-version=2025-09-01", "/emails%3Asend?api-version=2025-09-01"),
        ("/emails:send?api-version=2025-09-01", "/emails%3asend?api-version=2025-09-01"),
        ("/emails%3Asend?api-version=2025-09-01", "/emails:send?api-version=2025-09-01"),
        ("/emails%3Asend?api-version=2025-09-01", "/emails%3Asend?api-version=2025-09-01"),
        ("/emails:send", "/emails%3Asend"),
        ("/emails/operations/a%2Fb?api-version=1", "/emails/operations/a%2Fb?api-version=1"),
    ],
)
def test_verify_takes_the_encodings_of_a_path_that_the_functions_host_may_change(signed_target, arriving_target):
    assert verify(replace(signed_request(target=signed_target), target=arriving_target), KEYS, now=NOW)


@pytest.mark.parametrize("header", ["x-ms-date", "date"])
def test_verify_takes_the_date_of_the_header_that_is_signed(header):
    headers = twelve_line_signature(PRIMARY.secret, "POST", TARGET, DATE, HOST, BODY)
    headers["authorization"] = headers["authorization"].replace("x-ms-date", header)
    request = SignedRequest("POST", TARGET, (HOST,), {**headers, header: DATE}, BODY)
    assert verify(request, KEYS, now=NOW)
    wrong = {"date": "x-ms-date", "x-ms-date": "date"}[header]
    assert_denied(with_headers(request, **{header: None, wrong: DATE}))


@pytest.mark.parametrize(
    ("date", "at"), [("Sun, 6 Sep 2026 14:13:20 GMT", 1_788_704_000.0), ("Sun, 06 Sep 2026 14:13:20 GMT", 1_788_704_000.0)]
)
def test_verify_takes_days_with_and_without_leading_zero(date, at):
    headers = twelve_line_signature(PRIMARY.secret, "POST", TARGET, date, HOST, BODY)
    assert verify(SignedRequest("POST", TARGET, (HOST,), {**headers, "x-ms-date": date}, BODY), KEYS, now=at)


def test_verify_takes_the_scheme_and_header_names_in_any_case():
    request = signed_request()
    authorization = request.headers["authorization"]
    changed = authorization.replace("HMAC-SHA256 SignedHeaders=x-ms-date;host", "hmac-sha256 signedheaders=X-MS-Date;Host")
    assert changed != authorization
    assert verify(with_headers(request, authorization=changed), KEYS, now=NOW)
