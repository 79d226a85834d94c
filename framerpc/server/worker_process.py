"""One worker process and our end of its pipes.

Requests go to its standard input, answers come from its standard output: two pipes that every
platform has. The process sees the end of its input when we hang up, and also when we die. It is
started by `subprocess`, because `multiprocessing` leaves a helper process behind.

This module does not know what the messages mean. It is imported when the first worker starts.

Spec: protocol.md, "Cancellation".
"""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any, Final, cast

from framerpc.server.worker_main import PREFIX, READY

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["WorkerProcess"]

_LOOK_MS: Final = 1000
"""Milliseconds between two looks whether a worker is alive. Its end is seen at once, unless a
process that it forked keeps the pipe open."""

_PROGRAM: Final = (
    "import json, sys; setup = json.loads(sys.argv[1]); sys.path[:] = setup['path']; "
    "from framerpc.server.worker_main import main; main(setup)"
)


class WorkerProcess:
    """A process that answers one message with one message.

    Used by one thread at a time, except `kill`.
    """

    __slots__ = ("_poll", "_process", "_ready", "_replies", "_requests")

    def __init__(self) -> None:
        command = [sys.executable, "-P", "-c", _PROGRAM, json.dumps(_setup())]
        with _signals_blocked():
            self._process = subprocess.Popen(  # noqa: S603  # it is this interpreter
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        self._requests = cast("IO[bytes]", self._process.stdin)
        self._replies = cast("IO[bytes]", self._process.stdout)
        self._ready = False
        self._poll: Any = None  # Windows cannot poll a pipe
        if hasattr(select, "poll"):
            self._poll = select.poll()
            self._poll.register(self._replies, select.POLLIN)

    def __repr__(self) -> str:
        return f"<WorkerProcess {self._process.pid}>"

    def alive(self) -> bool:
        """Return whether it runs."""
        return self._process.poll() is None

    def usable(self) -> bool:
        """Return whether it can take a request, having answered the last one."""
        # A worker has nothing to say until it is asked, so what can be read now is its end.
        return self.alive() and (self._poll is None or not self._poll.poll(0))

    def until_ready(self) -> None:
        """Wait until it takes requests.

        Raises:
            EOFError: It died.
        """
        if not self._ready:
            if self.receive() != READY:
                raise EOFError
            self._ready = True

    def send(self, message: bytes) -> None:
        """Send a message.

        Raises:
            OSError: It died.
        """
        self._requests.write(PREFIX.pack(len(message)))
        self._requests.write(message)
        self._requests.flush()

    def receive(self) -> bytes:
        """Wait for a message.

        Raises:
            EOFError: It died.
        """
        while self._poll is not None and not self._poll.poll(_LOOK_MS):
            if not self.alive() and not self._poll.poll(0):
                raise EOFError
        (size,) = PREFIX.unpack(self._read(PREFIX.size))
        return self._read(size)

    def _read(self, size: int) -> bytes:
        data = self._replies.read(size)
        if len(data) < size:
            raise EOFError
        return data

    def exit_code(self, grace: float) -> int | None:
        """Wait at most `grace` seconds for its end; negative: the signal that ended it."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(grace)
        return self._process.returncode

    def kill(self) -> None:
        """End it at once; from any thread, and harmless when it has ended."""
        self._process.kill()

    def hang_up(self) -> None:
        """Let it exit, if it is idle."""
        with suppress(OSError):  # it died with a request half written
            self._requests.close()

    def end(self, grace: float) -> None:
        """Wait for its end, kill it after `grace` seconds, and leave nothing behind."""
        self.hang_up()
        if self.exit_code(grace) is None:
            self._process.kill()
            self._process.wait()
        self._replies.close()


def _setup() -> dict[str, Any]:
    """Return what a worker needs to import what we can import."""
    main = sys.modules["__main__"]
    return {
        "path": sys.path,
        "argv": sys.argv,
        "main": getattr(main, "__file__", None),
        "package": getattr(main, "__package__", None),
    }


@contextmanager
def _signals_blocked() -> Generator[None, None, None]:
    """Start a child that no signal to the whole group can hit before it has its handlers."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
