"""What runs in a worker process: one request after the other, until the server hangs up.

It knows its end of two pipes, and how to find a method by name; `worker_process` is the other
end, `processes` documents the rules.

Strategy: the main thread runs the methods, so that they may use signals and whatever else wants
it; another one reads, and sees at once when the server has gone.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import queue
import signal
import struct
import sys
import threading
import time
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from typing import IO, TYPE_CHECKING, Any, Final, TypeAlias

from framerpc.call import CallContext, current_context
from framerpc.codecs.envelope import packb, unpackb
from framerpc.contract.service import bound_methods, function_spec
from framerpc.errors import ConfigurationError
from framerpc.server.failure import describe
from framerpc.server.importable import resolve

if TYPE_CHECKING:
    from collections.abc import Callable

    from framerpc.contract.service import MethodSpec

__all__ = ["PREFIX", "READY", "main"]

PREFIX: Final = struct.Struct("=Q")
"""In front of each message on the pipes: its length in bytes."""

READY: Final = b"ready"
"""The first message: the worker has started."""

_LAST_WORDS: Final = 1.0
"""Seconds that a worker lives on without its server, should a method run."""

_Requests: TypeAlias = "queue.SimpleQueue[bytes | None]"


def main(setup: dict[str, Any]) -> None:
    """Answer requests until the server hangs up or dies; the worker's main function.

    Args:
        setup: What `worker_process` says of the server's process.
    """
    _settle()
    sys.argv[:] = setup["argv"]
    requests, replies = _take_pipes()
    waiting: _Requests = queue.SimpleQueue()
    reader = threading.Thread(
        target=_read, args=(requests, waiting), name="framerpc-reader", daemon=True
    )
    reader.start()
    methods = _Methods(setup)
    try:
        _send(replies, READY)
        while (request := waiting.get()) is not None:
            reply = _answer(methods, unpackb(request))
            del request
            _send(replies, reply)
            del reply
    except OSError:
        os._exit(1)  # the server has gone; there is nobody to say anything to


def _settle() -> None:
    """Leave signals and the log to the server."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave_it)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    logging.getLogger("framerpc.server").disabled = True


def _leave_it(number: int, frame: object) -> None:
    """Do nothing; not SIG_IGN, which programs that a method starts would inherit."""


def _take_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Return our two pipes, out of reach of `input` and `print`."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    try:
        os.dup2(2, 1)
    except OSError:  # there is no stderr
        os.dup2(nothing, 1)
    os.close(nothing)
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(line_buffering=True)
    return requests, replies


def _read(requests: IO[bytes], waiting: _Requests) -> None:
    while len(prefix := requests.read(PREFIX.size)) == PREFIX.size:
        waiting.put(requests.read(*PREFIX.unpack(prefix)))
    waiting.put(None)
    time.sleep(_LAST_WORDS)
    os._exit(1)


def _send(replies: IO[bytes], message: bytes) -> None:
    replies.write(PREFIX.pack(len(message)))
    replies.write(message)
    replies.flush()


def _answer(methods: _Methods, request: list[Any]) -> bytes:
    """Run one method; return its packed failure and result, of which one is None."""
    target, method, remaining, timeout, metadata, peer, body = request
    now = time.monotonic()
    context = CallContext(
        method,
        now=time.monotonic,
        arrived=now,
        deadline=None if remaining is None else now + remaining,
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
        return packb([None, spec.encode_result(result)])
    except BaseException as exc:  # noqa: BLE001  # SystemExit in a method ends its call only
        return packb([describe(exc, context, trusted=True).packed(), None])
    finally:
        context.finished = True
        current_context.reset(token)


class _Methods:
    """The methods that were called here, and the instances that they belong to."""

    def __init__(self, setup: dict[str, Any]) -> None:
        self._setup = setup
        self._has_main = False
        self._services: dict[tuple[str, str], dict[str, tuple[MethodSpec, Any]]] = {}
        self._functions: dict[tuple[str, str], tuple[MethodSpec, Any]] = {}

    def find(
        self, method: str, module: str, qualname: str, attribute: str
    ) -> tuple[MethodSpec, Callable[..., Any]]:
        """Return a method's declaration and the callable; import and make what it needs."""
        key = module, qualname
        if attribute:
            if key not in self._services:
                service = _make(self._imported(module, qualname))
                self._services[key] = {
                    spec.attribute: (spec, function) for spec, function in bound_methods(service)
                }
            return self._services[key][attribute]
        if key not in self._functions:
            function = self._imported(module, qualname)
            self._functions[key] = function_spec(function, name=method), function
        return self._functions[key]

    def _imported(self, module: str, qualname: str) -> Any:
        if module == "__main__" and not self._has_main:
            _run_main(self._setup["main"], self._setup["package"])
            self._has_main = True
        found = resolve(importlib.import_module(module), qualname)
        if found is None:
            raise ConfigurationError(f"a worker process finds no {qualname!r} in {module!r}")
        return found


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


def _run_main(path: str, package: str | None) -> None:
    """Run the server's main module under another name, so that it starts no server here."""
    name = f"{package}.__mp_main__" if package else "__mp_main__"  # as multiprocessing calls it
    spec = spec_from_loader(name, SourceFileLoader(name, path))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    before = sys.modules["__main__"]
    sys.modules["__main__"] = sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules["__main__"] = before
        raise
