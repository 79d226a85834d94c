"""The chat in a real terminal, once: what is drawn there, and what its keys send."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

import framerpc.sync
from examples.chat.server.serving import make_server

TMUX = shutil.which("tmux")

pytestmark = [
    pytest.mark.slow_ui,
    pytest.mark.skipif(TMUX is None, reason="there is no tmux here"),
]


class Terminal:
    """A terminal with a program in it.

    Args:
        command: The program.
        socket: Where its tmux is, so that it is nobody else's.
    """

    def __init__(self, command: str, socket: Path) -> None:
        self._socket = socket
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", command)

    def close(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):  # it ended by itself
            self._tmux("kill-server")

    def press(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def type(self, text: str) -> None:
        self._tmux("send-keys", "-l", text)

    def resize(self, width: int, height: int) -> None:
        self._tmux("resize-window", "-x", f"{width}", "-y", f"{height}")

    @property
    def screen(self) -> str:
        return self._tmux("capture-pane", "-p")

    def see(self, *words: str) -> None:
        """Wait for words on the screen: nobody tells when it has been drawn."""
        until = time.monotonic() + 20
        while not all(word in self.screen for word in words):
            assert time.monotonic() < until, f"never on the screen: {words}\n{self.screen}"
            time.sleep(0.05)

    def ended(self) -> None:
        """Wait until the program has ended."""
        until = time.monotonic() + 20
        with contextlib.suppress(subprocess.CalledProcessError):
            while self.screen is not None:
                assert time.monotonic() < until, self.screen
                time.sleep(0.05)

    def _tmux(self, *words: str) -> str:
        command = [str(TMUX), "-S", str(self._socket), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def chat(url: str, name: str, tmp_path: Path) -> Generator[Terminal]:
    """The chat of somebody who has no account yet."""
    # Without the width that pytest may tell its children: the terminal has its own, and changes it.
    words = ["env", "-u", "COLUMNS", "-u", "LINES", f"CHAT_HOME={tmp_path / name}"]
    words += ["TERM=xterm-256color", "LANG=C.UTF-8"]
    words += [sys.executable, "-m", "examples.chat", "--url", url]
    folder = shlex.quote(str(Path(__file__).parents[3]))
    terminal = Terminal(f"cd {folder} && {shlex.join(words)}", tmp_path / f"{name}.tmux")
    try:
        terminal.see("How shall everybody call you?")
        terminal.type(name)
        terminal.press("Enter")
        terminal.see("You are in no room yet")
        yield terminal
    finally:
        terminal.close()


@pytest.mark.timeout(120)  # two programs start, and a server restarts
def test_two_people_talk_through_a_restart_of_the_server(tmp_path: Path) -> None:
    """From their first start to the end of the program, with the keys only."""
    data = tmp_path / "data"
    with contextlib.ExitStack() as serving:
        url = serving.enter_context(framerpc.sync.serve(make_server(data), "tcp://127.0.0.1:0")).url
        with chat(url, "ada", tmp_path) as ada, chat(url, "bob", tmp_path) as bob:
            ada.press("F5")
            ada.see("Leave this room")
            ada.press("Down", "Enter")
            ada.see("Its name")
            ada.type("lobby")
            ada.press("Enter", "Enter", "Enter")
            ada.see("Say something in #lobby", "● online")
            bob.press("F5")
            bob.see("Leave this room")
            bob.press("Enter")
            bob.see("Join a public room", "#lobby")
            bob.press("Enter")
            bob.see("Say something in #lobby")
            ada.type("hello, bob")
            ada.press("Enter")
            bob.see("ada  ", "hello, bob")
            serving.close()
            ada.see("○ reconnecting for")
            bob.see("○ reconnecting for")
            bob.type("are you there?")
            bob.press("Enter")
            bob.see("◌ not confirmed yet")
            serving.enter_context(framerpc.sync.serve(make_server(data), url))
            ada.see("● online", "bob  ", "are you there?")
            bob.see("● online", "are you there?")
            assert bob.screen.count("are you there?") == 1
            ada.resize(60, 20)
            ada.see("are you there?", "● online")
            ada.press("M-1")  # what a terminal makes of Alt+1
            ada.press("F1")
            ada.see("Ctrl+N, Ctrl+P")
            ada.press("Escape")
            for terminal in (ada, bob):
                terminal.press("C-q")
                terminal.ended()
