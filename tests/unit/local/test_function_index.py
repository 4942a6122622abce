"""Loading an app: what is found in it, and what is said of an app that the real worker would not start either."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

from local.function_index import IndexingError, load_functions
from local.http_server import build_routes

HEAD = "import azure.functions as func\napp = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)\n"


@pytest.fixture(autouse=True)
def _imports_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each app is a module `function_app` of its own, and no later test may meet it."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "function_app", ModuleType("function_app"))


def app(folder: Path, body: str, head: str = HEAD) -> Path:
    (folder / "function_app.py").write_text(head + textwrap.dedent(body))
    return folder


def test_index_of_a_good_app_is_sorted_by_name_ignoring_case(tmp_path: Path) -> None:
    functions = load_functions(
        app(
            tmp_path,
            """
            @app.route("z")
            def b_sync(req: func.HttpRequest) -> str: ...

            @app.function_name("C_named")
            @app.route("y", methods=["POST"])
            @app.queue_output("out", "q", "AzureWebJobsStorage")
            async def other(req: func.HttpRequest, out: func.Out[str], context: func.Context) -> func.HttpResponse: ...

            blueprint = func.Blueprint()

            @blueprint.queue_trigger("msg", "q", "AzureWebJobsStorage")
            async def a_queue(msg: func.QueueMessage): ...

            app.register_functions(blueprint)
            """,
        )
    )
    assert [function.name for function in functions] == ["a_queue", "b_sync", "C_named"]
    assert [function.trigger_type for function in functions] == ["queueTrigger", "httpTrigger", "httpTrigger"]
    assert [function.is_async for function in functions] == [True, False, True]
    assert [function.wants_context for function in functions] == [False, False, True]
    assert sorted(functions[2].outputs) == ["$return", "out"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("second = func.FunctionApp()", "More than one FunctionApp or other top level function app instances are defined"),
        ("app = None", "Could not find top level function app instances"),
        ("", "no functions were found"),
        (
            "@app.route('x')\ndef f(req, other) -> str: ...",
            "declared in Python but not in function.json: {'other'}",
        ),
        (
            "@app.route('x')\n@app.queue_output('out', 'q', 'AzureWebJobsStorage')\ndef f(req) -> str: ...",
            "declared in function.json but not in Python: {'out'}",
        ),
        ("@app.route('x')\ndef f(req: func.QueueMessage) -> str: ...", "does not match its Python annotation"),
        ("@app.route('x')\ndef f(req: func.HttpRequest, context: str) -> str: ...", "azure.functions.Context"),
        (
            "@app.route('x')\n@app.queue_output('out', 'q', 'AzureWebJobsStorage')\ndef f(req, out: str) -> str: ...",
            "is not a subclass of azure.functions.Out",
        ),
        ("@app.blob_trigger('b', 'path', 'AzureWebJobsStorage')\ndef f(b): ...", "'b' has the type 'blobTrigger'"),
        (
            "@app.route('x')\n@app.blob_output('b', 'path', 'AzureWebJobsStorage')\ndef f(req, b) -> str: ...",
            "'b' has the type 'blob'",
        ),
        (
            "@app.route('x')\n@app.blob_input('b', 'path', 'AzureWebJobsStorage')\ndef f(req, b) -> str: ...",
            "'b' has the type 'blob'",
        ),
        (
            "@app.route('x')\ndef f(req): ...\n@app.function_name('f')\n@app.route('y')\ndef g(req): ...",
            "does not have a unique function name",
        ),
        ("@app.function_name('9lives')\n@app.route('y')\ndef g(req): ...", "'9lives' is not a valid function name"),
    ],
)
def test_index_of_a_wrong_app_says_what_the_worker_says(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(IndexingError) as raised:
        load_functions(app(tmp_path, body))
    assert message in str(raised.value)


def test_index_without_a_module_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(IndexingError, match=r"ModuleNotFoundError: there is no function_app\.py"):
        load_functions(tmp_path)


def test_index_lets_the_errors_of_the_module_through(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        load_functions(app(tmp_path, "1 / 0"))


def test_routes_default_to_the_name_of_the_function(tmp_path: Path) -> None:
    routes = build_routes(load_functions(app(tmp_path, "@app.route()\ndef hello(req): ...")), "api")
    assert [(route.template, function.name) for route, function in routes] == [("api/hello", "hello")]


@pytest.mark.parametrize(
    ("second", "conflict"),
    [("route='X', methods=['POST', 'GET']", True), ("route='x'", True), ("route='x', methods=['PUT']", False)],
)
def test_routes_with_one_template_conflict_when_their_methods_meet(tmp_path: Path, second: str, conflict: bool) -> None:
    functions = load_functions(
        app(tmp_path, f"@app.route('x', methods=['GET'])\ndef a(req): ...\n@app.route({second})\ndef b(req): ...")
    )
    if conflict:
        with pytest.raises(IndexingError, match="conflicts with the route of 'a'"):
            build_routes(functions, "")
    else:
        assert len(build_routes(functions, "")) == 2


def test_routes_that_the_host_keeps_for_itself_are_refused(tmp_path: Path) -> None:
    functions = load_functions(app(tmp_path, "@app.route('administrators')\ndef a(req): ..."))
    with pytest.raises(IndexingError, match=r"cannot load the a function: .*admin"):
        build_routes(functions, "")
