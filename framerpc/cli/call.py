"""`framerpc call`: call one method and print what it returns."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any, Final

import framerpc
from framerpc.cli.common import add_client_options, connected, is_list, parse_arguments, render, run
from framerpc.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from framerpc.cli.common import Commands

__all__ = ["add_parser"]

_DESCRIPTION: Final = """\
Call METHOD and print its result as JSON; a stream prints one line per item.
An argument is JSON if it can be read as such, otherwise text; NAME=VALUE
passes it by name. Where the method takes a stream, a JSON array holds its
items."""

_EPILOG: Final = """\
examples:
  framerpc call tcp://127.0.0.1:7000 Greeter/greet Ada excited=true
  framerpc call tcp://127.0.0.1:7000 add 2 b=3
  framerpc call tcp://127.0.0.1:7000 find '{"name": "Ada"}' limit=10
  framerpc call tcp://127.0.0.1:7000 upper '"2"'      the text, no number
  framerpc call tcp://127.0.0.1:7000 total '[1, 2]'   a stream's items
"""


def add_parser(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "call",
        help="call a method",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_client_options(parser)
    parser.add_argument("method", metavar="METHOD", help="for example Greeter/greet")
    parser.add_argument("arguments", metavar="ARGUMENT", nargs="*", help="a value, or NAME=VALUE")
    parser.add_argument("--notify", action="store_true", help="do not wait for an answer")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    return run(_call(options))


async def _call(options: argparse.Namespace) -> int:
    args, kwargs = parse_arguments(options.arguments)
    async with connected(options) as client:
        if options.notify:
            await client.notify(options.method, *args, **kwargs)
            return 0
        described = await _described(client, options.method)
        args, kwargs = _with_streams(described, args, kwargs)
        if described.get("streams_out"):
            method: str = options.method
            async for item in client.stream(method, *args, **kwargs):
                sys.stdout.write(render(item) + "\n")
                sys.stdout.flush()
        else:
            sys.stdout.write(render(await client.call(options.method, *args, **kwargs)) + "\n")
    return 0


async def _described(client: framerpc.Client, name: str) -> dict[str, Any]:
    """Return what the server says of a method; nothing if it says nothing."""
    try:
        described: dict[str, Any] = await client.call("framerpc/describe")
    except framerpc.MethodNotFound:
        return {}  # a server of another make
    nothing: dict[str, Any] = {}
    return next((method for method in described["methods"] if method["name"] == name), nothing)


def _with_streams(
    described: dict[str, Any], args: list[Any], kwargs: dict[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Make a stream of the array that stands where the method takes one."""
    for position, parameter in enumerate(described.get("parameters", ())):
        if not parameter["stream"]:
            continue
        name: str = parameter["name"]
        if name in kwargs:
            kwargs = {**kwargs, name: _stream(name, kwargs[name])}
        elif position < len(args):
            args = [*args[:position], _stream(name, args[position]), *args[position + 1 :]]
    return args, kwargs


def _stream(name: str, value: Any) -> AsyncIterator[Any]:
    if not is_list(value):
        raise ConfigurationError(f"{name} is a stream: give its items as a JSON array")

    async def each() -> AsyncIterator[Any]:
        for item in value:
            yield item

    return each()
