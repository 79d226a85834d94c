"""The store in a file: what was acknowledged is there after a crash, with the same positions.

All that is kept is in memory as well, in the very structures of the memory store, so reading a
history touches no disk and answers as that one does. The file is its journal: a publish is placed,
written and committed by the one thread, and only then kept, delivered and acknowledged. All that
is published while a commit is under way goes into the next one, so that many publishes cost
one flush.

Time passes for a message while the store is open: its age stands still while it is not. A
crash takes back the time since the last commit.

Topics without history are not written, nor are their idempotency keys.

Spec: protocol.md, "Positions and history".
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from framerpc.backplane.memory import nobody, unkept
from framerpc.backplane.shelf import Shelf
from framerpc.backplane.shelved import Shelved
from framerpc.backplane.sqlite_batch import Waiting, batch_of, place
from framerpc.backplane.sqlite_file import Batch, SqliteFile
from framerpc.backplane.sqlite_rows import load
from framerpc.config import MIB
from framerpc.errors import CallError, ResourceExhausted
from framerpc.pubsub.events import MESSAGE_COST, Published
from framerpc.pubsub.store import StoreError
from framerpc.topic_config import TopicLimits

if TYPE_CHECKING:
    import os

    from framerpc.backplane.sqlite_batch import Placed
    from framerpc.pubsub.positions import Position
    from framerpc.pubsub.store import Deliver, Message

__all__ = ["SqliteStore"]


class SqliteStore(Shelved):
    """Histories in a file; a `Store`.

    Args:
        path: The file. It is made if it is not there; its folder must be. One process at a
            time can use it.
        limits: What it may keep.
        max_bytes: Size that the file may grow to, its journal not counted; None for no limit.
            Beyond it: `StoreFull`.
        max_waiting: Publishes that may wait for the disk. Beyond it: `ResourceExhausted`.
        max_waiting_bytes: The same in bytes, each counted with 64 bytes on top.

    Attributes:
        commits: Transactions committed so far.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        limits: TopicLimits | None = None,
        *,
        max_bytes: int | None = None,
        max_waiting: int = 10_000,
        max_waiting_bytes: int = 64 * MIB,
    ) -> None:
        self._limits = limits or TopicLimits()
        super().__init__(Shelf(self._limits, "closed"))
        self.commits = 0
        self._path = Path(path)
        self._max_bytes = max_bytes
        self._max_waiting = max_waiting
        self._max_waiting_bytes = max_waiting_bytes
        self._file: SqliteFile | None = None  # None unless it is open
        self._loaded: SqliteFile | None = None  # for the thread only
        self._deliver: Deliver = nobody
        self._thread: ThreadPoolExecutor | None = None
        self._clock = 0.0  # the time of the store when that of the loop was 0
        self._now = 0.0  # the time of the store, when it was last told
        self._waiting: deque[Waiting] = deque()
        self._waiting_bytes = 0
        self._idle = asyncio.Event()  # no commit is under way, and none is needed
        self._idle.set()

    def __repr__(self) -> str:
        state = "open" if self._file else "closed"
        return f"<SqliteStore {self._path} {state} waiting={len(self._waiting)} {self._shelf!r}>"

    def statistics(self) -> dict[str, int]:
        """Return what is kept, what left before its time, and what waits for the disk."""
        return super().statistics() | {
            "waiting": len(self._waiting),
            "waiting_bytes": self._waiting_bytes,
            "commits": self.commits,
        }

    # -------------------------------------------------------- opening, closing

    async def open(self, deliver: Deliver, now: float) -> None:
        """Open the file and read all of it; see `Store.open`. Cancelling it leaves it closed."""
        self._thread = ThreadPoolExecutor(1, "framerpc-sqlite")
        loop = asyncio.get_running_loop()
        try:
            contents = await loop.run_in_executor(self._thread, self._load)
        except CallError:
            self._thread.shutdown()
            raise
        except BaseException:
            self._thread.submit(self._unload)  # behind the loading, which cannot be stopped
            self._thread.shutdown(wait=False)
            raise
        self._file, self._shelf, clock = contents
        self._clock, self._now = clock - now, clock
        self._deliver = deliver

    def _load(self) -> tuple[SqliteFile, Shelf, float]:
        file = SqliteFile(self._path, secrets.token_hex(6), self._max_bytes)
        try:
            contents = file.contents()
            shelf = load(contents, self._limits)
        except BaseException:
            file.close()
            raise
        self._loaded = file
        return file, shelf, contents.clock

    def _unload(self) -> None:
        if self._loaded is not None:
            self._loaded.close()

    async def close(self, now: float) -> None:
        """Write what waits, close the file, and end the thread; see `Store.close`.

        Cancelling it refuses what waits, and leaves the closing to the thread.
        """
        file, self._file = self._file, None  # from now on nothing is taken
        if file is None or self._thread is None:
            return
        loop = asyncio.get_running_loop()
        try:
            await self._idle.wait()
            self._at(now)
            last = batch_of((), self._shelf, self._limits, self._now)
            await loop.run_in_executor(self._thread, _write_and_close, file, last)
        except CallError:
            self._thread.shutdown()
            raise
        except BaseException:
            while self._waiting:
                self._answer(self._waiting.popleft(), StoreError("the store was closed"))
            self._thread.submit(file.close)
            self._thread.shutdown(wait=False)
            raise
        self._thread.shutdown()  # it has nothing to do any more, so this does not wait

    # ------------------------------------------------------------- publishing

    async def append(self, message: Message, now: float) -> Published:
        """Keep and deliver a message; see `Store.append`."""
        at = self._at(now)
        keys = self._shelf.keys
        if message.key is not None and (done := keys.find(message, at)):
            return done
        if message.policy.history:
            return await self._enqueue(message, at)
        receipt = Published(None, None, self._deliver(unkept(message)), duplicate=False)
        keys.note(message, receipt, at)
        return receipt

    def _enqueue(self, message: Message, at: float) -> asyncio.Future[Published]:
        """Let a message wait for the next commit."""
        if self._file is None:
            raise StoreError(f"the store in {self._path} is not open")
        size = MESSAGE_COST + len(message.topic) + len(message.data)
        if (
            len(self._waiting) >= self._max_waiting
            or self._waiting_bytes + size > self._max_waiting_bytes
        ):
            raise ResourceExhausted(
                f"{len(self._waiting)} publishes of {self._waiting_bytes} bytes wait for the disk "
                "(SqliteStore max_waiting, max_waiting_bytes)"
            )
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Published] = loop.create_future()
        self._waiting.append(Waiting(message, at, done, size))
        self._waiting_bytes += size
        if self._idle.is_set():
            self._idle.clear()
            loop.call_soon(self._commit, self._file)  # with all that this wake-up publishes
        return done

    def _commit(self, file: SqliteFile) -> None:
        """Write what waits, if there is anything."""
        placed, refused = place(self._waiting, self._shelf)
        for each, result in refused:
            self._answer(each, result)
        if not placed:
            self._idle.set()
            return
        batch = batch_of(placed, self._shelf, self._limits, self._now)
        written = asyncio.get_running_loop().run_in_executor(self._thread, file.write, batch)
        written.add_done_callback(partial(self._committed, file, placed, batch))

    def _committed(
        self,
        file: SqliteFile,
        placed: list[Placed],
        batch: Batch,
        written: asyncio.Future[None],
    ) -> None:
        """Deliver and acknowledge what was written, or say why it was not; then go on."""
        shelf = self._shelf
        shelf.held.clear()
        error = _error_of(written)
        try:
            if error is None:
                self.commits += 1
                for each, position in placed:
                    self._keep(each, position)
            else:
                shelf.usage.removed = [*batch.removed, *(shelf.usage.removed or ())]
                shelf.forgotten = [*batch.forgotten, *(shelf.forgotten or ())]
                for each, _ in placed:
                    self._answer(each, error)
        finally:
            self._commit(file)  # whatever went wrong with one, others wait

    def _keep(self, each: Waiting, position: Position) -> None:
        made = self._shelf.keep(each.message, each.at)
        assert (made.epoch, made.offset) == position, "the file says another position"
        receipt = Published(made.offset, position, self._deliver(made), duplicate=False)
        self._shelf.keys.note(each.message, receipt, each.at)
        self._answer(each, receipt)

    def _answer(self, each: Waiting, result: Published | BaseException) -> None:
        self._waiting_bytes -= each.size
        if each.done.done():
            return  # nobody waits any more
        if isinstance(result, Published):
            each.done.set_result(result)
        else:
            each.done.set_exception(result)

    def _at(self, now: float) -> float:
        """Return the time of the store; it never goes back, not over a crash either."""
        self._now = max(self._now, self._clock + now)
        return self._now


def _error_of(written: asyncio.Future[None]) -> BaseException | None:
    """Return why something was not written, or None."""
    if written.cancelled():
        return StoreError("the event loop ended before this was written")
    return written.exception()


def _write_and_close(file: SqliteFile, batch: Batch) -> None:
    try:
        file.write(batch)
    finally:
        file.close()
