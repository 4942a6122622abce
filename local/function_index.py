"""Loads `function_app` the way the official Python worker does, and says what is wrong with an app in the worker's words."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import azure.functions as func

SCRIPT = "function_app"
TRIGGERS = ("httpTrigger", "queueTrigger", "timerTrigger")
OUTPUTS = ("http", "queue")
_NAME = re.compile(r"[a-z][a-z0-9_\-]{0,127}", re.IGNORECASE)  # Functions host, FunctionDescriptor


class IndexingError(Exception):
    """An app that the Functions host would not start, or that uses a binding which this host does not have."""


Binding = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class HostedFunction:
    """One function of the app. Bindings are as in function.json; `outputs` are by name, `$return` among them."""

    name: str
    call: Callable[..., Any]
    is_async: bool
    trigger: Binding
    outputs: Mapping[str, Binding]
    wants_context: bool
    folder: str

    @property
    def trigger_type(self) -> str:
        return str(self.trigger["type"])


def converter_of(binding: Binding) -> Any:
    """The SDK's converter between a binding's data and what the function takes or returns."""
    return func.get_binding_registry().get(binding["type"])  # type: ignore[no-untyped-call]


def load_functions(root: Path) -> list[HostedFunction]:
    """All functions of the app in `root`, sorted by name ignoring case, which is the order in which routes are tried.

    Raises IndexingError; what the module itself raises while it is imported comes through.
    """
    app = _only_app(_import(root))
    try:
        # get_functions() works once for each app object: a second call finds every name taken.
        functions = app.get_functions()
    except ValueError as error:
        raise IndexingError(str(error)) from error
    hosted = [_hosted(function, root) for function in functions]
    if not hosted:
        raise IndexingError(f"no functions were found in {SCRIPT}.py")
    return sorted(hosted, key=lambda function: function.name.lower())


def _import(root: Path) -> ModuleType:
    path = root / f"{SCRIPT}.py"
    if not path.is_file():
        raise IndexingError(f"ModuleNotFoundError: there is no {SCRIPT}.py in {root}")
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    spec = importlib.util.spec_from_file_location(SCRIPT, path)
    if spec is None or spec.loader is None:
        raise IndexingError(f"{path} is no Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[SCRIPT] = module
    spec.loader.exec_module(module)
    return module


def _only_app(module: ModuleType) -> Any:
    apps = {id(value): value for value in vars(module).values() if isinstance(value, func.FunctionRegister)}
    if not apps:
        raise IndexingError(f"Could not find top level function app instances in {SCRIPT}.py.")
    if len(apps) > 1:
        raise IndexingError("More than one FunctionApp or other top level function app instances are defined.")
    return next(iter(apps.values()))


def _hosted(function: Any, root: Path) -> HostedFunction:
    name = function.get_function_name()
    if not _NAME.fullmatch(name) or name.lower() == "host":
        raise IndexingError(f"'{name}' is not a valid function name.")
    bindings = [json.loads(text) for text in function.get_raw_bindings()]
    triggers = [binding for binding in bindings if binding["type"].endswith("Trigger")]
    outputs = {binding["name"]: binding for binding in bindings if binding["direction"] == "OUT"}
    others = [binding for binding in bindings if binding not in triggers and binding["name"] not in outputs]
    for binding in triggers:
        if binding["type"] not in TRIGGERS:
            raise _unsupported(name, binding, TRIGGERS)
    for binding in (*outputs.values(), *others):
        if binding["type"] not in OUTPUTS or binding in others:
            raise _unsupported(name, binding, OUTPUTS)
    call = function.get_user_function()
    wants_context = _check_signature(name, call, triggers[0], outputs)
    return HostedFunction(
        name=name,
        call=call,
        is_async=inspect.iscoroutinefunction(call),
        trigger=triggers[0],
        outputs=outputs,
        wants_context=wants_context,
        folder=str(root),
    )


def _unsupported(name: str, binding: Binding, known: tuple[str, ...]) -> IndexingError:
    return IndexingError(
        f"cannot load the {name} function: the binding {binding['name']!r} has the type {binding['type']!r}, "
        f"which the local host does not have (it has {', '.join(known)}); run it with `--host func`"
    )


def _check_signature(name: str, call: Callable[..., Any], trigger: Binding, outputs: Mapping[str, Binding]) -> bool:
    """Whether the function takes a context. Raises IndexingError when its parameters are not its bindings."""
    parameters = set(inspect.signature(call).parameters)
    bound = {trigger["name"], *(output for output in outputs if output != "$return")}
    wants_context = "context" in parameters and "context" not in bound
    if undeclared := parameters - bound - {"context"}:
        raise _wrong(name, f"the following parameters are declared in Python but not in function.json: {_listed(undeclared)}")
    if missing := bound - parameters:
        raise _wrong(name, f"the following parameters are declared in function.json but not in Python: {_listed(missing)}")
    annotations = typing.get_type_hints(call)
    if wants_context and annotations.get("context") not in (None, func.Context):
        raise _wrong(name, 'the "context" parameter is expected to be of type azure.functions.Context')
    for binding in bound & set(annotations):
        is_out = typing.get_origin(annotations[binding]) is func.Out
        if binding in outputs and not is_out:
            raise _wrong(
                name,
                f'binding {binding} is declared to have the "out" direction, but its annotation in Python is not a subclass of '
                "azure.functions.Out",
            )
        if binding not in outputs:
            _check_input(name, trigger, annotations[binding], is_out)
    return wants_context


def _check_input(name: str, trigger: Binding, annotation: Any, is_out: bool) -> None:
    if is_out or (isinstance(annotation, type) and not converter_of(trigger).check_input_type_annotation(annotation)):
        shown = getattr(annotation, "__name__", str(annotation))
        raise _wrong(
            name,
            f'type of {trigger["name"]} binding in function.json "{trigger["type"]}" does not match its Python annotation '
            f'"{shown}"',
        )


def _wrong(name: str, what: str) -> IndexingError:
    return IndexingError(f"cannot load the {name} function: {what}")


def _listed(names: set[str]) -> str:
    return "{" + ", ".join(repr(name) for name in sorted(names)) + "}"
