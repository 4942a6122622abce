"""What a function reads of a request."""

from __future__ import annotations

import azure.functions as func
import pytest

from email_core.triggers.http_exchange import Exchange, read_exchange


def exchange(url: str = "https://internal:7071/emails:send?a=b", public_host: str = "", **headers: str) -> Exchange:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_exchange(func.HttpRequest("post", url, headers=named, body=b"{}"), public_host)


def test_hosts_keep_the_spelling_in_which_they_were_signed() -> None:
    assert exchange(host="Mail.Contoso.COM").hosts == ("Mail.Contoso.COM", "internal:7071")


def test_hosts_are_named_the_most_trusted_first_and_once_each() -> None:
    read = exchange(
        public_host="mail.contoso.com",
        x_forwarded_host="first.example, second.example",
        x_original_host="mail.contoso.com",
        host="internal:7071",
    )
    assert read.hosts == ("mail.contoso.com", "first.example", "internal:7071")


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("Mail.Contoso.COM", "mail.contoso.com"),
        ("Mail.Contoso.COM:443", "mail.contoso.com"),
        ("mail.contoso.com:80", "mail.contoso.com"),
        ("Mail.Contoso.COM:8443", "mail.contoso.com:8443"),
        ("mail.contoso.com:4430", "mail.contoso.com:4430"),
    ],
)
def test_host_names_are_in_lower_case_without_a_default_port(host: str, name: str) -> None:
    assert exchange(host=host).host_names == {name, "internal:7071"}


def test_target_is_path_and_query_as_on_the_wire() -> None:
    assert exchange().target == "/emails:send?a=b"
    assert exchange("https://mail.contoso.com").target == "/"


def test_scheme_is_what_the_client_used_before_the_proxy() -> None:
    assert exchange("http://internal/").scheme == "http"
    assert exchange("http://internal/", x_forwarded_proto="https,http").scheme == "https"


@pytest.mark.parametrize("value", ["", ",https", "ftp", "javascript:alert(1)//", "https:"])
def test_scheme_that_is_none_of_the_web_is_not_believed(value: str) -> None:
    assert exchange(x_forwarded_proto=value).scheme == "https"


def test_host_that_is_empty_is_none() -> None:
    """It would come first in every link of the answer."""
    assert exchange(x_forwarded_host=", second.example", host=" ").hosts == ("internal:7071",)


def test_client_address_is_known_only_where_the_settings_say_that_a_proxy_tells_it() -> None:
    request = func.HttpRequest("GET", "https://internal/", headers={"X-Forwarded-For": "10.0.0.9, 203.0.113.7:1"}, body=b"")
    assert read_exchange(request, "", 1).client_address == "203.0.113.7"
    assert read_exchange(request, "", 2).client_address == "10.0.0.9"
    assert read_exchange(request, "", 0).client_address == read_exchange(request, "").client_address == ""
