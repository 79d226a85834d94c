"""Show the dashboard: `python -m examples.dashboard [--seconds N]`.

A server, a few machines that report, and one viewer, all in this process. Every two seconds the
viewer loses its connection, and nobody notices. Without a terminal it shows the last state only.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys

import framerpc
from examples.dashboard.screen import Board
from examples.dashboard.service import POLICIES, Fleet, pretend

MACHINES = ("ada", "bell", "curie", "dirac", "euler", "fermi", "gauss", "hopper")


async def show(client: framerpc.Client, board: Board, *, live: bool) -> None:
    """Follow the fleet and draw it, until cancelled."""
    async for update in client.stub(Fleet).watch():
        board.take(update)
        if live:
            # Home, each line to its end, and the rest of the screen: nothing flickers.
            text = "\033[K\n".join(board.lines(colour=True))
            sys.stdout.write(f"\033[H{text}\033[K\033[J")
            sys.stdout.flush()


async def fail_now_and_then(client: framerpc.Client) -> None:
    """Cut the viewer's connection, to show that it does not matter."""
    while True:
        await asyncio.sleep(2)
        await client.drop_connections()


async def main(seconds: float | None, *, live: bool) -> Board:
    """Run everything for so many seconds; return what the viewer has seen."""
    board = Board()
    server = framerpc.Server(Fleet(), topics=POLICIES)
    async with (
        server.listen("tcp://127.0.0.1:0", grace=0),
        framerpc.connect(server.url) as client,
    ):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as tasks:
                for name in MACHINES:
                    tasks.create_task(pretend(server.url, name, pause=0.25))
                tasks.create_task(fail_now_and_then(client))
                tasks.create_task(show(client, board, live=live))
    return board


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="examples.dashboard", description=__doc__)
    parser.add_argument("--seconds", type=float, help="stop after so many seconds")
    options = parser.parse_args()
    on_terminal = sys.stdout.isatty()
    length = options.seconds if options.seconds or on_terminal else 3.0
    if on_terminal:
        sys.stdout.write("\033[2J\033[?25l")  # clear, and hide the cursor
    last: Board | None = None
    try:
        last = asyncio.run(main(length, live=on_terminal))
    except KeyboardInterrupt:
        pass
    finally:
        if on_terminal:
            sys.stdout.write("\033[?25h\n")
    if last is not None and not on_terminal:
        sys.stdout.write("\n".join(last.lines(colour=False)) + "\n")
