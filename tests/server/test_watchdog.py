"""What blocks a loop is noticed while it does: on real loops, without waiting for a clock.

What blocks here waits for the warning itself, so that a test takes as long as the watchdog needs.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import framerpc
from framerpc import ConfigurationError, DeadlineExceeded, Watchdog
from framerpc.server.culprit import NOBODY, Culprit
from framerpc.server.watchdog import Block, Blocks, _frame_of, watch
from framerpc.testing import virtual_time
from tests.survival.siege import settled

QUICK = Watchdog(threshold=0.1, interval=0.02)
NAME = "framerpc-watchdog"
NO_CALL = "what belongs to no call"


class Warned(logging.Handler):
    """Lets what blocks go on as soon as it has been warned of."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.warned = threading.Event()
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self.waits = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.WARNING:
            self.notes.append(record.getMessage())
            return
        self.warnings.append(record.getMessage())
        if "in Warned.block" in self.warnings[-1]:  # and not a loaded machine's
            self.warned.set()

    def about(self, culprit: str) -> list[str]:
        """Return the warnings that blame `culprit`: on a loaded machine there may be others."""
        return [warning for warning in self.warnings if f"by {culprit}, at" in warning]

    def block(self) -> None:
        """Block until the warning is there."""
        self.warned.clear()
        assert self.warned.wait(20), "nobody noticed"


@contextmanager
def warned() -> Iterator[Warned]:
    logger, handler = logging.getLogger("framerpc.server"), Warned()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def watchdogs() -> int:
    return sum(thread.name == NAME for thread in threading.enumerate())


def serving(handler: Warned, **options: Any) -> framerpc.Server:
    """A server with a method that blocks its loop."""
    server = framerpc.Server(watchdog=QUICK, **options)

    @server.method
    async def block() -> str:
        handler.block()  # the line to blame is in Warned.block
        return "done"

    @server.method
    async def later() -> str:
        await asyncio.sleep(0)
        handler.block()
        return "done"

    @server.method
    async def wait() -> None:
        handler.waits.set()
        await asyncio.get_running_loop().create_future()

    return server


@pytest.mark.parametrize("method", ["block", "later"])
async def test_warning_names_method_file_and_line(method: str) -> None:
    """It comes once, while the loop is blocked, also for a handler that has waited before."""
    with warned() as handler:
        async with serving(handler).listen("tcp://127.0.0.1:0", grace=0) as server:
            async with framerpc.connect(server.url) as client:
                assert await client.call(method) == "done"
                await settled(lambda: server.statistics()["blocks"] >= 1)
        (warning,) = handler.about(method)
        assert f"by {method}, at {__file__}:" in warning
        assert "in Warned.block" in warning
        assert "handler.block()" in warning.splitlines()[2]  # the stack begins with the handler
        (note,) = (note for note in handler.notes if f"by {method}, at" in note)
        assert "was blocked" in note


async def test_block_of_no_call_is_named_as_well() -> None:
    """What the application runs beside the server may block it, too."""
    with warned() as handler:
        async with serving(handler).listen("memory://no-call", grace=0) as server:
            await asyncio.sleep(0)
            handler.block()
            await settled(lambda: server.statistics()["blocks"] >= 1)
        assert any("in Warned.block" in warning for warning in handler.about(NO_CALL))


@pytest.mark.parametrize("trusted", [True, False])
async def test_deadline_says_what_blocked_the_loop(trusted: bool) -> None:
    """A call that suffered hears the method, and who is trusted the place."""
    with warned() as handler:
        server = serving(handler, trusted=trusted)
        async with server.listen("tcp://127.0.0.1:0", grace=0):
            async with framerpc.connect(server.url) as client:
                suffers = asyncio.create_task(client.with_options(timeout=1).call("wait"))
                await handler.waits.wait()
                assert await client.call("block") == "done"
                with pytest.raises(DeadlineExceeded) as caught:
                    await suffers
        where = dict(caught.value.where)
        (name,) = (name for name in where if name.startswith("in its loop, blocked by block"))
        assert (f", at {__file__}:" in name) is trusted
        assert 0.05 < where[name] <= where["handler"]


async def test_threads_end_with_their_servers() -> None:
    """One thread for a loop however many servers it has, none after the last of them."""
    before = watchdogs()
    one, two = framerpc.Server(), framerpc.Server()
    async with one.listen("memory://one", grace=0):
        async with two.listen("memory://two", grace=0):
            assert watchdogs() == before + 1
        assert watchdogs() == before + 1
    assert watchdogs() == before
    async with framerpc.Server(watchdog=None).listen("memory://none", grace=0):
        assert watchdogs() == before


@virtual_time
async def test_virtual_loop_is_not_watched() -> None:
    """Nothing can block a loop whose time stands still meanwhile."""
    async with framerpc.Server().listen("memory://virtual", grace=0):
        assert watchdogs() == 0
        await asyncio.sleep(3600)


async def test_starting_that_fails_leaves_no_thread() -> None:
    """A server that cannot listen has no loop to watch."""
    async with framerpc.Server().listen("memory://taken", grace=0):
        before = watchdogs()
        with pytest.raises(OSError, match="taken"):
            await framerpc.Server(watchdog=QUICK).start("memory://taken")
        assert watchdogs() == before


def test_thread_ends_with_a_loop_that_was_thrown_away(loop_factory: Any) -> None:
    """A server that was never closed does not keep a thread for ever."""
    before = set(threading.enumerate())
    loop = loop_factory()

    async def forget() -> None:
        watch(loop, QUICK, lambda _: None)

    loop.run_until_complete(forget())
    (thread,) = set(threading.enumerate()) - before
    loop.close()
    thread.join(10)
    assert not thread.is_alive()


def test_loop_that_does_not_run_is_not_blocked(loop_factory: Any) -> None:
    """Between two runs of a loop nobody is to blame."""
    with warned() as handler:
        loop = loop_factory()
        blocks: list[Block] = []

        async def begin() -> Any:
            return watch(loop, QUICK, blocks.append)

        async def finish(end: Any) -> None:
            await asyncio.sleep(0)
            await asyncio.sleep(0)  # by now the loop has noted a turn
            end()

        end = loop.run_until_complete(begin())
        threading.Event().wait(0.3)  # three times what a running loop may be without a turn
        loop.run_until_complete(finish(end))
        loop.close()
        assert (handler.warnings, blocks) == ([], [])


def test_blocks_are_added_up_for_a_call() -> None:
    """Only what was lost after a call arrived counts, and each culprit once."""
    blocks, mine = Blocks(), Culprit("Work/block", "a.py:1 in block")
    blocks.add(Block(mine, 1.0, 2.0))
    blocks.add(Block(NOBODY, 3.0, 3.5))
    blocks.add(Block(mine, 4.0, 6.0))
    assert blocks.during(0.0) == {mine: 3.0, NOBODY: 0.5}
    assert blocks.during(1.5) == {mine: 2.5, NOBODY: 0.5}
    assert blocks.during(5.5) == {mine: 0.5}
    assert blocks.during(6.0) == {}


def test_blocks_remembered_are_bounded() -> None:
    """All are counted, the last are kept."""
    blocks = Blocks()
    for n in range(1000):
        blocks.add(Block(NOBODY, n, n + 0.5))
    assert blocks.count == 1000
    assert len(blocks.recent) == 32


@pytest.mark.parametrize("bad", [{"threshold": 0}, {"interval": -1}, {"threshold": float("inf")}])
def test_impossible_options_are_refused(bad: dict[str, float]) -> None:
    """Times are finite and above zero."""
    with pytest.raises(ConfigurationError):
        Watchdog(**bad)


@pytest.mark.parametrize("collecting", [True, False])
def test_looking_at_a_thread_leaves_the_garbage_collector_as_it_was(collecting: bool) -> None:
    """None begins while the frames are made, where it might stop the process for ever."""
    was = gc.isenabled()
    (gc.enable if collecting else gc.disable)()
    try:
        frame = _frame_of(threading.get_ident())
        assert frame is not None
        assert frame.f_code.co_name == "_frame_of"
        assert gc.isenabled() is collecting
        assert _frame_of(-1) is None
        assert gc.isenabled() is collecting
    finally:
        (gc.enable if was else gc.disable)()
