"""The command `framerpc`: reads its arguments, runs one subcommand, turns errors into words.

A user's mistake never shows a traceback. Exit codes: 0 it worked, 1 the call failed, 2 the
command was wrong, 3 no connection, 4 out of time, 130 interrupted.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
from typing import TYPE_CHECKING, Final, TextIO

from framerpc.cli import bench, call, conformance, inspection, serve, stub, topics
from framerpc.errors import (
    ConfigurationError,
    ConnectionFailed,
    ConnectionLost,
    DeadlineExceeded,
    FrameRPCError,
    Unauthenticated,
)
from framerpc.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_EPILOG: Final = """\
examples:
  framerpc serve app:server --bind tcp://127.0.0.1:7000
  framerpc call tcp://127.0.0.1:7000 Greeter/greet Ada excited=true
  framerpc sub tcp://127.0.0.1:7000 'news.>'
  framerpc pub tcp://127.0.0.1:7000 news.sport '{"score": [2, 1]}'
  framerpc inspect tcp://127.0.0.1:7000
  framerpc stub --lang ts tcp://127.0.0.1:7000 > server.ts
  framerpc conformance tcp://127.0.0.1:7000
  framerpc bench tcp://127.0.0.1:7000 --method Greeter/greet --args '["Ada"]'

exit codes:
  0 it worked   1 the call failed   2 the command was wrong   3 no connection
  4 out of time   130 interrupted

`framerpc COMMAND --help` tells the rest. $FRAMERPC_LOOP chooses the event loop:
uvloop (where it is installed) or asyncio.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="framerpc",
        description="RPC and streams on framed sockets.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"framerpc {__version__}")
    parser.add_argument(
        "-v", "--verbose", action="count", default=0, help="log more; twice for every state"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (serve, call, topics, inspection, stub, conformance, bench):
        module.add_parser(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: Without the program's name; those of the process if None.
    """
    options = _parser().parse_args(arguments)
    verbose: int = options.verbose
    levels = [logging.WARNING, logging.INFO, logging.DEBUG]
    logging.basicConfig(
        level=levels[min(verbose, 2)],
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        stream=sys.stderr,
    )
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # an old terminal is no reason to fail
    try:
        code = int(options.run(options))
        sys.stdout.flush()  # here, where it may fail
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has seen enough, as with `| head`
        _silence(sys.stdout)
        return 0
    except (FrameRPCError, OSError) as error:
        sys.stderr.write(f"framerpc: {_in_words(error)}\n")
        return _exit_code(error)
    return code


def _silence(stream: TextIO) -> None:
    """Let what is still buffered, and flushed when Python exits, go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _in_words(error: Exception) -> str:
    """Return the text of an error, without the number of an error of the system."""
    if isinstance(error, FrameRPCError) or not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror


def _exit_code(error: Exception) -> int:
    if isinstance(error, ConfigurationError):
        return 2
    if isinstance(error, DeadlineExceeded):
        # Never sent: it was the connection that could not be had.
        return 3 if error.executed == "no" else 4
    if isinstance(error, (ConnectionFailed, ConnectionLost, Unauthenticated)):
        return 3
    if isinstance(error, FrameRPCError):
        return 1
    # The system refused what the command line asked for, a file or a port.
    return 3 if isinstance(error, ConnectionError) else 2


if __name__ == "__main__":
    sys.exit(main())
