"""`framerpc stub`: typed stubs from the contract of a live server."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from framerpc.cli.common import add_client_options, connected, run
from framerpc.cli.typescript import module_of

if TYPE_CHECKING:
    import argparse

    from framerpc.cli.common import Commands

__all__ = ["add_parser"]


def add_parser(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "stub",
        help="write typed stubs for another language",
        description=(
            "Print a module with the types and methods of a live server: a class for each of its "
            "services, on top of a client of the language."
        ),
    )
    add_client_options(parser)
    parser.add_argument(
        "--lang", choices=["ts"], default="ts", help="the language; ts is TypeScript (ts)"
    )
    parser.add_argument(
        "--module",
        default="framerpc",
        metavar="NAME",
        help="where the stubs import the client from (framerpc)",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    return run(_write(options))


async def _write(options: argparse.Namespace) -> int:
    async with connected(options) as client:
        described: dict[str, Any] = await client.call("framerpc/describe")
    sys.stdout.write(module_of(described, options.module))
    return 0
