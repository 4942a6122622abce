"""How long a file and a function may get: long enough for what it has to say, short enough to be read at once."""

from __future__ import annotations

import ast

from tests.layout.sources import sources

FILE_LINES = 400
FUNCTION_LINES = 60
CODE = ("email_core", "function_app.py", "smtp_relay", "local", "bench", "postrider", "tests/kit")


def test_code_files_are_not_too_long() -> None:
    lengths = {source: len(source.path.read_text(encoding="utf-8").splitlines()) for source in sources(*CODE)}
    long = [f"{source.where(lines)}: more than {FILE_LINES} lines" for source, lines in lengths.items() if lines > FILE_LINES]

    assert long == []


def test_functions_are_not_too_long() -> None:
    long = [
        f"{source.where(node.lineno)}: {node.name} has {lines} lines, more than {FUNCTION_LINES}"
        for source in sources(*CODE)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES
    ]

    assert long == []


def test_code_that_is_measured_is_there() -> None:
    assert {source.path.name for source in sources(*CODE)} >= {"function_app.py", "settings.py", "postrider", "postfix.py"}
