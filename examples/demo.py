"""The chat at work, checking itself, then a short measurement: `make demo`.

A server with its page, and four members, each a process of its own on real sockets; one of them
uses the blocking client. One member is killed, comes back, and hears what it missed; the server is
killed while somebody speaks, and started again. Exit status 0 only if every message reached
everybody, once and in order, and is in the database besides. `--stay` keeps it open: the members go
on talking until Ctrl-C, and you can join them in the browser.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import os
import queue
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import framerpc
import framerpc.sync
from benchmarks import calls
from examples.chat.api import Chat

__all__ = ["main"]

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 20.0
"""Seconds that anything may take here before the demo gives up."""

SMALL_TALK = (
    "Has anybody seen my other terminal?",
    "It is under the browser.",
    "I like that the restart went unnoticed.",
    "What restart?",
    "Try the search: Ctrl+K finds rooms, the field above finds words.",
    "你好 from the other side of the room.",
)

Heard = dict[str, Any]


class DemoFailedError(Exception):
    """Something did not happen as it should."""


@dataclass
class Member:
    """A process in the room, and what it has printed."""

    name: str
    process: subprocess.Popen[str]
    arrived: queue.Queue[Heard | None] = field(default_factory=queue.Queue["Heard | None"])
    heard: list[Heard] = field(default_factory=list[Heard])

    def say(self, text: str) -> None:
        """Say something."""
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def wait_for(self, kind: str, who: str, text: str | None = None) -> Heard:
        """Wait until something has been heard, and return it."""
        until = time.monotonic() + PATIENCE
        wanted = f"{who} {kind} {text or ''}".strip()
        while True:
            for each in self.heard:
                if (each["kind"], each["who"], text or each["text"]) == (kind, who, each["text"]):
                    return each
            try:
                arrived = self.arrived.get(timeout=max(until - time.monotonic(), 0))
            except queue.Empty:
                raise DemoFailedError(f"{self.name} never heard: {wanted}") from None
            if arrived is None:
                raise DemoFailedError(f"{self.name} ended before it heard: {wanted}")
            self.heard.append(arrived)

    def read(self) -> None:
        """Collect what the process prints; runs in a thread."""
        assert self.process.stdout is not None
        for text in self.process.stdout:
            self.arrived.put(json.loads(text))
        self.arrived.put(None)

    def messages(self) -> list[tuple[int, str, str]]:
        """Return the messages that it heard, in the order in which it did."""
        return [(m["number"], m["who"], m["text"]) for m in self.heard if m["kind"] == "said"]


class Stage:
    """The server and the members, and how they are started and ended.

    Args:
        data: The folder for the server's state.
    """

    def __init__(self, data: Path) -> None:
        self.members: dict[str, Member] = {}
        self.tokens: dict[str, str] = {}
        self.url, self.page = "tcp://127.0.0.1:0", "http://127.0.0.1:0/"
        self._data = data
        self._processes: list[subprocess.Popen[str]] = []

    def serve(self) -> None:
        """Start the server: the first time at any ports that are free, later at the same."""
        http = self.page.removeprefix("http://").removesuffix("/")
        places = ("--data", str(self._data), "--url", self.url, "--http", http)
        self.server = self._start("-m", "examples.chat", "serve", *places)
        assert self.server.stdout is not None
        lines = [self.server.stdout.readline().strip() for _ in range(2)]
        if not all(lines):
            raise DemoFailedError("the server did not start")
        self.url, self.page = lines

    def join(self, name: str, *options: str) -> Member:
        """Start a member, under its old token if it has been here before."""
        if name in self.tokens:
            options = (*options, "--token", self.tokens[name])
        process = self._start("-m", "examples.chat.bot", self.url, name, *options)
        member = self.members[name] = Member(name, process)
        threading.Thread(target=member.read, daemon=True).start()
        self.tokens[name] = member.wait_for("token", name)["text"]
        return member

    def _start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            encoding="utf-8",
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._processes.append(process)
        return process

    def kill(self) -> None:
        """End whatever still runs."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
                process.wait()


def _converse(stage: Stage, lines: list[tuple[str, str]]) -> None:
    """Let members speak in turn; each message must reach all of them before the next."""
    for name, text in lines:
        stage.members[name].say(text)
        numbers = {m.wait_for("said", name, text)["number"] for m in stage.members.values()}
        print(f"  {min(numbers):3} <{name}> {text}")


def _play(stage: Stage) -> None:
    stage.serve()
    print(f"The chat is open. Join it in the browser: {stage.page}\n")
    for name in ("ada", "bob", "dan"):
        stage.join(name)
        print(f"      {name} joined")
    stage.join("eve", "--blocking")
    print("      eve joined (blocking client)")
    for watcher, name in itertools.permutations(("ada", "bob", "dan"), 2):
        stage.members[watcher].wait_for("came", name)  # present, so that it can be seen to go
    _converse(
        stage,
        [
            ("ada", "Hello, everybody!"),
            ("eve", "Hello from a blocking client."),
            ("bob", "ünïcödé travels well: 你好"),
        ],
    )

    dan = stage.members.pop("dan")
    dan.process.kill()
    for name in ("ada", "bob"):
        stage.members[name].wait_for("went", "dan")
    print("      dan was killed; ada and bob saw him go")
    _converse(stage, [("ada", "Is everybody else here?"), ("eve", "I am."), ("bob", "Me too.")])

    stage.server.kill()
    stage.server.wait()
    stage.members["bob"].say("Does anybody hear me?")
    print("      the server was killed; bob speaks all the same")
    stage.serve()
    print("      the server was started again")
    numbers = {
        member.wait_for("said", "bob", "Does anybody hear me?")["number"]
        for member in stage.members.values()
    }
    print(f"  {min(numbers):3} <bob> Does anybody hear me?")
    stage.join("dan").wait_for("said", "bob", "Does anybody hear me?")
    print("      dan came back, and heard what he had missed")
    _converse(stage, [("eve", "Welcome back, dan."), ("dan", "As if I had never been away.")])


def _check(stage: Stage) -> None:
    """Make sure that all heard the same: what the server has, each once, and in order."""
    with framerpc.sync.connect(stage.url, token=stage.tokens["ada"]) as client:
        (room,) = client.call(Chat.rooms)
        history = client.call(Chat.history, room.id, limit=200)
    kept = [(message.number, message.who, message.text) for message in history]
    if [number for number, _, _ in kept] != list(range(1, len(kept) + 1)):
        raise DemoFailedError(f"the server's messages have holes: {kept}")
    for name, member in stage.members.items():
        if member.messages() != kept:
            raise DemoFailedError(f"{name} heard {member.messages()}, and was said: {kept}")
    print(f"\n  every message reached everybody: {len(kept)} messages, once and in order")


def _stay(stage: Stage) -> None:
    """Let the members go on talking."""
    print(f"\nThe chat stays open at {stage.page} (programs: {stage.url}); Ctrl-C ends it.")
    with contextlib.suppress(KeyboardInterrupt):
        for text in itertools.cycle(SMALL_TALK):
            member = random.choice(list(stage.members.values()))
            member.say(text)
            member.wait_for("said", member.name, text)
            time.sleep(random.uniform(2, 6))


def _end(stage: Stage) -> None:
    """Let everybody leave, then the server."""
    for member in stage.members.values():
        assert member.process.stdin is not None
        member.process.stdin.close()
    for member in stage.members.values():
        if member.process.wait(PATIENCE):
            raise DemoFailedError(f"{member.name} exited with {member.process.returncode}")
    stage.server.terminate()
    if stage.server.wait(PATIENCE):
        raise DemoFailedError(f"the server exited with {stage.server.returncode}")


def _measure() -> None:
    print("\nCalls per second beside a bare uvloop echo, in turn (32 bytes, one connection)\n")
    for row in calls.measure(rounds=2, seconds=0.5):
        print(
            f"  {row.in_flight:3} in flight: bare echo {row.yardstick:9,.0f}   "
            f"framerpc {row.framerpc:9,.0f}   ratio {row.ratio:.2f}"
        )


@contextlib.contextmanager
def _staged() -> Generator[Stage]:
    with tempfile.TemporaryDirectory(prefix="framerpc-chat-") as data:
        stage = Stage(Path(data))
        try:
            yield stage
        finally:
            stage.kill()


def main() -> int:
    """Run the demo; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="examples.demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--stay", action="store_true", help="keep the chat open until Ctrl-C")
    options = parser.parse_args()
    stdout: Any = sys.stdout
    if isinstance(stdout, io.TextIOWrapper):  # a terminal may not know every letter
        cast("Any", stdout).reconfigure(errors="backslashreplace", line_buffering=True)
    try:
        with _staged() as stage:
            _play(stage)
            _check(stage)
            if options.stay:
                _stay(stage)
            else:
                _end(stage)
                _measure()
    except (DemoFailedError, subprocess.SubprocessError) as error:
        sys.stderr.write(f"demo: {error}\n")
        return 1
    print("\nDone: all checks passed.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
