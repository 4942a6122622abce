"""Route templates against addresses, as the Functions host matches them."""

from __future__ import annotations

import pytest

from local.routes import RouteError, parse_route


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        ("emails:send", "/emails:send", {}),
        ("emails:send", "/EMAILS:Send", {}),
        ("emails:send", "/emails:send/", {}),
        ("emails:send", "/emails:send//", None),
        ("emails:send", "/emails:sen", None),
        ("emails:send", "/emailsXsend", None),
        ("emails:send", "/x/emails:send", None),
        ("/emails:send", "/emails:send", {}),
        ("emails/operations/{id}", "/emails/operations/42", {"id": "42"}),
        ("emails/operations/{id}", "/Emails/Operations/A%2FB", {"id": "A%2FB"}),
        ("emails/operations/{id}", "/emails/operations/", None),
        ("emails/operations/{id}", "/emails/operations/a/b", None),
        ("emails/operations/{id}", "/emails//a", None),
        ("item/{x:int}", "/item/-5", {"x": "-5"}),
        ("item/{x:int}", "/item/2147483648", None),
        ("item/{x:long}", "/item/2147483648", {"x": "2147483648"}),
        ("item/{x:int}", "/item/five", None),
        ("item/{x:guid}", "/item/8f7c1a3e-0000-4000-8000-00000000abcd", {"x": "8f7c1a3e-0000-4000-8000-00000000abcd"}),
        ("item/{x:guid}", "/item/8f7c1a3e", None),
        ("item/{x:alpha:length(2)}", "/item/ab", {"x": "ab"}),
        ("item/{x:alpha:length(2)}", "/item/a1", None),
        ("item/{x:range(1,5)}", "/item/5", {"x": "5"}),
        ("item/{x:range(1,5)}", "/item/6", None),
        ("item/{x:maxlength(3)}", "/item/abcd", None),
        ("item/{x:bool}", "/item/TRUE", {"x": "TRUE"}),
        ("item/{x?}", "/item", {}),
        ("item/{x?}", "/item/", {}),
        ("item/{x?}", "/item/7", {"x": "7"}),
        ("item/{x:int?}", "/item", {}),
        ("item/{x:int?}", "/item/z", None),
        ("item/{x=7}", "/item", {"x": "7"}),
        ("item/{x=7}", "/item/8", {"x": "8"}),
        ("files/{*rest}", "/files/a/b/c", {"rest": "a/b/c"}),
        ("files/{*rest}", "/files", {}),
        ("files/{**rest}", "/files/a", {"rest": "a"}),
        ("{*rest}", "/", {}),
        ("{*rest}", "/two\nlines", {"rest": "two\nlines"}),
        ("{*rest}", "/anything/at/all", {"rest": "anything/at/all"}),
        ("domains/{name}.json", "/domains/a.b.json", {"name": "a.b"}),
        ("domains/{name}.json", "/domains/.json", None),
        ("domains/{name}:initiate", "/domains/example.com:initiate", {"name": "example.com"}),
        ("pair/{a}-{b}", "/pair/1-2-3", {"a": "1-2", "b": "3"}),
        ("/", "/", {}),
        ("/", "/x", None),
    ],
)
def test_route_against_path_binds_or_refuses(template: str, path: str, values: dict[str, str] | None) -> None:
    assert parse_route(template, ["GET"]).match("GET", path) == values


def test_route_with_prefix_answers_below_the_prefix_only() -> None:
    route = parse_route("emails:send", [], prefix="api")
    assert route.match("POST", "/api/emails:send") == {}
    assert route.match("POST", "/emails:send") is None


@pytest.mark.parametrize(
    ("methods", "method", "answers"),
    [(["POST"], "GET", False), (["POST"], "post", True), ([], "PATCH", True), (["GET"], "HEAD", False)],
)
def test_route_method_mismatch_is_no_match(methods: list[str], method: str, answers: bool) -> None:
    assert (parse_route("x", methods).match(method, "/x") is not None) is answers


@pytest.mark.parametrize(
    ("template", "word"),
    [
        ("admin/x", "admin"),
        ("Administrators", "admin"),
        ("runtime", "runtime"),
        ("a//b", "empty segment"),
        ("{*rest}/x", "whole last segment"),
        ("x{*rest}", "whole last segment"),
        ("{x?}/y", "whole last segment"),
        ("{x}/{X}", "twice"),
        ("{x:unheard}", "unheard"),
        ("{x:length(a)}", "length"),
        ("what?", "cannot be read"),
        ("{x", "cannot be read"),
        ("{}", "cannot be read"),
        ("{a b}", "parameter name"),
    ],
)
def test_route_template_that_the_host_refuses_is_refused_with_the_rule(template: str, word: str) -> None:
    with pytest.raises(RouteError, match=word):
        parse_route(template, ["GET"])
