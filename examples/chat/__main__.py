"""The command line of the chat: `python -m examples.chat`. Without a subcommand, it opens it."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from examples.chat.commands import Commands, add_commands, add_where

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; return an exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="examples.chat", description=__doc__)
    add_where(parser)
    parser.set_defaults(run=_open, url=None, account=None)
    commands = parser.add_subparsers(metavar="COMMAND")
    opening = commands.add_parser("open", help="open the chat in this terminal (the default)")
    add_where(opening)
    opening.set_defaults(run=_open)
    add_commands(commands)
    _add_serve(commands, words)
    options = parser.parse_args(words)
    code: int = options.run(options)
    return code


def _add_serve(commands: Commands, words: Sequence[str]) -> None:
    if "serve" not in words[:1]:  # whoever only talks needs no web server
        commands.add_parser("serve", help="run a server")
        return
    from examples.chat.server import add_serve  # noqa: PLC0415 - see above

    add_serve(commands)


def _open(options: argparse.Namespace) -> int:
    from examples.chat.terminal import main_open  # noqa: PLC0415 - pipes need no terminal

    return main_open(options)


if __name__ == "__main__":
    sys.exit(main())
