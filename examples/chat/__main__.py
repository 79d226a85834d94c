"""Talk in the terminal: `python -m examples.chat [NAME]`.

Type a line to say it; /who lists who is here; /quit (or end of input) leaves. If nobody serves
at the address, a server is started here, and others can join it as long as this one runs.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import getpass
import io
import sys
import threading
from collections.abc import Generator
from typing import Any, cast

import framerpc
import framerpc.sync
from examples.chat.service import Chat, TooSlow, authenticate

ADDRESS = "tcp://127.0.0.1:7007"


def _server() -> framerpc.Server:
    return framerpc.Server(Chat(), authenticate=authenticate)


@contextlib.contextmanager
def _somebody_serves(url: str) -> Generator[None]:
    """Start a server at `url`, unless there is one."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(framerpc.sync.serve(_server(), url))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:  # in use: by a server, so we hope
                raise
        else:
            print(f"* serving at {url}")
        yield


def _read(client: framerpc.sync.SyncClient, room: str, stop: threading.Event) -> None:
    """Print what happens in the room, across lost connections."""
    last: int | None = None
    while not stop.is_set():
        try:
            for line in client.stream(Chat.follow, room, last):
                last = line.number
                print(f"\r{line}", flush=True)
        except (framerpc.ConnectionLost, TooSlow):
            if not stop.is_set():
                print("\r* connection lost; joining again as soon as there is one", flush=True)
        except framerpc.FrameRPCError as error:
            if stop.is_set():
                return
            print(f"\r* {error}", flush=True)
            return


def _talk(url: str, name: str, room: str) -> None:
    with framerpc.sync.connect(url, token=name, timeout=5) as client:
        client.ready()
        print(f"* you are {name} in {room}; /who, /quit")
        stop = threading.Event()
        reader = threading.Thread(target=_read, args=(client, room, stop), daemon=True)
        reader.start()
        try:
            for text in sys.stdin:
                if text.strip() == "/quit":
                    break
                try:
                    _obey(client, room, text.strip())
                except framerpc.FrameRPCError as error:
                    print(f"* not done: {error}")
        finally:
            stop.set()


def _obey(client: framerpc.sync.SyncClient, room: str, text: str) -> None:
    """Do what one line of input asks for."""
    match text:
        case "":
            pass
        case "/who":
            print("* here:", ", ".join(client.call(Chat.who, room)))
        case command if command.startswith("/"):
            print(f"* there is no {command.split()[0]}; /who, /quit")
        case said:
            client.call(Chat.say, room, said)


def main() -> int:
    """Run the chat; return an exit code."""
    parser = argparse.ArgumentParser(
        prog="examples.chat",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", default=getpass.getuser(), help="who you are")
    parser.add_argument("--room", default="lobby")
    parser.add_argument("--url", default=ADDRESS, help=f"the server ({ADDRESS})")
    parser.add_argument("--serve", action="store_true", help="only serve, until a signal comes")
    options = parser.parse_args()
    stdout: Any = sys.stdout
    if isinstance(stdout, io.TextIOWrapper):
        cast("Any", stdout).reconfigure(errors="replace")  # a terminal may not know every letter
    try:
        if options.serve:
            _server().run(options.url, ready=lambda server: print(server.url, flush=True))
        else:
            with _somebody_serves(options.url):
                _talk(options.url, options.name, options.room)
    except (framerpc.FrameRPCError, OSError) as error:
        sys.stderr.write(f"chat: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
