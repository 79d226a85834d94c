"""Idempotency keys: which publishes were done already, and what their receipt was.

A publisher that did not see the answer sends again with the same key. The window is bounded in
keys and in age; a key that has left it counts as new. A key belongs to a topic.

Spec: protocol.md, "Positions and history".
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

from framerpc.errors import InvalidArgument

if TYPE_CHECKING:
    from framerpc.pubsub.events import Published
    from framerpc.pubsub.store import Message

__all__ = ["MAX_KEY", "Dedupe", "check_key", "digest", "duplicate_of"]

MAX_KEY: Final = 255
"""Longest idempotency or conflation key, in characters."""


def check_key(key: object, what: str) -> None:
    """Refuse a key that is too long.

    Raises:
        InvalidArgument: It is not text of at most `MAX_KEY` characters.
    """
    if not isinstance(key, str) or len(key) > MAX_KEY:
        raise InvalidArgument(f"{what} must be text of at most {MAX_KEY} characters")


def digest(message: Message) -> bytes:
    """Return what two messages have in common only if they are the same."""
    content = hashlib.blake2b(message.data, digest_size=16)
    content.update(message.conflate.encode())
    return content.digest()


def duplicate_of(message: Message, known: bytes, first: Published) -> Published:
    """Return the receipt for a message whose key was used before.

    Args:
        message: The message.
        known: Digest of the message that the key was used for.
        first: The receipt of that one.

    Raises:
        InvalidArgument: It was another message.
    """
    if known != digest(message):
        raise InvalidArgument(
            f"idempotency key {message.key!r} was used for another message on {message.topic!r}; "
            "take a new key for each message"
        )
    return first._replace(subscribers=0, duplicate=True)


class _Entry(NamedTuple):
    digest: bytes
    receipt: Published
    since: float


class Dedupe:
    """The keys of recent publishes.

    Args:
        limit: Keys remembered.
        ttl: Seconds that a key is remembered.

    Attributes:
        forgotten: Keys that made room for others before their time.
    """

    __slots__ = ("_entries", "_limit", "_ttl", "forgotten")

    def __init__(self, limit: int, ttl: float) -> None:
        self._limit = limit
        self._ttl = ttl
        self._entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, message: Message, now: float) -> Published | None:
        """Return the receipt if the message was published before.

        Raises:
            InvalidArgument: Its key was used for another message.
        """
        if message.key is None:
            return None
        self._expire(now)
        entry = self._entries.get((message.topic, message.key))
        return duplicate_of(message, entry.digest, entry.receipt) if entry else None

    def note(self, message: Message, receipt: Published, now: float) -> None:
        """Remember the key of a message that was published."""
        if message.key is not None:
            self.put((message.topic, message.key), digest(message), receipt, now)

    def put(self, name: tuple[str, str], known: bytes, receipt: Published, now: float) -> None:
        """Remember the key of a message of which only the digest is known.

        Args:
            name: Topic and key.
            known: Digest of the message.
            receipt: What its publisher was told.
            now: When that was.
        """
        if len(self._entries) >= self._limit:
            self._entries.popitem(last=False)
            self.forgotten += 1
        self._entries[name] = _Entry(known, receipt, now)

    def _expire(self, now: float) -> None:
        while self._entries:
            oldest = next(iter(self._entries))
            if now - self._entries[oldest].since < self._ttl:
                return
            del self._entries[oldest]
