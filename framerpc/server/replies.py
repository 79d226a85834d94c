"""The answers that a server keeps for calls that may be sent again: bounded, and fair.

Bounds: entries, bytes and time. Where there is no room, a session that holds more than an equal
share loses its own oldest answer, and only otherwise the oldest of all goes: a client that calls
much cannot push out the answers of the others. It knows no protocol: what it means that an
answer is gone is up to `runs`.

Spec: protocol.md, "Once" and "Limits".
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from framerpc.codecs import packb
from framerpc.server.expiry import Expiry
from framerpc.server.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from framerpc.config import Limits
    from framerpc.server.session import Answer, Run, Session

__all__ = ["ENTRY_COST", "Replies", "cost_of"]

ENTRY_COST: Final = 512
"""Bytes that an answer is taken to cost besides itself: its entry in the tables."""


def cost_of(answer: Answer) -> int:
    """Return what it costs to keep an answer, in bytes."""
    if isinstance(answer, Failure):
        return ENTRY_COST + len(packb(answer.packed()))
    return ENTRY_COST + len(answer)


class Replies:
    """The cache of one server.

    Args:
        limits: `max_replies`, `max_reply_bytes` and `reply_ttl` are what we keep.
        dropped: Told of each run whose answer has to go; it then calls `release`.

    Attributes:
        size: What all answers cost, in bytes.
        evicted: How many had to go before their time.
    """

    __slots__ = ("_dropped", "_holders", "_limits", "_order", "evicted", "size")

    def __init__(self, limits: Limits, dropped: Callable[[Run], None]) -> None:
        self._limits = limits
        self._dropped = dropped
        self._order: Expiry[Run] = Expiry(limits.reply_ttl, dropped)
        self._holders: dict[Session, OrderedDict[Run, None]] = {}
        self.size = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._order)

    def keep(self, run: Run, answer: Answer) -> None:
        """Keep an answer; what there is no room for is dropped, perhaps this very one."""
        run.cost = cost_of(answer)
        session = run.session
        self._order.add(run)
        self._holders.setdefault(session, OrderedDict())[run] = None
        session.kept += run.cost
        self.size += run.cost
        while len(self) > self._limits.max_replies or self.size > self._limits.max_reply_bytes:
            self.evicted += 1
            self._dropped(self._victim(session))

    def release(self, run: Run) -> None:
        """Keep an answer no longer. Idempotent."""
        session = run.session
        held = self._holders.get(session)
        if held is None or run not in held:
            return
        del held[run]
        if not held:
            del self._holders[session]
        self._order.discard(run)
        session.kept -= run.cost
        self.size -= run.cost

    def _victim(self, session: Session) -> Run:
        """Return the answer that has to go so that `session` can keep its newest."""
        held = self._holders.get(session)
        if held is not None and session.kept * len(self._holders) >= self.size:
            return next(iter(held))
        return next(iter(self._order))

    def clear(self) -> None:
        """Keep nothing any more."""
        self._order.clear()
        self._holders.clear()
        self.size = 0
