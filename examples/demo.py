"""A chat between processes that checks itself, then a short measurement: `make demo`.

A server and four members, each a process of its own on real sockets; one of them uses the
blocking client, one is killed in the middle. Exit status 0 only if every line reached
everybody whom it should, once and in order.
"""

from __future__ import annotations

import io
import json
import os
import queue
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from benchmarks import calls

__all__ = ["main"]

ROOT = Path(__file__).resolve().parent.parent
ROOM = "lobby"
PATIENCE = 20.0
"""Seconds that anything may take here before the demo gives up."""

Line = dict[str, Any]


@dataclass
class Member:
    """A process that follows the room, and what it has seen."""

    name: str
    process: subprocess.Popen[str]
    arrived: queue.Queue[Line | None] = field(default_factory=queue.Queue["Line | None"])
    seen: list[Line] = field(default_factory=list[Line])

    def say(self, text: str) -> None:
        """Say something."""
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def wait_for(self, kind: str, who: str, text: str = "") -> Line:
        """Wait until a certain line has arrived, and return it."""
        until = time.monotonic() + PATIENCE
        while True:
            for line in self.seen:
                if (line["kind"], line["who"], line["text"]) == (kind, who, text):
                    return line
            try:
                arrived = self.arrived.get(timeout=max(until - time.monotonic(), 0))
            except queue.Empty:
                raise DemoFailedError(f"{self.name} never saw: {who} {kind} {text}") from None
            if arrived is None:
                raise DemoFailedError(f"{self.name} ended before it saw: {who} {kind} {text}")
            self.seen.append(arrived)

    def read(self) -> None:
        """Collect what the process prints; runs in a thread."""
        assert self.process.stdout is not None
        for text in self.process.stdout:
            self.arrived.put(json.loads(text))
        self.arrived.put(None)


class DemoFailedError(Exception):
    """A line did not reach somebody."""


def _start(*arguments: str, pipe_in: bool = False) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        stdin=subprocess.PIPE if pipe_in else None,
        stdout=subprocess.PIPE,
    )


def _join(members: list[Member], url: str, name: str, *options: str) -> Member:
    member = Member(name, _start("examples.chat.bot", url, name, ROOM, *options, pipe_in=True))
    members.append(member)
    threading.Thread(target=member.read, daemon=True).start()
    member.wait_for("joined", name)
    print(f"  {name} joined{' (blocking client)' if options else ''}")
    return member


def _converse(members: list[Member], lines: list[tuple[str, str]]) -> None:
    """Let members speak in turn; each line must reach all of them before the next."""
    by_name = {member.name: member for member in members}
    for name, text in lines:
        by_name[name].say(text)
        numbers = {member.wait_for("said", name, text)["number"] for member in members}
        number = min(numbers)  # `_check` makes sure that there is one
        print(f"  {number:3} <{name}> {text}")


def _check(members: list[Member]) -> None:
    """Make sure that each saw what the others saw from its joining on, once and in order."""
    for member in members:
        numbers = [line["number"] for line in member.seen]
        if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            raise DemoFailedError(f"{member.name} saw the lines {numbers}")
    fullest = max(members, key=lambda member: len(member.seen)).seen
    for member in members:
        if member.seen != fullest[-len(member.seen) :]:
            raise DemoFailedError(f"{member.name} saw another conversation")


def _chat(url: str, everybody: list[Member]) -> None:
    print(f"\nA chat at {url}: a server and four members, each a process of its own\n")
    ada, bob = _join(everybody, url, "ada"), _join(everybody, url, "bob")
    eve, dan = _join(everybody, url, "eve", "--blocking"), _join(everybody, url, "dan")
    for member in everybody:
        member.wait_for("joined", "dan")
    _converse(
        everybody,
        [
            ("ada", "Hello, everybody."),
            ("eve", "Hello from a client without an event loop."),
            ("dan", "I am about to be killed."),
            ("bob", "ünïcödé travels well: 你好"),
        ],
    )
    dan.process.kill()
    for member in (ada, bob, eve):
        member.wait_for("left", "dan")
    print("      dan was killed; the others saw him leave")
    _converse(
        [ada, bob, eve], [("ada", "Is everybody else here?"), ("eve", "I am."), ("bob", "Me too.")]
    )
    _check([ada, bob, eve])
    print(f"\n  every line reached everybody in the room: {len(ada.seen)} lines, once and in order")


def _end(server: subprocess.Popen[str], members: list[Member]) -> None:
    """Let everybody who is still there leave, then the server."""
    for member in members:
        if member.process.stdin is not None and member.process.poll() is None:
            member.process.stdin.close()
    for member in members:
        if member.process.wait(PATIENCE) and member.name != "dan":
            raise DemoFailedError(f"{member.name} exited with {member.process.returncode}")
    server.terminate()
    if server.wait(PATIENCE):
        raise DemoFailedError(f"the server exited with {server.returncode}")


def _measure() -> None:
    print("\nCalls per second beside a bare uvloop echo, in turn (32 bytes, one connection)\n")
    for row in calls.measure(rounds=2, seconds=0.5):
        print(
            f"  {row.in_flight:3} in flight: bare echo {row.yardstick:9,.0f}   "
            f"framerpc {row.framerpc:9,.0f}   ratio {row.ratio:.2f}"
        )


def main() -> int:
    """Run the demo; return its exit status."""
    stdout: Any = sys.stdout
    if isinstance(stdout, io.TextIOWrapper):
        cast("Any", stdout).reconfigure(
            errors="backslashreplace"
        )  # a terminal may not know every letter
    server = _start("examples.chat", "--serve", "--url", "tcp://127.0.0.1:0")
    members: list[Member] = []
    try:
        assert server.stdout is not None
        _chat(server.stdout.readline().strip(), members)
        _end(server, members)
        _measure()
    except (DemoFailedError, subprocess.SubprocessError) as error:
        sys.stderr.write(f"demo: {error}\n")
        return 1
    finally:
        for process in [server, *(member.process for member in members)]:
            if process.poll() is None:
                process.kill()
                process.wait()
    print("\nDone: all checks passed.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
