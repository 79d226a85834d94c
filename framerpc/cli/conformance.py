"""`framerpc conformance`: does a server, in whatever language, keep protocol.md?"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections import Counter
from typing import TYPE_CHECKING, Final

from framerpc.cli.common import read_token, run, seconds
from framerpc.errors import ConfigurationError, ConnectionFailed

if TYPE_CHECKING:
    import argparse

    from framerpc.cli.common import Commands
    from framerpc.testing.conformance import Result

__all__ = ["add_parser"]

_DESCRIPTION: Final = """\
Send good and bad bytes to a server and print which numbered requirements of
protocol.md it keeps. It needs connections from this address that nobody
counts against the server's limits, and calls no method but framerpc/health."""


def add_parser(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "conformance",
        help="check a server against the protocol",
        description=_DESCRIPTION,
    )
    parser.add_argument("url", metavar="URL", help="tcp://host:port or unix:///path")
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=5.0,
        metavar="S",
        help="seconds that the server may take for an answer (5)",
    )
    parser.add_argument(
        "--slow", action="store_true", help="wait for timeouts of the server, too, up to a minute"
    )
    parser.add_argument("--failures", action="store_true", help="print only what does not hold")
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        help="file that holds the token; otherwise $FRAMERPC_TOKEN is used, if set",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    if not options.url.startswith(("tcp://", "unix://")):
        raise ConfigurationError(f"conformance is checked at tcp:// or unix://, not {options.url}")
    return run(_examine(options))


async def _examine(options: argparse.Namespace) -> int:
    from framerpc.testing.conformance import Outcome, examine  # noqa: PLC0415 - only needed here

    counts: Counter[Outcome] = Counter()
    group = ""
    results = examine(
        options.url, token=read_token(options), timeout=options.timeout, slow=options.slow
    )
    try:
        async for result in results:
            counts[result.outcome] += 1
            if options.failures and result.outcome is not Outcome.FAILS:
                continue
            current = result.check.requirement.rpartition("-")[0]
            if group not in {"", current}:
                sys.stdout.write("\n")
            group = current
            _print(result)
    except AssertionError as exc:
        raise ConnectionFailed(options.url, 1, str(exc)) from exc
    except TimeoutError as exc:
        reason = f"no welcome within {options.timeout:.3g} s"
        raise ConnectionFailed(options.url, 1, reason) from exc
    sys.stdout.write("\n" if group else "")
    holds, fails, unchecked = (counts[each] for each in Outcome)
    summary = f"{holds} hold, {fails} fail"
    if unchecked:
        summary += f", {unchecked} could not be checked"
    sys.stdout.write(f"{options.url}: {summary}\n")
    return 1 if fails else 0


_MARKS: Final = {"HOLDS": "ok   ", "FAILS": "FAIL ", "UNCHECKED": "-    "}
_COLOURS: Final = {"HOLDS": "32", "FAILS": "1;31", "UNCHECKED": "33"}
_INDENT: Final = 23


def _print(result: Result) -> None:
    """Print a check on a line or two, as wide as the terminal."""
    name = result.outcome.name
    mark = _MARKS[name]
    if sys.stdout.isatty():
        mark = f"\x1b[{_COLOURS[name]}m{mark}\x1b[0m"
    width = max(40, shutil.get_terminal_size().columns - _INDENT)
    texts = [result.check.claim, result.reason] if result.reason else [result.check.claim]
    lines = [line for text in texts for line in textwrap.wrap(text, width) or [""]]
    sys.stdout.write(f"{mark} {result.check.requirement:<16} {lines[0]}\n")
    for line in lines[1:]:
        sys.stdout.write(f"{'':{_INDENT}}{line}\n")
    sys.stdout.flush()
