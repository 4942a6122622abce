from __future__ import annotations

import pytest

from email_core.delivery.routes import MxRoute, RouteError, SmarthostRoute, TlsMode, is_loopback, parse_routes
from email_core.settings import Secret, SettingsError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mx", MxRoute()),
        ("smarthost://relay.test", SmarthostRoute("relay.test", 587, TlsMode.OPPORTUNISTIC)),
        ("smarthost://relay.test:25", SmarthostRoute("relay.test", 25, TlsMode.OPPORTUNISTIC)),
        ("smarthost://Relay.Test./", SmarthostRoute("relay.test", 587, TlsMode.OPPORTUNISTIC)),
        ("smarthost://user:pw@relay.test", SmarthostRoute("relay.test", 587, TlsMode.REQUIRED, "user", Secret("pw"))),
        ("smarthost://user:pw@relay.test:25", SmarthostRoute("relay.test", 25, TlsMode.REQUIRED, "user", Secret("pw"))),
        ("smarthost://user:pw@relay.test:465", SmarthostRoute("relay.test", 465, TlsMode.IMPLICIT, "user", Secret("pw"))),
        ("smarthost://relay.test?tls=implicit", SmarthostRoute("relay.test", 465, TlsMode.IMPLICIT)),
        ("smarthost://relay.test?tls=required", SmarthostRoute("relay.test", 587, TlsMode.REQUIRED)),
        ("smarthost://relay.test:2525?tls=off", SmarthostRoute("relay.test", 2525, TlsMode.OFF)),
        ("smarthost://u:p@127.0.0.1:25?tls=off", SmarthostRoute("127.0.0.1", 25, TlsMode.OFF, "u", Secret("p"))),
        ("smarthost://u:p@[::1]:25?tls=off", SmarthostRoute("::1", 25, TlsMode.OFF, "u", Secret("p"))),
        ("smarthost://a%40b.test:p%3Aa%2Cs%2Fs%25@relay.test",
         SmarthostRoute("relay.test", 587, TlsMode.REQUIRED, "a@b.test", Secret("p:a,s/s%"))),
        ("smarthost://user:a:b@relay.test", SmarthostRoute("relay.test", 587, TlsMode.REQUIRED, "user", Secret("a:b"))),
        ("capture://127.0.0.1:1025", SmarthostRoute("127.0.0.1", 1025, TlsMode.OFF, capture=True)),
    ],
)  # fmt: skip
def test_route_is_read(text: str, expected: object) -> None:
    assert parse_routes(text) == (expected,)


def test_routes_keep_their_order() -> None:
    assert [route.name for route in parse_routes("smarthost://a, smarthost://u:p@b:465 ,mx,capture://[::1]:25,")] == [
        "smarthost://a:587",
        "smarthost://b:465",
        "mx",
        "capture://[::1]:25",
    ]


SECRET = "hunter2"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        (" , ", "is empty"),
        ("mxx", "is none of mx"),
        (f"user:{SECRET}@relay.test", "is none of mx"),
        (f"smtp://user:{SECRET}@relay.test", "is none of mx"),
        (f"smarthost://user:{SECRET}@relay.test:port", "is none of mx"),
        (f"smarthost://user:a@{SECRET}@relay.test", "is none of mx"),
        (f"smarthost://user:{SECRET}/x@relay.test", "percent-encoding"),
        (f"smarthost://user:{SECRET}?x@relay.test", "percent-encoding"),
        (f"smarthost://user:{SECRET},more@relay.test", "is none of mx"),
        (f"smarthost://user:{SECRET}%0d%0aQUIT@relay.test", "control characters"),
        (f"smarthost://{SECRET}@relay.test", "both a user and a password"),
        (f"smarthost://:{SECRET}@relay.test", "percent-encoding"),
        (f"smarthost://user:{SECRET}@relay.test:70000", "port"),
        ("smarthost://relay.test:0", "port"),
        (f"smarthost://relay.test?{SECRET}", "the only option is tls"),
        (f"smarthost://relay.test?tls={SECRET}", "tls must be one of opportunistic, required, implicit, off"),
        (f"smarthost://user:{SECRET}@relay.test?tls=off", "could be read on the way"),
        (f"smarthost://user:{SECRET}@relay.test?tls=opportunistic", "could be read on the way"),
        (f"smarthost://user:{SECRET}@127.0.0.1?tls=opportunistic", "could be read on the way"),
        (f"smarthost://user:{SECRET}@127.0.0.1.evil.test?tls=off", "could be read on the way"),
        ("capture://127.0.0.1", "needs its port"),
        (f"capture://user:{SECRET}@127.0.0.1:25", "neither a user nor options"),
        ("smarthost://", "is none of mx"),
        ("smarthost://relay test", "is none of mx"),
    ],
)
def test_route_that_is_written_wrong_is_refused_without_showing_a_secret(text: str, said: str) -> None:
    with pytest.raises(RouteError, match=said) as refused:
        parse_routes(text)
    assert "POSTRIDER_ROUTES" in str(refused.value)
    assert SECRET not in str(refused.value)
    assert isinstance(refused.value, SettingsError)


def test_error_names_the_entry() -> None:
    with pytest.raises(RouteError, match="entry 2"):
        parse_routes("mx, wrong, mx")


def test_route_shows_no_password() -> None:
    [route] = parse_routes(f"smarthost://user:{SECRET}@relay.test")
    assert SECRET not in repr(route)
    assert SECRET not in route.name
    assert "user" not in route.name


@pytest.mark.parametrize(
    ("host", "yes"),
    [("localhost", True), ("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("127.0.0.1.evil.test", False),
     ("localhost.evil.test", False), ("10.0.0.1", False), ("127.1", False)],
)  # fmt: skip
def test_loopback_is_known_by_the_whole_name(host: str, yes: bool) -> None:
    assert is_loopback(host) is yes
