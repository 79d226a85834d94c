"""Methods with `run="process"`: worker processes that can be killed.

A worker imports the module of the method's service and makes an instance of its own, once: by
the service's class method `for_worker()` if it has one, otherwise by calling the class without
arguments. A bare function is imported by its name. A class or function of the main module works
too, as long as that is a file and starts its server below `if __name__ == "__main__":`. What
cannot be imported by name is refused when it is registered, and so are streams.

What the server's process knows stays there: in a worker, `current_call()` has the method, the
metadata, the peer and the deadline, but neither identity nor server. Between the two travel
msgpack values, one at a time, over a pipe; nothing is ever unpickled. What a method prints goes
to stderr.

A call that is cancelled, or whose deadline passes, kills its worker; a new one starts when it is
needed. A worker that dies by itself fails its call with UNAVAILABLE, executed "maybe": whoever
called an idempotent method may try again. SIGINT and SIGTERM do not end a worker: they go to the
whole group of processes, and what becomes of the calls is for the server to decide.

Spec: protocol.md, "Cancellation" and "Limits".
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from framerpc.codecs.envelope import packb, unpackb
from framerpc.errors import Cancelled, Status
from framerpc.server.failure import Failure, WorkerFailed
from framerpc.server.pool import Job, Pool

if TYPE_CHECKING:
    from framerpc.call import Buffer, CallContext
    from framerpc.server.importable import Target
    from framerpc.server.worker_process import WorkerProcess

__all__ = ["ProcessWorkers"]

_EXIT_GRACE: Final = 1.0
"""Seconds that an idle worker gets to exit when the server closes."""


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
        self._idle: list[WorkerProcess] = []  # the last to work is the first to work again

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
        self, idle: list[WorkerProcess], context: CallContext, target: Target, body: Buffer
    ) -> None:
        self._idle = idle
        self._context = context
        self._target = target
        self._body = body
        self._lock = threading.Lock()  # for what follows
        self._stopped = False
        self._worker: WorkerProcess | None = None

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

    def _take(self) -> WorkerProcess:
        """Return a worker that is alive, and let `stop` know it."""
        worker = None
        while worker is None and self._idle:
            worker = self._idle.pop()
            if not worker.usable():
                worker.end(0.0)
                worker = None
        if worker is None:
            worker = _start()
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

    def _exchange(self, worker: WorkerProcess) -> bytes:
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
            raise _death(worker, started=self._context.started is not None) from exc


def _start() -> WorkerProcess:
    from framerpc.server.worker_process import (  # noqa: PLC0415  # few servers have workers
        WorkerProcess,
    )

    try:
        return WorkerProcess()
    except OSError as exc:
        detail = f"no worker process could be started: {exc}"
        raise WorkerFailed(Failure(Status.UNAVAILABLE, "no", detail)) from exc


def _death(worker: WorkerProcess, *, started: bool) -> WorkerFailed:
    """Return what the call of a worker that died fails with."""
    code = worker.exit_code(_EXIT_GRACE)
    how = f"exit code {code}" if code is None or code >= 0 else f"signal {-code}"
    if started:
        detail = f"the worker process died while it ran the method ({how})"
    else:
        detail = f"no worker process could be started ({how}); its stderr says why"
    return WorkerFailed(Failure(Status.UNAVAILABLE, "maybe" if started else "no", detail))
