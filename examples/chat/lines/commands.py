"""The subcommands of the line mode: their options, how they are run, and how they end.

Exit codes: 0 it was done; 1 it was refused; 2 the command line is wrong; 3 the server could not
be reached in time; 130 it was interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import framerpc
from examples.chat.api import ADDRESS
from examples.chat.client import home
from examples.chat.client.wording import explain
from examples.chat.lines import lines

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["Commands", "add_commands", "add_where"]

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
"""Where subcommands are added; argparse has no other name for it."""

_Work: TypeAlias = "Callable[[framerpc.Client, argparse.Namespace], Coroutine[Any, Any, None]]"

_REFUSED: Final = 1
_UNREACHED: Final = 3
_INTERRUPTED: Final = 130

_PATIENCE: Final = 60.0
"""Seconds to wait for a server, unless somebody says otherwise."""

_SOON: Final = 2.0
"""Seconds after which a person wants to know why nothing happens."""


def add_commands(commands: Commands) -> None:
    """Add the subcommands."""
    _add(
        commands, "register", lines.register, "make an account, and keep its token here"
    ).add_argument("name", help="how everybody will call you")
    say = _add(
        commands, "say", lines.say, "say something, each line of the input if there is no text"
    )
    say.add_argument("room")
    say.add_argument("text", nargs="*", help='what to say; "-" for the standard input')
    say.add_argument(
        "--key", help="what makes it the same: said again with it, it is not said twice"
    )
    tail_ = _add(commands, "tail", lines.tail, "print messages, each once and in order")
    tail_.add_argument("room")
    tail_.add_argument("--last", type=_count, default=10, metavar="N", help="begin with so many")
    tail_.add_argument("--json", action="store_true", help="all there is to know, a line each")
    tail_.add_argument("--follow", action=argparse.BooleanOptionalAction, default=True)
    rooms = _add(commands, "rooms", lines.rooms, "list your rooms")
    rooms.add_argument("--json", action="store_true", help="all there is to know, a line each")
    rooms.add_argument("--all", action="store_true", help="those that you may join, too")
    create = _add(commands, "create", lines.create, "make a room")
    create.add_argument("room")
    create.add_argument("--about", default="", help="what it is for")
    create.add_argument("--private", action="store_true", help="for those who are invited")
    _add(commands, "join", lines.join, "become a member of a public room").add_argument("room")
    send = _add(commands, "send", lines.send, "send a file")
    send.add_argument("room")
    send.add_argument("file", type=Path)
    send.add_argument("--text", default="", help="to say with it")
    send.add_argument("--key", help="as for say")
    fetch = _add(commands, "fetch", lines.fetch, "get a file")
    fetch.add_argument("id", type=int, help="as tail shows it")
    fetch.add_argument("-o", "--output", type=Path, help="where to (chat-file-ID)")


def add_where(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which server, and who one is."""
    # Nothing by default, so that what stands before the subcommand counts as well.
    parser.add_argument(
        "--url", default=argparse.SUPPRESS, help=f"the server ($CHAT_URL, or {ADDRESS})"
    )
    parser.add_argument(
        "--as", dest="account", default=argparse.SUPPRESS, metavar="NAME", help="which account"
    )


def _add(commands: Commands, name: str, work: _Work, what: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=what, description=what)
    add_where(parser)
    parser.add_argument(
        "--timeout",
        type=float,
        default=_PATIENCE,
        metavar="SECONDS",
        help="to wait for the server at most (%(default)g)",
    )
    parser.set_defaults(run=partial(_run, name, work))
    return parser


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no count; write 0, or more")
    return int(text)


def _run(name: str, work: _Work, options: argparse.Namespace) -> int:
    """Run one subcommand; return its exit code."""
    try:
        asyncio.run(_connected(name, work, options))
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:  # whoever read us has enough; nothing more must be written
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (TimeoutError, framerpc.ConnectionFailed, framerpc.ConnectionLost) as error:
        return _complain(name, error, _UNREACHED)
    except (framerpc.FrameRPCError, OSError, LookupError, ValueError) as error:
        return _complain(name, error, _REFUSED)
    return 0


def _complain(name: str, error: BaseException, code: int) -> int:
    sys.stderr.write(f"chat {name}: {explain(error)}\n")
    return code


def _wait(name: str, url: str) -> None:
    """Tell a person why nothing happens."""
    if sys.stderr.isatty():
        sys.stderr.write(f"chat {name}: waiting for a server at {url} (Ctrl-C: stop)\n")


async def _connected(name: str, work: _Work, options: argparse.Namespace) -> None:
    options.url = home.address(options.url)
    token = None if name == "register" else home.choose(options.url, options.account)
    async with framerpc.connect(options.url, token=token, timeout=options.timeout) as client:
        waiting = asyncio.get_running_loop().call_later(_SOON, _wait, name, options.url)
        try:
            await client.ready(options.timeout)
        finally:
            waiting.cancel()
        await work(client, options)
