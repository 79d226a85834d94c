"""Methods with `run="process"`: worker processes that can be killed.

A worker imports the module of the method's service and makes an instance of its own, once: by
the service's class method `for_worker()` if it has one, otherwise by calling the class without
arguments. A bare function is imported by its name. A class or function of the main module works
too, as long as that is a file and starts its server below `if __name__ == "__main__":`. What
cannot be imported by name is refused when it is registered, and so are streams.

What the server's process knows stays there: in a worker, `current_call()` has the method, the
metadata, the peer and the deadline, but neither identity nor server. Between the two travel
msgpack values, one at a time, over a pipe; nothing that a client sent is ever unpickled.

A call that is cancelled, or whose deadline passes, kills its worker; a new one starts when it is
needed. A worker that dies by itself fails its call with UNAVAILABLE, executed "maybe": whoever
called an idempotent method may try again.

Spec: protocol.md, "Cancellation" and "Limits".
"""

from __future__ import annotations

import inspect
import multiprocessing
import multiprocessing.connection
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from framerpc.codecs.envelope import packb, unpackb
from framerpc.errors import Cancelled, ConfigurationError, Status
from framerpc.server.failure import Failure, WorkerFailed
from framerpc.server.pool import Job, Pool
from framerpc.server.worker_main import READY, resolve, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from multiprocessing.connection import Connection

    from framerpc.call import Buffer, CallContext
    from framerpc.contract.service import MethodSpec

__all__ = ["ProcessWorkers", "Target", "check_importable"]

_spawn: Final = multiprocessing.get_context("spawn")

_LOOK: Final = 1.0
"""Seconds between two looks whether a worker is alive. Its end is seen at once, unless a process
that it started keeps the pipe open."""

_EXIT_GRACE: Final = 1.0
"""Seconds that an idle worker gets to exit when the server closes."""


class Target:
    """Where a worker finds a method.

    Attributes:
        module: Name of the module.
        qualname: Name of the class, or of a bare function, in it.
        attribute: Name of the method; empty for a bare function.
    """

    __slots__ = ("attribute", "module", "qualname")

    def __init__(self, module: str, qualname: str, attribute: str) -> None:
        self.module = module
        self.qualname = qualname
        self.attribute = attribute

    def __repr__(self) -> str:
        dot = "." if self.attribute else ""
        return f"<Target {self.module}:{self.qualname}{dot}{self.attribute}>"


def check_importable(spec: MethodSpec, function: Callable[..., Any]) -> Target:
    """Return where a worker process finds a method.

    Args:
        spec: Its declaration.
        function: What was registered: bound to an instance, or bare.

    Raises:
        ConfigurationError: It cannot run in another process; the text says why.
    """
    problem = _unsuited(spec, function)
    owner = getattr(function, "__self__", None)
    if owner is None or inspect.ismodule(owner):
        found: Any = function
        attribute = ""
    else:
        found = owner if inspect.isclass(owner) else type(owner)
        attribute = spec.attribute
    module = getattr(found, "__module__", None) or ""
    qualname = getattr(found, "__qualname__", "")
    problem = problem or _unimportable(found, module, qualname)
    if problem:
        raise ConfigurationError(f'{spec.name} cannot have run="process": {problem}')
    return Target(module, qualname, attribute)


def _unsuited(spec: MethodSpec, function: Callable[..., Any]) -> str | None:
    if spec.streams_in or spec.streams_out:
        return "streams do not reach worker processes; leave `run` out"
    if inspect.iscoroutinefunction(function):
        return "a worker process has no event loop; make it a plain `def`"
    return None


def _unimportable(found: Any, module: str, qualname: str) -> str | None:
    """Say why a worker cannot import a class or a function; None if it probably can."""
    if not module or not qualname:
        return f"{found!r} has no name to import it by; wrap it in a function"
    if "<lambda>" in qualname:
        return "a lambda has no name to import it by; make it a function of a module"
    if "<locals>" in qualname:
        return f"{qualname} is defined inside a function; move it to the top level of its module"
    if module == "__main__" and not _main_is_file():
        return "the main module is no file that a worker could import; move it to a module"
    # A function that is being decorated is not yet in its module, so only classes can be tried.
    if inspect.isclass(found) and resolve(sys.modules.get(module), qualname) is not found:
        return f"{module}.{qualname} is not that class; give it its own name in its module"
    return None


def _main_is_file() -> bool:
    main = sys.modules["__main__"]
    return getattr(main, "__spec__", None) is not None or hasattr(main, "__file__")


class ProcessWorkers:
    """The worker processes of one server. They are started when they are needed.

    For each there is a thread here, which writes to its pipe and waits for the answer.

    Args:
        max_processes: How many there are at most.
        max_waiting: Calls that may wait for one.
    """

    def __init__(self, max_processes: int, max_waiting: int) -> None:
        self._max_processes = max_processes
        self._max_waiting = max_waiting
        self._pool: Pool | None = None
        self._idle: list[_Worker] = []  # the last to work is the first to work again

    def __repr__(self) -> str:
        return f"<ProcessWorkers {self._pool or 'idle'}>"

    async def run(self, context: CallContext, target: Target, body: Buffer) -> bytes:
        """Run a method in a worker, and return its encoded result.

        Cancelling it drops a call that waits for a worker, and kills the worker of one that runs.

        Raises:
            ResourceExhausted: Too many calls wait already.
            WorkerFailed: The method failed, or its worker died.
        """
        if self._pool is None:
            self._pool = Pool(
                "framerpc-process",
                self._max_processes,
                self._max_waiting,
                "Limits.max_waiting_processes",
            )
        call = _Call(self._idle, context, target, body)
        reply = await self._pool.run(Job(context.method, call.run, call.stop))
        failure, result = unpackb(reply)
        if failure is not None:
            raise WorkerFailed(Failure.unpacked(failure))
        return result  # type: ignore[no-any-return]

    async def close(self) -> None:
        """Kill the workers that work, end the others, and wait until all are gone."""
        pool = self._pool
        if pool is None:
            return
        await pool.close()
        ending = Pool("framerpc-process-end", 1, 0, "")
        await ending.run(Job("ending the worker processes", self._end_idle))
        await ending.close()
        self._pool = None

    def _end_idle(self) -> None:
        idle = self._idle[:]
        self._idle.clear()
        for worker in idle:
            worker.hang_up()
        for worker in idle:
            worker.end(_EXIT_GRACE)


class _Call:
    """One call in one worker; `run` in a thread, `stop` on the loop."""

    __slots__ = ("_body", "_context", "_idle", "_lock", "_stopped", "_target", "_worker")

    def __init__(
        self, idle: list[_Worker], context: CallContext, target: Target, body: Buffer
    ) -> None:
        self._idle = idle
        self._context = context
        self._target = target
        self._body = body
        self._lock = threading.Lock()  # for what follows
        self._stopped = False
        self._worker: _Worker | None = None

    def run(self) -> bytes:
        worker = self._take()
        try:
            reply = self._exchange(worker)
        except BaseException:
            self._let_go()
            worker.kill()
            worker.end(0.0)
            raise
        if not self._let_go():
            worker.end(0.0)  # killed when it had just answered
        else:
            self._idle.append(worker)
        return reply

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            if self._worker is not None:
                self._worker.kill()

    def _take(self) -> _Worker:
        """Return a worker that is alive, and let `stop` know it."""
        worker = None
        while worker is None and self._idle:
            worker = self._idle.pop()
            if not worker.alive():
                worker.end(0.0)
                worker = None
        if worker is None:
            worker = _Worker()
        with self._lock:
            self._worker = worker
            if self._stopped:
                worker.kill()
        return worker

    def _let_go(self) -> bool:
        """Take the worker out of reach of `stop`; return False if that was too late."""
        with self._lock:
            self._worker = None
            return not self._stopped

    def _exchange(self, worker: _Worker) -> bytes:
        try:
            worker.until_ready()
            context, target = self._context, self._target
            context.started = context.now()
            request = [
                [target.module, target.qualname, target.attribute],
                context.method,
                context.remaining(),
                context.timeout,
                context.metadata,
                context.peer,
                self._body,
            ]
            worker.send(packb(request))
            return worker.receive()
        except (EOFError, OSError) as exc:
            if self._stopped:
                raise Cancelled("its worker process was killed") from None
            raise worker.death(started=bool(self._context.started)) from exc


class _Worker:
    """One worker process and our end of its pipe. Used by one thread at a time, except `kill`."""

    __slots__ = ("_pipe", "_process", "_ready")

    def __init__(self) -> None:
        self._pipe: Connection
        self._pipe, theirs = _spawn.Pipe()
        self._ready = False
        try:
            self._process = _spawn.Process(
                target=serve, args=(theirs,), name="framerpc-worker", daemon=True
            )
            with _spawning:
                with _interrupts_blocked():
                    self._process.start()
        except BaseException:
            self._pipe.close()
            raise
        finally:
            theirs.close()

    def __repr__(self) -> str:
        return f"<_Worker {self._process.pid}>"

    def alive(self) -> bool:
        return self._process.is_alive()

    def until_ready(self) -> None:
        """Wait until it has imported the main module."""
        if not self._ready:
            if self.receive() != READY:
                raise EOFError
            self._ready = True

    def send(self, message: bytes) -> None:
        self._pipe.send_bytes(message)

    def receive(self) -> bytes:
        """Wait for a message.

        Raises:
            EOFError: It died.
        """
        while not self._pipe.poll(_LOOK):
            if not self.alive() and not self._pipe.poll(0):
                raise EOFError
        return self._pipe.recv_bytes()

    def death(self, *, started: bool) -> WorkerFailed:
        """Return what its call fails with."""
        self._process.join(_EXIT_GRACE)
        code = self._process.exitcode
        how = f"exit code {code}" if code is None or code >= 0 else f"signal {-code}"
        if started:
            detail = f"the worker process died while it ran the method ({how})"
        else:
            detail = f"no worker process could be started ({how}); its stderr says why"
        return WorkerFailed(Failure(Status.UNAVAILABLE, "maybe" if started else "no", detail))

    def kill(self) -> None:
        self._process.kill()

    def hang_up(self) -> None:
        """Let it exit, if it is idle."""
        self._pipe.close()

    def end(self, grace: float) -> None:
        """Wait for its end, kill it after `grace` seconds, and leave nothing behind."""
        self._pipe.close()
        self._process.join(grace)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()


_spawning: Final = threading.Lock()
"""multiprocessing keeps a list of children without a lock."""


@contextmanager
def _interrupts_blocked() -> Generator[None, None, None]:
    """Start children with SIGINT blocked, so that Ctrl+C cannot hit them while they start."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
