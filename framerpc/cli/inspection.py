"""`framerpc inspect`: the services of a live server, with signatures and docs."""

from __future__ import annotations

import json
import sys
import textwrap
from typing import TYPE_CHECKING, Any

from framerpc.cli.common import add_client_options, connected, run

if TYPE_CHECKING:
    import argparse

    from framerpc.cli.common import Commands

__all__ = ["add_parser"]


def add_parser(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "inspect",
        help="list the methods of a live server",
        description="Print the services and methods of a live server, with their docs.",
    )
    add_client_options(parser)
    parser.add_argument("--json", action="store_true", help="print the whole description as JSON")
    parser.add_argument("--all", action="store_true", help="the built-in methods as well")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    return run(_inspect(options))


async def _inspect(options: argparse.Namespace) -> int:
    async with connected(options) as client:
        described: dict[str, Any] = await client.call("framerpc/describe")
        health: dict[str, Any] = await client.call("framerpc/health")
    if options.json:
        sys.stdout.write(json.dumps(described, indent=2) + "\n")
        return 0
    sys.stdout.write(f"{options.url}  {health['agent']}, {health['status']}\n")
    services: dict[str, str] = {
        service["name"]: service["doc"] for service in described.get("services", ())
    }
    current: str | None = None
    for method in sorted(described["methods"], key=lambda method: str(method["name"])):
        service, _, _ = method["name"].rpartition("/")
        if service == "framerpc" and not options.all:
            continue
        if service != current:
            current = service
            sys.stdout.write(f"\n{service or '(functions)'}\n")
            _indented(services.get(service, ""), 2)
        sys.stdout.write(f"\n  {method['name']}{method['signature']}{_notes(method)}\n")
        _indented(method["doc"], 4)
    return 0


def _notes(method: dict[str, Any]) -> str:
    notes = [name for name in ("idempotent", "once") if method.get(name)]
    notes += [f"resumed by {method['resume']}"] if method.get("resume") else []
    return f"  [{', '.join(notes)}]" if notes else ""


def _indented(text: str, width: int) -> None:
    if text:
        sys.stdout.write(textwrap.indent(text.strip(), " " * width) + "\n")
