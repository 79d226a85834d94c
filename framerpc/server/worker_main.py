"""What runs in a worker process: one request after the other, until the pipe ends.

It knows its end of a pipe, and how to find a method by name; `processes` is the other end and
documents the rules.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import signal
import threading
import time
from multiprocessing import connection, parent_process
from typing import TYPE_CHECKING, Any, Final

from framerpc.call import CallContext, current_context
from framerpc.codecs.envelope import packb, unpackb
from framerpc.contract.service import bound_methods, function_spec
from framerpc.errors import ConfigurationError, InvalidResult
from framerpc.server.failure import describe

if TYPE_CHECKING:
    from collections.abc import Callable

    from framerpc.contract.service import MethodSpec

__all__ = ["READY", "resolve", "serve"]

READY: Final = b"ready"
"""The first message: the worker has started."""


def serve(pipe: connection.Connection) -> None:
    """Answer requests until the server hangs up or dies; the worker's main function."""
    _settle()
    methods = _Methods()
    try:
        pipe.send_bytes(READY)
        while True:
            reply = _answer(methods, unpackb(pipe.recv_bytes()))
            pipe.send_bytes(reply)
            del reply
    except (EOFError, OSError):
        pass


def _settle() -> None:
    """Leave Ctrl+C and the log to the server, and do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    logging.getLogger("framerpc.server").disabled = True
    threading.Thread(target=_die_with_parent, name="framerpc-watch", daemon=True).start()


def _die_with_parent() -> None:
    parent = parent_process()
    assert parent is not None  # a worker has one
    connection.wait([parent.sentinel])
    os._exit(1)


def _answer(methods: _Methods, request: list[Any]) -> bytes:
    """Run one method; return its packed failure and result, of which one is None."""
    target, method, remaining, timeout, metadata, peer, body = request
    clock = time.monotonic
    context = CallContext(
        method,
        clock=clock,
        deadline=None if remaining is None else clock() + remaining,
        timeout=timeout,
        metadata=metadata,
        peer=peer,
    )
    token = current_context.set(context)
    try:
        spec, function = methods.find(method, *target)
        args, kwargs = spec.decode_arguments(body)
        context.started = context.now()
        result = function(*args, **kwargs)
        return packb([None, _encode(spec, result)])
    except BaseException as exc:  # noqa: BLE001  # SystemExit in a method ends its call only
        return packb([describe(exc, context, trusted=True).packed(), None])
    finally:
        context.finished = True
        current_context.reset(token)


def _encode(spec: MethodSpec, result: Any) -> bytes:
    try:
        return spec.encode_result(result)
    except InvalidResult as exc:
        exc.method = ""  # ours, not one of a call that the method made
        raise


class _Methods:
    """The methods that were called here, and the instances that they belong to."""

    def __init__(self) -> None:
        self._services: dict[tuple[str, str], dict[str, tuple[MethodSpec, Any]]] = {}
        self._functions: dict[tuple[str, str], tuple[MethodSpec, Any]] = {}

    def find(
        self, method: str, module: str, qualname: str, attribute: str
    ) -> tuple[MethodSpec, Callable[..., Any]]:
        """Return a method's declaration and the callable; import and make what it needs."""
        key = module, qualname
        if attribute:
            if key not in self._services:
                service = _make(_imported(module, qualname))
                self._services[key] = {
                    spec.attribute: (spec, function) for spec, function in bound_methods(service)
                }
            return self._services[key][attribute]
        if key not in self._functions:
            function = _imported(module, qualname)
            self._functions[key] = function_spec(function, name=method), function
        return self._functions[key]


def _make(service: type) -> object:
    """Return the worker's own instance of a service."""
    for_worker = getattr(service, "for_worker", None)
    if for_worker is not None:
        return for_worker()
    try:
        inspect.signature(service).bind()
    except TypeError:
        raise ConfigurationError(
            f"a worker process cannot make a {service.__qualname__} without arguments; give it a "
            "class method `for_worker()` that returns one"
        ) from None
    return service()


def _imported(module: str, qualname: str) -> Any:
    found = resolve(importlib.import_module(module), qualname)
    if found is None:
        raise ConfigurationError(f"a worker process finds no {qualname!r} in {module!r}")
    return found


def resolve(found: Any, qualname: str) -> Any:
    """Return what a dotted name means inside a module; None if nothing."""
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found
