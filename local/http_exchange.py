"""Between an ASGI request and the SDK's HTTP binding: what a function sees of a request, and what its answer becomes.

The rules are those of Kestrel and of the Functions host, named at each; they decide what a signature over the request can
be checked against.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl

from azure.functions.meta import Datum


class Answer(NamedTuple):
    """What goes back to the client."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


_ESCAPES = re.compile(rb"(?:%[0-9A-Fa-f]{2})+")
# What ASP.NET Core's PathString leaves as it is: unreserved characters, sub-delims, ":", "@", "/" and whole escapes.
_DEFAULT_PORTS = {"https": 443, "http": 80}
_port = re.compile(r":[0-9]+\Z")
_UNSAFE_IN_PATH = re.compile(r"%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9\-._~!$&'()*+,;=:@/%]")


class BadRequest(ValueError):
    """A request that Kestrel answers with 400 by itself."""


def decode_path(raw: bytes) -> str:
    """The path that routes are matched against: decoded by Kestrel, with `%2F` kept and what is not UTF-8 left as it was.

    So `emails%3Asend` is `emails:send`. Raises BadRequest.
    """
    if b"%00" in raw or not raw.startswith(b"/"):
        raise BadRequest("the request target is not valid")
    try:
        return _without_dot_segments(_ESCAPES.sub(_decoded, raw).decode("utf-8"))
    except UnicodeDecodeError:
        raise BadRequest("the request target is not valid") from None


def _decoded(found: re.Match[bytes]) -> bytes:
    parts = re.split(rb"(%2[Ff])", found.group())
    return b"".join(part if index % 2 else _decoded_part(part) for index, part in enumerate(parts))


def _decoded_part(part: bytes) -> bytes:
    decoded = bytes.fromhex(part.replace(b"%", b"").decode("ascii"))
    try:
        decoded.decode("utf-8")
    except UnicodeDecodeError:
        return part
    return decoded


def _without_dot_segments(path: str) -> str:
    """RFC 3986 section 5.2.4, which Kestrel applies after it has decoded."""
    if "/." not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def request_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Names in lower case, repeated headers joined by a comma, as the Functions host hands them to its worker."""
    joined: dict[str, str] = {}
    for name, value in headers:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        joined[key] = f"{joined[key]},{text}" if key in joined else text
    return joined


def with_public_host(headers: Mapping[str, str], scheme: str, server: tuple[str, int] | None) -> dict[str, str]:
    """The headers, with X-Original-Host where a client left a port out of Host that is not the default one.

    The Java client does so. In Azure the port is 443 and nothing is missing; here an address made of Host alone would lead
    nowhere.
    """
    host = headers.get("host", "")
    if not host or server is None or server[1] == _DEFAULT_PORTS.get(scheme) or _port.search(host):
        return dict(headers)
    return {"x-original-host": f"{host}:{server[1]}", **headers}


def with_client(headers: Mapping[str, str], client: tuple[str, int] | None) -> dict[str, str]:
    """The headers, with the client's address and port at the end of X-Forwarded-For, as the front end of Azure appends them."""
    if client is None:
        return dict(headers)
    host = f"[{client[0]}]" if ":" in client[0] else client[0]
    entries = [each for each in (headers.get("x-forwarded-for", ""), f"{host}:{client[1]}") if each]
    return {**headers, "x-forwarded-for": ", ".join(entries)}


def query_parameters(query: bytes) -> dict[str, str]:
    """Parameters with an empty value are dropped, repeated ones joined by a comma; names differ by more than case."""
    joined: dict[str, str] = {}
    names: dict[str, str] = {}
    for name, value in parse_qsl(query.decode("ascii", "replace")):
        name = names.setdefault(name.lower(), name)
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def request_url(scheme: str, host: str, path: str, query: bytes) -> str:
    """The `url` of the request: the decoded path encoded again, so that `%3A` comes out as `:`, and the query as sent."""
    encoded = _UNSAFE_IN_PATH.sub(lambda found: "".join(f"%{byte:02X}" for byte in found.group().encode("utf-8")), path)
    return f"{scheme}://{host}{encoded}" + (f"?{query.decode('ascii', 'replace')}" if query else "")


def http_datum(
    method: str, url: str, headers: Mapping[str, str], query: Mapping[str, str], route: Mapping[str, str], body: bytes
) -> Datum:
    """The request as the worker's HTTP converter takes it."""
    return Datum(
        type="http",
        value={
            "method": Datum(method, "string"),
            "url": Datum(url, "string"),
            "headers": {name: Datum(value, "string") for name, value in headers.items()},
            "query": {name: Datum(value, "string") for name, value in query.items()},
            "params": {name: Datum(value, "string") for name, value in route.items()},
            "body": Datum(body, "bytes"),
        },
    )


_PLAIN = (b"content-type", b"text/plain; charset=utf-8")
_HOSTS_OWN = {"content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "trailer", "date"}


def response_of(answer: Datum | None) -> Answer:
    """Status, headers and body of what a function returned; nothing at all is 204, a str is 200 and plain text."""
    if answer is None:
        return Answer(204, [], b"")
    if answer.type == "string":
        body = str(answer.value).encode("utf-8")
        return Answer(200, [_PLAIN, _length(body)], body)
    status = int(answer.value["status_code"].value)
    headers = [
        (name.encode("latin-1"), str(value.value).encode("latin-1"))
        for name, value in answer.value["headers"].items()
        if name.lower() not in _HOSTS_OWN
    ]
    for cookie in answer.value["cookies"] or ():
        headers.extend((b"set-cookie", morsel.OutputString().encode("latin-1")) for morsel in cookie.values())
    body = bytes(answer.value["body"].value)
    if status < 200 or status in (204, 304):  # RFC 9110 section 8.6: no content, and for 1xx and 204 no Content-Length either
        return Answer(status, headers, b"")
    return Answer(status, [*headers, _length(body)], body)


def _length(body: bytes) -> tuple[bytes, bytes]:
    return b"content-length", str(len(body)).encode("ascii")


def plain_answer(status: int, text: str = "") -> Answer:
    """An answer of the host's own."""
    body = text.encode("utf-8")
    return Answer(status, [_PLAIN, _length(body)] if body else [_length(body)], body)
