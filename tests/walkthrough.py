"""A document that is followed to the letter: its files are written, its commands are run.

- A block of Python or JavaScript is the file that the line before it names, as in "`chat.py`:"; a
  `diff` block changes that file.
- A `console` block holds commands, each with what it prints, on standard error as well. A command
  that is running already is looked at again, from its beginning: in another terminal it has gone on.
  A server is, if there is more below it than it had printed; otherwise it is started again.
- Ports are the document's for the reader only: here a server takes any that is free, and what is
  written and compared follows.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from unittest.mock import patch

from framerpc.cli.main import main
from tests.markdown import Block, blocks

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Step", "Walk", "file_named", "steps"]

_ROOT: Final = Path(__file__).parent.parent
_HEADING: Final = re.compile(r"^## (?P<title>.*)$", re.MULTILINE)
_FILE: Final = re.compile(r"`(?P<name>[\w.]+\.\w+)`:$")
_PLACE: Final = re.compile(r"(?<=127\.0\.0\.1:)\d+")
_PORT: Final = re.compile(r":\d+\b")
_VERSIONS: Final = re.compile(r"framerpc/\S+ python/[^\s,]+")
_LOGGED: Final = re.compile(r"^[\d-]{10} [\d:,]{12} (?=[A-Z]+ framerpc)", re.MULTILINE)
_CALLER: Final = re.compile(r"(?<=! tcp://127\.0\.0\.1:)\d+")
_SECONDS: Final = re.compile(r"\bin \d+\.\d+s")

_PROGRAMS: Final = {
    "framerpc": [sys.executable, "-m", "framerpc.cli.main"],
    "python": [sys.executable],
    "pytest": [sys.executable, "-m", "pytest", "-p", "framerpc.testing.plugin"],
    "node": ["node", "--experimental-websocket"],  # node 22 has them without being asked
}


@dataclass(frozen=True)
class Step:
    """A section of the document.

    Attributes:
        title: Its heading.
        blocks: What is fenced in it.
    """

    title: str
    blocks: list[Block]

    def __str__(self) -> str:
        return self.title

    @property
    def languages(self) -> set[str]:
        """The languages of its blocks."""
        return {block.language for block in self.blocks}


def steps(document: str) -> list[Step]:
    """Return the sections of a document, in order."""
    headings = list(_HEADING.finditer(document))
    ends = [heading.start() for heading in headings[1:]] + [len(document)]
    return [
        Step(
            heading["title"],
            blocks(document[heading.end() : end], document.count("\n", 0, heading.end()) + 1),
        )
        for heading, end in zip(headings, ends, strict=True)
    ]


def file_named(block: Block) -> str | None:
    """Return the file that a block belongs to, if it says so."""
    found = _FILE.search(block.lead)
    return None if found is None else found["name"]


@dataclass
class _Running:
    """A command that goes on while others are run."""

    process: subprocess.Popen[str]
    printed: list[str] = field(default_factory=list)

    def read(self, lines: int) -> str:
        """Return what it has printed, as soon as it is so many lines, or all."""
        assert self.process.stdout is not None
        while len(self.printed) < lines and (line := self.process.stdout.readline()):
            self.printed.append(line)
        return "".join(self.printed)


class Walk:
    """Whoever follows the document, in one folder.

    Args:
        folder: Where the files are.
        lasting: How commands begin that do not end by themselves.
    """

    def __init__(self, folder: Path, lasting: tuple[str, ...]) -> None:
        self.files: dict[str, str] = {}
        self._folder = folder
        self._lasting = lasting
        self._running: dict[str, _Running] = {}
        self._ports: dict[str, str] = {}  # the document's -> the real one

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        unseen = self._stop()
        if error is None:
            assert not unseen, "printed, but not in the document"

    def write(self, step: Step) -> None:
        """Write the files of a step, and run nothing."""
        for block in step.blocks:
            self._write(block)

    def follow(self, step: Step) -> None:
        """Write the files of a step and run its commands, and compare what they print."""
        for block in step.blocks:
            if block.language != "console":
                self._write(block)
                continue
            for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
                command, _, expected = part.partition("\n")
                printed = self._run(command, expected)
                assert _plain(printed) == _plain(expected), f"{block}: {command}"

    def _write(self, block: Block) -> None:
        name = file_named(block)
        if name is not None:
            change = block.language == "diff"
            self.files[name] = _changed(self.files[name], block.text) if change else block.text

    def _run(self, command: str, expected: str) -> str:
        """Return what a command prints, in the document's words."""
        words, env = self._words(command)
        if words[:2] == ["framerpc", "serve"]:
            return self._serve(command, expected)
        if words[0] == "framerpc":
            return self._as_written(_call(words[1:], env))
        if command.startswith(self._lasting):
            if command not in self._running:
                self._running[command] = _Running(self._start(words, env))
            return self._as_written(self._running[command].read(expected.count("\n")))
        with self._start(words, env) as process:
            try:
                return self._as_written(process.communicate()[0])
            finally:
                process.kill()  # where the test was stopped

    def _serve(self, command: str, expected: str) -> str:
        """Start the server, in the place of another one, and learn its ports."""
        running = self._running.get(command)
        if running is not None and expected.count("\n") > len(running.printed):
            return self._as_written(running.read(expected.count("\n")))
        assert not self._stop(), "the server printed more than the document has"
        words, env = self._words(command)
        env["FRAMERPC_BIND"] = "tcp://127.0.0.1:0"
        server = _Running(self._start([_PORT.sub(":0", word) for word in words], env))
        self._running[command] = server
        printed = server.read(expected.count("\n"))
        # If it has not come up, the comparison that follows shows why.
        self._ports = dict(zip(_PLACE.findall(expected), _PLACE.findall(printed), strict=False))
        return self._as_written(printed)

    def _words(self, command: str) -> tuple[list[str], dict[str, str]]:
        """Return the words of a command, and the variables that are set before them."""
        words = shlex.split(self._as_run(command))
        env: dict[str, str] = {}
        while "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            env[name] = value
        return words, env

    def _start(self, words: list[str], env: dict[str, str]) -> subprocess.Popen[str]:
        """Start a command in a process of its own."""
        for name, text in self.files.items():
            (self._folder / name).write_text(self._as_run(text), encoding="utf-8")
        ours = {name: each for name, each in os.environ.items() if not name.startswith("PYTEST")}
        ours |= {
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # other plugins take a second to load
            "PYTHONPATH": str(_ROOT),
            "PYTHONUNBUFFERED": "1",
        }
        return subprocess.Popen(
            [*_PROGRAMS[words[0]], *words[1:]],
            cwd=self._folder,
            env=ours | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _stop(self) -> str:
        """End what is running; return what it printed unseen."""
        processes = [running.process for running in self._running.values()]
        self._running.clear()
        for process in processes:
            process.terminate()
        return "".join(process.communicate()[0] for process in processes)

    def _as_run(self, text: str) -> str:
        return _PLACE.sub(lambda port: self._ports.get(port[0], port[0]), text)

    def _as_written(self, text: str) -> str:
        written = {real: port for port, real in self._ports.items()}
        return _PLACE.sub(lambda port: written.get(port[0], port[0]), text)


def _call(words: list[str], env: dict[str, str]) -> str:
    """Run a command of framerpc in this process, which takes a fifth of the time."""
    printed = io.StringIO()
    with (
        patch.dict(os.environ, env),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
    ):
        main(words)
    return printed.getvalue()


def _plain(printed: str) -> str:
    """Return an output without what differs from run to run."""
    printed = _CALLER.sub("50000", _LOGGED.sub("", printed.rstrip()))
    return _VERSIONS.sub("framerpc/1 python/3", _SECONDS.sub("in 1.0s", printed))


def _changed(source: str, change: str) -> str:
    """Return a file as a diff changes it; hunks are divided by lines that begin with "@@"."""
    for hunk in re.split(r"^@@.*\n", change, flags=re.MULTILINE):
        lines = hunk.splitlines(keepends=True)
        old = "".join(line[1:] or line for line in lines if not line.startswith("+"))
        new = "".join(line[1:] or line for line in lines if not line.startswith("-"))
        assert source.count(old) == 1, f"this is there {source.count(old)} times:\n{old}"
        source = source.replace(old, new)
    return source
