"""`framerpc call`: call one method and print what it returns."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import framerpc
from framerpc.cli.common import add_client_options, client_of, parse_arguments, render, run

if TYPE_CHECKING:
    import argparse

__all__ = ["add_parser"]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "call",
        help="call a method",
        description=(
            "Call METHOD and print its result as JSON; a stream prints one line per item. An "
            "argument is JSON if it can be read as such, otherwise text; NAME=VALUE passes it "
            "by name."
        ),
    )
    add_client_options(parser)
    parser.add_argument("method", metavar="METHOD", help="for example Greeter/greet")
    parser.add_argument("arguments", metavar="ARGUMENT", nargs="*")
    parser.add_argument("--notify", action="store_true", help="do not wait for an answer")
    parser.set_defaults(run=lambda options: run(_call(options)))


async def _call(options: argparse.Namespace) -> int:
    args, kwargs = parse_arguments(options.arguments)
    async with client_of(options) as client:
        if options.notify:
            await client.ready()
            await client.notify(options.method, *args, **kwargs)
        elif await _streams(client, options.method):
            async for item in client.stream(options.method, *args, **kwargs):
                sys.stdout.write(render(item) + "\n")
                sys.stdout.flush()
        else:
            sys.stdout.write(render(await client.call(options.method, *args, **kwargs)) + "\n")
    return 0


async def _streams(client: framerpc.Client, name: str) -> bool:
    """Ask the server whether the result of a method is a stream."""
    try:
        described: dict[str, Any] = await client.call("framerpc/describe")
    except framerpc.MethodNotFound:
        return False  # a server of another make
    return any(
        method["name"] == name and method["streams_out"] for method in described["methods"]
    )
