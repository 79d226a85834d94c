"""`framerpc bench`: how many calls a second a server answers, and how long each takes."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import framerpc
from framerpc.cli.common import add_client_options, connected, is_list, run, seconds
from framerpc.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse

    from framerpc.cli.common import Commands

__all__ = ["add_parser"]


def add_parser(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "bench",
        help="measure calls per second",
        description=(
            "Call one method over and over for a while and report calls per second and "
            "latencies. The client is one Python process and may well be the slower side."
        ),
    )
    add_client_options(parser)
    parser.add_argument(
        "--method",
        default="framerpc/health",
        metavar="METHOD",
        help="what to call (framerpc/health, which every server has)",
    )
    parser.add_argument(
        "--args", default="[]", metavar="JSON", help="its arguments, a JSON array ([])"
    )
    parser.add_argument("--seconds", type=seconds, default=5.0, metavar="S", help="how long (5)")
    parser.add_argument(
        "--in-flight", type=int, default=100, metavar="N", help="calls at once (100)"
    )
    parser.add_argument(
        "--connections", type=int, default=1, metavar="N", help="connections to share them (1)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_run)


class _Tally:
    """What was measured."""

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.errors = 0
        self.first_error = ""


def _run(options: argparse.Namespace) -> int:
    return run(_bench(options))


async def _bench(options: argparse.Namespace) -> int:
    args = _read_args(options.args)
    if options.in_flight < 1 or options.connections < 1 or not options.seconds:
        raise ConfigurationError("--in-flight, --connections and --seconds must be above 0")
    tally = _Tally()
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(connected(options)) for _ in range(options.connections)
        ]
        started = time.perf_counter()
        until = started + options.seconds
        await asyncio.gather(
            _progress(until, tally, quiet=options.json),
            *(
                _caller(clients[n % len(clients)], options.method, args, until, tally)
                for n in range(options.in_flight)
            ),
        )
        elapsed = time.perf_counter() - started
    _report(options, tally, elapsed)
    return 0 if tally.latencies else 1


def _read_args(text: str) -> list[Any]:
    try:
        args: Any = json.loads(text)
    except ValueError as exc:
        raise ConfigurationError(f"--args is not JSON: {exc}") from exc
    if not is_list(args):
        raise ConfigurationError(f"--args must be a JSON array such as [1, 2], got {text}")
    return args


async def _caller(
    client: framerpc.Client, method: str, args: list[Any], until: float, tally: _Tally
) -> None:
    while (now := time.perf_counter()) < until:
        try:
            await client.call(method, *args)
        except framerpc.FrameRPCError as error:
            tally.errors += 1
            tally.first_error = tally.first_error or str(error)
            await asyncio.sleep(0)
        else:
            tally.latencies.append(time.perf_counter() - now)


async def _progress(until: float, tally: _Tally, *, quiet: bool) -> None:
    """Show on a terminal that something goes on."""
    if quiet or not sys.stderr.isatty():
        return
    while (left := until - time.perf_counter()) > 0:
        sys.stderr.write(f"\r{len(tally.latencies):,} calls, {left:.0f} s left ")
        sys.stderr.flush()
        await asyncio.sleep(min(0.5, left))
    sys.stderr.write("\r\033[K")


def _report(options: argparse.Namespace, tally: _Tally, elapsed: float) -> None:
    ordered = sorted(tally.latencies) or [0.0]
    result: dict[str, Any] = {
        "method": options.method,
        "seconds": round(elapsed, 3),
        "calls": len(tally.latencies),
        "errors": tally.errors,
        "calls_per_second": round(len(tally.latencies) / elapsed, 1),
        "latency_ms": {
            name: round(ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000, 3)
            for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))
        },
    }
    if tally.first_error:
        result["first_error"] = tally.first_error
    if options.json:
        sys.stdout.write(json.dumps(result) + "\n")
        return
    if not tally.latencies:
        sys.stdout.write(f"no call of {options.method} succeeded\n")
    else:
        _print_figures(options, result)
    if tally.errors:
        sys.stdout.write(f"{tally.errors:,} errors; the first: {tally.first_error}\n")


def _print_figures(options: argparse.Namespace, result: dict[str, Any]) -> None:
    latency = result["latency_ms"]
    sys.stdout.write(
        f"{result['calls_per_second']:,.0f} calls/s of {options.method} "
        f"({options.in_flight} in flight, {options.connections} connections)\n"
        f"latency ms: p50 {latency['p50']}, p95 {latency['p95']}, p99 {latency['p99']}, "
        f"max {latency['max']}\n"
    )
