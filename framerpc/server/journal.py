"""What is written down of sessions and runs so that they survive the process, and when.

A run is written down before its handler is entered, and its answer before any caller is told:
after a crash an answer that was sent is still there, and a number that was running is known to
have been, though not with what success. Everything that comes while a write is under way goes
with the next one, so that a busy server waits for the disk once for many calls.

Records: under the token of a session its owner and floor; under token and number of a run its
mark, and its answer once there is one.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, cast

from framerpc.codecs import packb, unpackb
from framerpc.contract import values
from framerpc.errors import Status
from framerpc.server.failure import Failure
from framerpc.server.session import Run, Session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from framerpc.server.reply_store import ReplyStore
    from framerpc.server.session import Answer

__all__ = ["CUT_SHORT", "Journal", "owner_of"]

_logger: Final = logging.getLogger("framerpc.server")

_TOKEN: Final = 16
_NUMBER: Final = 8

CUT_SHORT: Final = Failure(Status.FORGOTTEN, "maybe", "the server stopped while the call ran")
"""The answer of a run of which only the beginning was written down."""


def owner_of(identity: object) -> bytes | None:
    """Return an identity as bytes that are equal in each process, or None if it has none.

    It is the name of the type and the encoded value: that of an object whose fields cannot be
    encoded does not survive, and one that encodes differently each time belongs to nobody.
    """
    try:
        encoded = values.encode(identity)
    except Exception:  # noqa: BLE001 - whatever an application's own object raises: it has none
        return None
    kind = type(identity)
    return f"{kind.__module__}.{kind.__qualname__}:".encode() + encoded


class Journal:
    """Writes to a store, one write at a time.

    Args:
        store: Where to.

    Attributes:
        failures: Writes that failed.
    """

    def __init__(self, store: ReplyStore) -> None:
        self.failures = 0
        self._store = store
        self._puts: dict[bytes, bytes] = {}
        self._deletes: set[bytes] = set()
        self._next: asyncio.Future[bool] | None = None  # true once the next write is done
        self._writer: asyncio.Task[None] | None = None
        self._closed = False

    # ------------------------------------------------------------------ what happens

    def keeps(self, session: Session) -> bool:
        """Return whether a session is written down: its owner has a name, and it is not over."""
        return session.owner is not None and not session.over

    def began(self, run: Run) -> asyncio.Future[bool]:
        """Write down that a run begins; return what will say whether that is durable."""
        self._put_session(run.session)
        return self._put(_key(run), packb([run.mark]))

    def ended(self, run: Run, answer: Answer) -> asyncio.Future[bool]:
        """Write down what a run ended with; return what will say whether that is durable."""
        if isinstance(answer, Failure):
            record = [run.mark, 1, answer.packed()]
        else:
            record = [run.mark, 0, bytes(answer)]
        return self._put(_key(run), packb(record))

    def dropped(self, run: Run) -> None:
        """Write down that a number is of no interest any more."""
        self._put_session(run.session)
        self._delete(_key(run))

    def forgot(self, session: Session) -> None:
        """Write down that a session is over."""
        if session.saved is not None:
            self._delete(session.token)
            for run in session.runs.values():
                self._delete(_key(run))
            session.saved = None

    # ------------------------------------------------------------------------ writing

    def _put_session(self, session: Session) -> None:
        if session.saved != session.floor:
            session.saved = session.floor
            self._put(session.token, packb([session.owner, session.floor]))

    def _put(self, key: bytes, value: bytes) -> asyncio.Future[bool]:
        self._deletes.discard(key)
        self._puts[key] = value
        return self._soon()

    def _delete(self, key: bytes) -> None:
        self._puts.pop(key, None)
        self._deletes.add(key)
        self._soon()

    def _soon(self) -> asyncio.Future[bool]:
        """Return what is done when all that is asked for now is written."""
        loop = asyncio.get_running_loop()
        if self._next is None:
            self._next = loop.create_future()
            if self._closed:  # a handler that did not stop in time has ended after all
                self._next.set_result(False)
            elif self._writer is None or self._writer.done():
                self._writer = loop.create_task(self._write())
        return self._next

    async def _write(self) -> None:
        while self._next is not None:
            done, self._next = self._next, None
            puts, self._puts = self._puts, {}
            deletes, self._deletes = self._deletes, set()
            try:
                await self._store.write(puts, deletes)
            except Exception:
                self.failures += 1
                _logger.exception("! %r: a write failed; calls go on", self._store)
                done.set_result(False)
            else:
                done.set_result(True)

    # -------------------------------------------------------------- beginning and end

    async def load(self) -> list[Session]:
        """Return the sessions of the last process, with the runs that it wrote down."""
        self._closed = False
        records = await self._store.load()
        sessions = _restored(records)
        for key in records:
            if key[:_TOKEN] not in sessions:
                self._delete(key)  # a failed write left it behind
        return list(sessions.values())

    async def close(self) -> None:
        """Write what is left, and close the store."""
        # What hears that a write is done may ask for another: an answer that has to make room.
        while self._writer is not None and not self._writer.done():
            await asyncio.wait([self._writer])
        self._closed = True
        await self._store.close()


def _key(run: Run) -> bytes:
    return run.session.token + run.number.to_bytes(_NUMBER, "big")


def _restored(records: Mapping[bytes, bytes]) -> dict[bytes, Session]:
    sessions: dict[bytes, Session] = {}
    for key, record in records.items():
        if len(key) == _TOKEN:
            owner, floor = cast("tuple[bytes, int]", unpackb(record))
            session = sessions[key] = Session(key, None, owner)
            session.floor = session.saved = floor
    for key, record in sorted(records.items()):
        session_of_run = sessions.get(key[:_TOKEN])
        if len(key) == _TOKEN + _NUMBER and session_of_run is not None:
            number = int.from_bytes(key[_TOKEN:], "big")
            fields = cast("list[Any]", unpackb(record))
            run = Run(session_of_run, number, fields[0], None)
            run.settled = True
            run.answer = _answer(fields)
            session_of_run.runs[number] = run
    return sessions


def _answer(fields: list[Any]) -> Answer:
    if len(fields) == 1:
        return CUT_SHORT
    _, failed, answer = fields
    return Failure.unpacked(answer) if failed else cast("bytes", answer)
