"""What the tests of worker processes call; a module of its own, which a worker imports quickly."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import framerpc

__all__ = ["Needy", "Streams", "Uploads", "Waits", "Work", "WorkFailed", "dial", "double"]

_held: list[socket.socket] = []


@framerpc.error(name="tests.WorkFailed")
@dataclass(eq=False)
class WorkFailed(framerpc.CallError):
    code: int


def dial(port: int) -> socket.socket:
    """Tell the test our number; it sees the end of the connection when this process ends."""
    line = socket.create_connection(("127.0.0.1", port))
    line.sendall(b"%d\n" % os.getpid())
    return line


@framerpc.service
class Work:
    def __init__(self, made_by: str) -> None:
        self.made_by = made_by

    @classmethod
    def for_worker(cls) -> Work:
        return cls("for_worker")

    @framerpc.method(run="process")
    def maker(self) -> str:
        return self.made_by

    @framerpc.method(run="process")
    def pid(self) -> int:
        return os.getpid()

    @framerpc.method(run="process")
    def add(self, a: int, b: int = 1) -> int:
        return a + b

    @framerpc.method(run="process")
    def size(self, data: bytes) -> bytes:
        return data * 2

    @framerpc.method(run="process")
    def declared(self, code: int) -> None:
        raise WorkFailed(code)

    @framerpc.method(run="process")
    def undeclared(self) -> float:
        return 1 / int("0")

    @framerpc.method(run="process")
    def wrong(self) -> int:
        return object()  # type: ignore[return-value]

    @framerpc.method(run="process")
    def leave(self) -> None:
        sys.exit(3)

    @framerpc.method(run="process")
    def die(self, code: int) -> None:
        os._exit(code)

    @framerpc.method(run="process")
    def known(self) -> tuple[str, dict[str, str], float | None, float, bool]:
        call = framerpc.current_call()
        assert call.started is not None
        waited = call.started - call.arrived
        return call.method, call.metadata, call.remaining(), waited, call.server is None

    @framerpc.method(run="process")
    def talk(self) -> str:
        print("what a method prints")  # noqa: T201
        return sys.stdin.read()

    @framerpc.method(run="process")
    def spin(self, port: int) -> None:
        _held.append(dial(port))
        while True:
            pass

    @framerpc.method(run="process")
    def wait(self, port: int) -> str:
        with dial(port) as line:
            return line.recv(100).decode()

    @framerpc.method(run="process")
    def hold(self, port: int) -> int:
        _held.append(dial(port))
        return os.getpid()


@framerpc.service
class Needy:
    def __init__(self, something: str) -> None:
        self.something = something

    @framerpc.method(run="process")
    def get(self) -> str:
        return self.something


def double(number: int) -> int:
    return number * 2


@framerpc.service
class Streams:
    @framerpc.method(run="process")
    def count(self) -> Iterator[int]:
        yield 1


@framerpc.service
class Waits:
    @framerpc.method(run="process")
    async def nothing(self) -> None:
        pass


@framerpc.service
class Uploads:
    @framerpc.method(run="process")
    def total(self, items: AsyncIterator[int]) -> int:
        return 0
