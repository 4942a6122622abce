"""A management plane that answers as a function says, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote

SUBSCRIPTION = "00000000-0000-4000-8000-00000000000a"
TOKEN = "a-token-of-a-test"

Answering = Callable[["Asked"], "tuple[int, Any] | tuple[int, Any, dict[str, str]]"]


class Asked:
    """A request: `path` is decoded, `body` the JSON that came."""

    def __init__(self, method: str, target: str, content: bytes, headers: dict[str, str]) -> None:
        path, _, query = target.partition("?")
        self.method, self.path = method, unquote(path)
        self.query = dict(parse_qsl(query))
        self.content, self.headers = content, headers

    @property
    def body(self) -> Any:
        return json.loads(self.content or b"{}")

    def __repr__(self) -> str:
        return f"{self.method} {self.path}"


class ArmService(ThreadingHTTPServer):
    """A context manager; `asked` has every request that carried the right token."""

    daemon_threads = True

    def __init__(self, answer: Answering) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.asked: list[Asked] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> ArmService:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: ArmService

    def _answer(self) -> None:
        content = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, self.path, content, headers)
        if headers.get("authorization") != f"Bearer {TOKEN}":
            found: Any = (401, {"error": {"code": "AuthenticationFailed", "message": "Authentication failed."}})
        else:
            self.server.asked.append(asked)
            found = self.server.answer(asked)
        status, body, *more = found
        text = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in (more[0] if more else {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

    def log_message(self, *_: object) -> None:
        """Nothing to tell."""
