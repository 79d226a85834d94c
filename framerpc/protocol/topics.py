"""What topics say inside the bodies of their calls: names, options, and the items of a stream.

Topics are a layer over calls: nothing here is a frame. This module owns the layouts, which both
sides share; who subscribes to what is known to the broker, and who may to the server.

Spec: protocol.md, "Topics".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import msgspec

from framerpc.codecs import packb
from framerpc.protocol.kinds import MAX_UINT

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "HISTORY",
    "ITEMS",
    "LONGEST_KEY",
    "POLICIES",
    "PRESENCE",
    "PUBLISH",
    "SINCE",
    "SUBSCRIBE",
    "TOPICS",
    "CheckItem",
    "GapItem",
    "HistoryOptions",
    "HistoryPage",
    "Item",
    "MessageItem",
    "PublishOptions",
    "Receipt",
    "SnapshotItem",
    "Started",
    "SubscribeOptions",
    "decode_item",
    "encode_check",
    "encode_gap",
    "encode_message",
    "encode_snapshot",
    "encode_started",
]

TOPICS: Final = "topics"
"""The feature that both sides name in their greeting."""

SUBSCRIBE: Final = "framerpc/subscribe"
PUBLISH: Final = "framerpc/publish"
HISTORY: Final = "framerpc/history"
PRESENCE: Final = "framerpc/presence"

SINCE: Final = "framerpc-since"
"""The key of metadata under which a caller says where it resumes a watch."""

POLICIES: Final = ("disconnect", "drop_oldest", "drop_newest", "latest")
"""What may be done when the queue of a subscriber is full."""

LONGEST_KEY: Final = 255
"""Bytes of the key of a publish, and of the name of a queue group."""

_Uint: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MAX_UINT)]
_Since: TypeAlias = str | _Uint | dict[str, str] | None


class PublishOptions(msgspec.Struct, omit_defaults=True, gc=False):
    """The options of `framerpc/publish`."""

    key: str | None = None
    conflate: str = ""


class SubscribeOptions(msgspec.Struct, omit_defaults=True):
    """The options of `framerpc/subscribe`."""

    since: _Since = None
    since_ms: _Uint | None = None
    mark: str = ""
    group: str | None = None
    policy: str | None = None
    max_queue: _Uint | None = None

    def resumed(self, positions: dict[str, str] | None, mark: str) -> SubscribeOptions:
        """Return the same options, to go on behind these positions."""
        return msgspec.structs.replace(self, since=positions, since_ms=None, mark=mark)


class HistoryOptions(msgspec.Struct, omit_defaults=True):
    """The options of `framerpc/history`."""

    since: _Since = None
    since_ms: _Uint | None = None
    limit: _Uint | None = None


class Receipt(msgspec.Struct, array_like=True, gc=False):
    """The result of `framerpc/publish`."""

    subscribers: int
    epoch: str | None
    offset: int | None
    duplicate: bool


class HistoryPage(msgspec.Struct, array_like=True):
    """The result of `framerpc/history`; a message is the body of a MESSAGE."""

    recovered: bool
    top: str | None
    messages: list[bytes]
    more: bool


class MessageItem(msgspec.Struct, array_like=True, tag=0, gc=False):
    """A message, the same bytes for every subscriber."""

    topic: str
    data: bytes
    epoch: str | None
    offset: int | None
    stamp_ms: int | None


class Started(msgspec.Struct, array_like=True, tag=1):
    """The subscription exists; says where it begins."""

    recovered: bool
    mark: str
    positions: dict[str, str]
    complete: bool
    exact: bool


class GapItem(msgspec.Struct, array_like=True, tag=2):
    """Messages were dropped here, so many of each topic."""

    dropped: dict[str, int]


class SnapshotItem(msgspec.Struct, array_like=True, tag=3, gc=False):
    """The state behind a watch."""

    data: bytes


class CheckItem(msgspec.Struct, array_like=True, tag=4):
    """Everything up to these positions was sent before."""

    positions: dict[str, str]


Item: TypeAlias = MessageItem | Started | GapItem | SnapshotItem | CheckItem

ITEMS: Final[dict[int, type[Item]]] = {
    0: MessageItem,
    1: Started,
    2: GapItem,
    3: SnapshotItem,
    4: CheckItem,
}
"""The items by their kind."""

_decode: Final = msgspec.msgpack.Decoder(Item).decode


class _AnyItem(msgspec.Struct, array_like=True):
    kind: int


_decode_any: Final = msgspec.msgpack.Decoder(_AnyItem).decode


def decode_item(body: bytes | bytearray | memoryview) -> Item | None:
    """Return the item that `body` holds, or None for one of a kind that we do not know.

    Raises:
        ValueError: It is none; the text says why.
    """
    try:
        item: Item = _decode(body)
    except msgspec.ValidationError:
        if _decode_any(body).kind in ITEMS:
            raise
        return None
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc
    return item


def encode_message(
    topic: str, data: bytes, epoch: str | None, offset: int | None, stamp_ms: int | None
) -> bytes:
    """Return the body of a MESSAGE."""
    return packb((0, topic, data, epoch, offset, stamp_ms))


def encode_started(started: Started) -> bytes:
    """Return the body of a STARTED."""
    return packb(
        (1, started.recovered, started.mark, started.positions, started.complete, started.exact)
    )


def encode_gap(dropped: Mapping[str, int]) -> bytes:
    """Return the body of a GAP."""
    return packb((2, dict(dropped)))


def encode_snapshot(data: bytes) -> bytes:
    """Return the body of a SNAPSHOT; `data` is an encoded value."""
    return packb((3, data))


def encode_check(positions: Mapping[str, str]) -> bytes:
    """Return the body of a CHECK."""
    return packb((4, dict(positions)))
