"""The store in memory: what is published is there as long as the process.

Its methods never wait, so a publish through it needs no task. All other stores are compared with
it: it is what the interface means.

Spec: protocol.md, "Positions and history".
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from framerpc.backplane.shelf import Shelf
from framerpc.backplane.shelved import Shelved
from framerpc.pubsub.events import Publication, Published
from framerpc.pubsub.positions import Position
from framerpc.topic_config import TopicLimits

if TYPE_CHECKING:
    from framerpc.pubsub.store import Deliver, Message

__all__ = ["MemoryStore", "nobody", "unkept"]


class MemoryStore(Shelved):
    """Histories in this process; a `Store`.

    Args:
        limits: What it may keep.
        instance: Names this run in epochs: 1 to 32 letters and digits; drawn at random if not
            given.
    """

    def __init__(self, limits: TopicLimits | None = None, *, instance: str = "") -> None:
        super().__init__(Shelf(limits or TopicLimits(), instance or secrets.token_hex(6)))
        self._deliver: Deliver = nobody

    def __repr__(self) -> str:
        return f"<MemoryStore {self._shelf!r}>"

    async def open(self, deliver: Deliver, now: float) -> None:
        """Begin to deliver."""
        del now
        self._deliver = deliver

    async def close(self, now: float) -> None:
        """End; nothing is kept beyond the process."""
        del now

    async def append(self, message: Message, now: float) -> Published:
        """Keep and deliver a message; see `Store.append`."""
        keys = self._shelf.keys
        if message.key is not None and (done := keys.find(message, now)):
            return done
        if message.policy.history:
            made = self._shelf.keep(message, now)
            position = Position(made.epoch, made.offset)
            receipt = Published(made.offset, position, self._deliver(made), duplicate=False)
        else:
            receipt = Published(None, None, self._deliver(unkept(message)), duplicate=False)
        if message.key is not None:
            keys.note(message, receipt, now)
        return receipt


def unkept(message: Message) -> Publication:
    """Return a message of a topic without history, as it is delivered."""
    return Publication(message.topic, message.data, stamp=message.stamp, conflate=message.conflate)


def nobody(publication: Publication) -> int:
    """Deliver to nobody: for a store that is not open."""
    del publication
    return 0
