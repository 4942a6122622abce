"""The functions host over real HTTP: what a function is given, and what the host answers by itself."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.certificates import Certificates, ensure_certificates
from tests.flows.host_process import ROOT, HostProcess, functions_host, prepare
from tests.kit.waiting import wait_until

APP = """
import asyncio, json, os, pathlib, threading

def echo(req, **more):
    return func.HttpResponse(json.dumps({
        "method": req.method, "url": req.url, "headers": dict(req.headers), "params": dict(req.params),
        "route": dict(req.route_params), "length": len(req.get_body()), "body": req.get_body().decode("latin-1")[:100], **more,
    }), mimetype="application/json")

@app.route("emails:send", methods=["POST"])
async def emails_send(req: func.HttpRequest) -> func.HttpResponse:
    return echo(req, function="emails_send")

@app.route("off")
async def switched_off(req: func.HttpRequest) -> func.HttpResponse:
    return echo(req, function="switched_off")

@app.route("things/{id:int}/{*rest}")
def b_things(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    return echo(req, function=context.function_name, thread=threading.current_thread().name)

@app.route("things/{name}")
async def C_by_name(req: func.HttpRequest) -> func.HttpResponse:
    return echo(req, function="C_by_name")

@app.route("things/{anything}")
async def d_never(req: func.HttpRequest) -> func.HttpResponse:
    return echo(req, function="d_never")

@app.route("breaks")
async def breaks(req: func.HttpRequest) -> func.HttpResponse:
    raise RuntimeError("a secret of the inside")

@app.route("nothing")
async def nothing(req: func.HttpRequest) -> func.HttpResponse:
    return None

@app.route("text")
async def text(req: func.HttpRequest) -> str:
    return "hello"

@app.route("teapot", methods=["GET", "HEAD"])
async def teapot(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("short and stout", status_code=418, headers={"X-Kind": "pot"})

@app.route("keyed", auth_level=func.AuthLevel.FUNCTION)
async def keyed(req: func.HttpRequest) -> str:
    return "open"

@app.route("setting")
async def setting(req: func.HttpRequest) -> str:
    return os.environ["FROM_FILE"] + " " + os.environ["FROM_BOTH"]

@app.route("slow")
async def slow(req: func.HttpRequest) -> str:
    pathlib.Path(os.environ["MARKS"], "started").touch()
    while not pathlib.Path(os.environ["MARKS"], "go").exists():
        await asyncio.sleep(0.01)
    return "finished"
"""


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return ensure_certificates(tmp_path_factory.mktemp("tls"), {})


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, tls: Certificates) -> Iterator[HostProcess]:
    folder = tmp_path_factory.mktemp("app")
    (folder / "local.settings.json").write_text(json.dumps({"Values": {"FROM_FILE": "file", "FROM_BOTH": "file"}}))
    environment = {
        "FROM_BOTH": "environment",
        "AzureWebJobs.switched_off.Disabled": "true",
        "LOCAL_FUNCTIONS_KEY": "sesame",
        "POSTRIDER_MAX_REQUEST_BYTES": "10000",
        "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": "20000",
    }
    with functions_host(folder, APP, environment=environment, tls=(tls.certificate, tls.key)) as running:
        yield running


def echoed(host: HostProcess, method: str, target: str, body: bytes | None = None, **headers: str) -> dict[str, Any]:
    status, _, content = host.request(method, target, body, {name.replace("_", "-"): value for name, value in headers.items()})
    assert status == 200, content
    return dict(json.loads(content))


@pytest.mark.parametrize("path", ["/emails:send", "/emails%3Asend", "/EMAILS:send", "/emails:send/"])
def test_host_route_with_a_colon_is_found_however_it_is_written(host: HostProcess, path: str) -> None:
    seen = echoed(host, "POST", f"{path}?api-version=2025-09-01&empty=&q=a&q=b", b"{}", X_Forwarded_Host="mail.contoso.test")
    assert seen["function"] == "emails_send"
    assert seen["params"] == {"api-version": "2025-09-01", "q": "a,b"}
    assert seen["url"].lower().rstrip("/").startswith(f"http://127.0.0.1:{host.ports['http']}/emails:send")
    assert seen["url"].endswith("?api-version=2025-09-01&empty=&q=a&q=b")
    assert seen["headers"]["x-forwarded-host"] == "mail.contoso.test"
    assert seen["body"] == "{}"


def test_host_takes_the_first_route_by_name_of_the_function_not_the_most_specific(host: HostProcess) -> None:
    assert echoed(host, "GET", "/things/7/a/b") | {"headers": {}, "url": "", "thread": ""} == {
        "method": "GET", "url": "", "headers": {}, "params": {}, "route": {"id": "7", "rest": "a/b"}, "length": 0, "body": "",
        "function": "b_things", "thread": "",
    }  # fmt: skip
    assert echoed(host, "GET", "/things/7")["function"] == "b_things"
    assert echoed(host, "DELETE", "/things/x")["function"] == "C_by_name"


def test_host_runs_sync_functions_in_threads(host: HostProcess) -> None:
    assert echoed(host, "GET", "/things/7")["thread"].startswith("function")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/emails:send", 404),  # the wrong method is not found, not refused
        ("HEAD", "/emails:send", 404),
        ("GET", "/", 404),
        ("GET", "/nowhere", 404),
        ("GET", "/a%00b", 400),
        ("GET", "/nothing", 204),
        ("HEAD", "/teapot", 418),
        ("GET", "/keyed", 401),
        ("GET", "/keyed?code=wrong", 401),
        ("GET", "/keyed?code=sesame", 200),
    ],
)
def test_host_answers_by_itself_with_status(host: HostProcess, method: str, path: str, status: int) -> None:
    assert host.request(method, path)[0] == status


def test_host_has_no_route_of_a_function_that_a_setting_disables(host: HostProcess) -> None:
    status, _, _ = host.request("GET", "/off")

    assert status == 404
    assert "Disabled by app settings: switched_off" in host.log.read_text()


def test_host_opens_a_keyed_function_to_the_header(host: HostProcess) -> None:
    assert host.request("GET", "/keyed", headers={"x-functions-key": "sesame"})[2] == b"open"


def test_host_answers_an_exception_with_an_empty_500_and_logs_it(host: HostProcess) -> None:
    status, headers, body = host.request("GET", "/breaks")
    assert (status, body, headers["content-length"]) == (500, b"", "0")
    host.said("a secret of the inside")


def test_host_passes_status_headers_and_body_of_a_response(host: HostProcess) -> None:
    status, headers, body = host.request("GET", "/teapot")
    assert (status, headers["x-kind"], headers["content-type"], body) == (
        418,
        "pot",
        "text/plain; charset=utf-8",
        b"short and stout",
    )
    assert "date" in headers
    assert "server" not in headers


def test_host_says_that_it_is_running(host: HostProcess) -> None:
    status, _, body = host.request("GET", "/admin/host/status")
    assert (status, json.loads(body)) == (200, {"state": "Running"})


def test_host_gives_app_settings_of_the_file_under_the_environment(host: HostProcess) -> None:
    assert host.request("GET", "/setting")[2] == b"file environment"


def test_host_joins_repeated_headers(host: HostProcess) -> None:
    answer = host.raw(b"GET /things/x HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-a: 2\r\nConnection: close\r\n\r\n")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["headers"]["x-a"] == "1,2"


def test_host_gives_a_chunked_request_an_empty_body(host: HostProcess) -> None:
    answer = host.raw(b"POST /emails:send HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["length"] == 0


def test_host_gives_a_body_up_to_the_limit_of_the_app_whole(host: HostProcess) -> None:
    assert echoed(host, "POST", "/emails:send", b"x" * 10_000)["length"] == 10_000


def test_host_passes_a_body_above_the_limit_of_the_app_on_unread_and_closes(host: HostProcess) -> None:
    answer = host.raw(b"POST /emails:send HTTP/1.1\r\nHost: h\r\nContent-Length: 10001\r\n\r\n" + b"x" * 10_001)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in head
    seen = json.loads(body)
    assert (seen["length"], seen["headers"]["content-length"]) == (0, "10001")


def test_host_refuses_a_body_above_its_own_limit_before_it_comes(host: HostProcess) -> None:
    with socket.create_connection(("127.0.0.1", host.ports["http"]), timeout=10) as connection:
        connection.sendall(b"POST /emails:send HTTP/1.1\r\nHost: h\r\nContent-Length: 20001\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_host_refuses_a_body_without_asking_for_it(host: HostProcess) -> None:
    with socket.create_connection(("127.0.0.1", host.ports["http"]), timeout=10) as connection:
        connection.sendall(b"POST /emails:send HTTP/1.1\r\nHost: h\r\nContent-Length: 15000\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")  # the function's own answer, and no 100 before it


def test_host_serves_https_to_clients_that_trust_the_bundle(host: HostProcess, tls: Certificates) -> None:
    context = ssl.create_default_context(cafile=str(tls.bundle))

    async def fetch() -> bytes:
        reader, writer = await asyncio.open_connection("localhost", host.ports["https"], ssl=context)
        writer.write(b"GET /things/x HTTP/1.1\r\nHost: localhost:7443\r\nConnection: close\r\n\r\n")
        return (await reader.read()).partition(b"\r\n\r\n")[2]

    assert json.loads(asyncio.run(fetch()))["url"] == "https://localhost:7443/things/x"


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_host_stop_lets_a_running_request_finish(tmp_path: Path, sign: signal.Signals) -> None:
    with functions_host(tmp_path, APP, environment={"MARKS": str(tmp_path), "FROM_BOTH": ""}) as host:
        with socket.create_connection(("127.0.0.1", host.ports["http"]), timeout=10) as connection:
            connection.sendall(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
            wait_until((tmp_path / "started").exists, timeout=10, what="start of the function")
            host.process.send_signal(sign)
            host.said("Stopping")
            (tmp_path / "go").touch()
            answer = b""
            while part := connection.recv(1000):
                answer += part
        assert answer.endswith(b"\r\n\r\nfinished")
        assert host.process.wait(10) == 0


@pytest.mark.parametrize(
    ("app", "message"),
    [
        ("second = func.FunctionApp()", "More than one FunctionApp"),
        ("@app.queue_trigger('m', 'q', 'NoSuch')\ndef f(m): ...", "'AzureWebJobsNoSuch' does not exist"),
        ("@app.timer_trigger('t', '0 %NO% * * * *')\ndef f(t): ...", "%NO%"),
        ("raise ZeroDivisionError('at import')", "ZeroDivisionError: at import"),
    ],
)
def test_host_that_cannot_run_the_app_ends_with_1_and_says_why(tmp_path: Path, app: str, message: str) -> None:
    run = subprocess.run(prepare(tmp_path, app), cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert run.returncode == 1
    assert message in run.stderr


def test_host_stops_although_a_client_keeps_an_idle_connection_open(tmp_path: Path, tls: Certificates) -> None:
    """A client that does not read does not answer the end of TLS, for which asyncio would wait for 30 seconds."""
    context = ssl.create_default_context(cafile=str(tls.bundle))
    environment = {"MARKS": str(tmp_path), "FROM_BOTH": ""}
    with (
        functions_host(tmp_path, APP, environment=environment, tls=(tls.certificate, tls.key)) as running,
        socket.create_connection(("localhost", running.ports["https"])) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(b"GET /admin/host/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        running.process.terminate()
        assert running.process.wait(10) == 0
