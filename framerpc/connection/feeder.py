"""The sending end of a stream whose producer cannot wait: it sends now, or says that it cannot.

A feeder has no task and no timer: whoever feeds it keeps what did not fit, and is told when there
is room. A stream that is fed may stand still for ever, on both sides.

Spec: protocol.md, "Topics" and "Streams".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from framerpc.protocol.frames import PART_SIZE, Kind, encode
from framerpc.protocol.streams import ITEM_COST

if TYPE_CHECKING:
    from collections.abc import Callable

    from framerpc.call import Buffer
    from framerpc.connection.outbox import Outbox
    from framerpc.protocol.wire import Wire

__all__ = ["ItemFeeder"]

_ITEM: Final = Kind.ITEM.value


class ItemFeeder:
    """The sending end of one stream.

    Attributes:
        on_room: Called when there may be room again. It must not raise.
        longest: Bytes of the longest item that the peer takes.
    """

    __slots__ = ("_call_id", "_closed", "_outbox", "_streams", "longest", "on_room")

    def __init__(self, wire: Wire, outbox: Outbox, call_id: int) -> None:
        self.on_room: Callable[[], None] | None = None
        self.longest = wire.peer.message
        self._outbox = outbox
        self._call_id = call_id
        self._streams = wire.calls.streams_of(call_id)
        self._closed = False  # for good, or while a long item is on its way

    def try_send(self, item: Buffer) -> bool:
        """Send an item of at most `longest` bytes, if it can be sent now; return whether it was."""
        streams = self._streams
        if streams.may_send <= 0 or self._closed or self._outbox.paused is not None:
            return False
        size = len(item)
        if size > PART_SIZE and not self._outbox.has_room(size):
            return False
        streams.may_send -= ITEM_COST + size
        if size <= PART_SIZE:
            self._outbox.send(encode(_ITEM, self._call_id, item))
        else:
            self._closed = True
            head = encode(_ITEM, self._call_id, size)
            self._outbox.send_body(head, self._call_id, item, self._sent)
        return True

    def _sent(self, whole: bool) -> None:  # noqa: FBT001 - the callback's shape
        if whole:  # otherwise the call has ended
            self._closed = False
            self.wake()

    # Called by the stream ends of the connection.

    def wake(self) -> None:
        """There may be room again."""
        if self.on_room is not None:
            self.on_room()

    def stop(self, error: BaseException | None = None) -> None:  # noqa: ARG002 - as for a writer
        """Send nothing more."""
        self._closed = True
        self.on_room = None
