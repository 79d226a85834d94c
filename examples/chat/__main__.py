"""The command line of the chat: `python -m examples.chat`. Without a subcommand, it opens it.

If nobody serves at the usual address, a server runs as long as the chat is open here.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from examples.chat.api import ADDRESS
from examples.chat.client import home
from examples.chat.lines.commands import Commands, add_commands, add_where

if TYPE_CHECKING:
    from collections.abc import Sequence

_HTTP: Final = "127.0.0.1:7080"
_ROOT: Final = Path(__file__).parent.parent.parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; return an exit code."""
    parser = argparse.ArgumentParser(
        prog="examples.chat",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_where(parser)
    parser.set_defaults(run=_open, url=None, account=None)
    commands = parser.add_subparsers(metavar="COMMAND")
    opening = commands.add_parser("open", help="open the chat in this terminal (the default)")
    add_where(opening)
    opening.set_defaults(run=_open)
    add_commands(commands)
    _add_serve(commands)
    options = parser.parse_args(arguments)
    code: int = options.run(options)
    return code


def _add_serve(commands: Commands) -> None:
    what = "run a server, for programs and for browsers"
    parser = commands.add_parser("serve", help=what, description=what)
    parser.add_argument("--data", type=Path, default=Path("chat-data"), help="folder for its state")
    parser.add_argument("--url", default=ADDRESS, help="for programs (%(default)s)")
    parser.add_argument(
        "--http", default=_HTTP, metavar="HOST:PORT", help="for browsers (%(default)s)"
    )
    parser.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> int:
    from examples.chat.server.serving import serve  # noqa: PLC0415 - talking needs no web server

    return serve(options.data, options.url, options.http)


def _open(options: argparse.Namespace) -> int:
    from examples.chat.terminal import main_open  # noqa: PLC0415 - pipes need no terminal

    with _served(home.address(options.url)) as served:
        return main_open(options) if served else 1


@contextlib.contextmanager
def _served(url: str) -> Generator[bool]:
    """Run a server if this is the usual address and nobody is there; tell whether that went well.

    It is a process of its own: what it does must not make the screen wait.
    """
    if url != ADDRESS or _somebody_listens(url):
        yield True
        return
    data = home.data()
    command = [sys.executable, "-m", "examples.chat", "serve", "--data", str(data)]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        addresses = [server.stdout.readline().strip() for _ in range(2)]
        try:
            if all(addresses):
                print(f"A server runs as long as this chat is open: {', '.join(addresses)}")
                print(f"What is said is kept in {data}")
            yield all(addresses)  # if not, it has said why
        finally:
            server.terminate()


def _somebody_listens(url: str) -> bool:
    host, _, port = url.removeprefix("tcp://").rpartition(":")
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, int(port))) == 0


if __name__ == "__main__":
    sys.exit(main())
