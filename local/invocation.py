"""Runs one function: converts its input with the SDK's own converters, calls it, and sends its queue outputs."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import os
import threading
import uuid
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import azure.functions as func
from azure.functions.meta import Datum

from local.function_index import Binding, HostedFunction, converter_of

SendToQueue = Callable[[Binding, "str | bytes"], Awaitable[None]]
"""Enqueues one message at the queue that an output binding names."""

_log = logging.getLogger("local.host")


class InvocationError(Exception):
    """A function that returned or set what its bindings do not take."""


class Invoker:
    """Runs functions for all triggers. `function_timeout` is in seconds, None when unbounded."""

    def __init__(self, send_to_queue: SendToQueue, function_timeout: float | None, thread_count: int | None = None) -> None:
        self._send_to_queue = send_to_queue
        self._function_timeout = function_timeout
        # The default of the Python worker when PYTHON_THREADPOOL_THREAD_COUNT is not set.
        threads = thread_count or min(32, (os.cpu_count() or 1) + 4)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="function")
        self.on_finished: list[Callable[[], None]] = []  # called when a function has run

    def close(self) -> None:
        """Let go of the threads; functions that still run in one are not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def invoke(self, function: HostedFunction, data: Datum, metadata: Mapping[str, Datum]) -> Datum | None:
        """What the function returned, encoded for `$return`, or None.

        Raises whatever the function raises, TimeoutError when it ran longer than functionTimeout, InvocationError.
        """
        invocation_id = str(uuid.uuid4())
        arguments = {function.trigger["name"]: converter_of(function.trigger).decode(data, trigger_metadata=metadata)}
        outputs = {name: _Output() for name in function.outputs if name != "$return"}
        arguments.update(outputs)
        if function.wants_context:
            arguments["context"] = InvocationContext(function, invocation_id)
        _log.debug("Executing %s (Id=%s)", function.name, invocation_id)
        async with asyncio.timeout(self._function_timeout):
            returned = await self._call(function, arguments)
        answer = await self._send_outputs(function, {name: output.get() for name, output in outputs.items()}, returned)
        for tell in self.on_finished:
            tell()
        return answer

    async def _call(self, function: HostedFunction, arguments: Mapping[str, Any]) -> Any:
        if function.is_async:
            return await function.call(**arguments)
        inside = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: inside.run(function.call, **arguments))

    async def _send_outputs(self, function: HostedFunction, values: dict[str, Any], returned: Any) -> Datum | None:
        if returned is not None and "$return" not in function.outputs:
            raise InvocationError(f"function '{function.name}' without a $return binding returned a non-None value")
        answer = None
        for name, value in {**values, "$return": returned}.items():
            if value is None:
                continue
            binding = function.outputs[name]
            datum = converter_of(binding).encode(value, expected_type=None)
            if binding["type"] == "http":
                answer = datum
            else:
                for message in _queue_messages(function, name, datum):
                    await self._send_to_queue(binding, message)
        return answer


def _queue_messages(function: HostedFunction, name: str, datum: Datum) -> list[str | bytes]:
    """A str or bytes is one message, a list of str one message for each."""
    if datum.type in ("string", "bytes"):
        return [datum.value]
    items = json.loads(datum.value)
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise InvocationError(
            f"function '{function.name}': the output {name!r} takes a str, bytes, or a list of str in the local host"
        )
    return list(items)


class _Output(func.Out[Any]):
    def __init__(self) -> None:
        self._value: Any = None

    def set(self, val: Any) -> None:
        self._value = val

    def get(self) -> Any:
        return self._value


class InvocationContext(func.Context):
    """The `context` parameter of a function. There is no caller's trace and no retry on one machine."""

    _threads = threading.local()

    def __init__(self, function: HostedFunction, invocation_id: str) -> None:
        self._function = function
        self._invocation_id = invocation_id

    @property
    def invocation_id(self) -> str:
        return self._invocation_id

    @property
    def thread_local_storage(self) -> Any:
        return self._threads

    @property
    def function_name(self) -> str:
        return self._function.name

    @property
    def function_directory(self) -> str:
        return self._function.folder

    @property
    def trace_context(self) -> Any:
        return None

    @property
    def retry_context(self) -> Any:
        return None
