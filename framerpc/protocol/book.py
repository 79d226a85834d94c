"""The calls of one connection: which are alive, and what the frames do to them that we send.

Both sides keep the same book. Whether we are the caller or the callee of a call shows in its
id: odd ones were chosen by the client, even ones by the server. What received frames do
stands in `calls`.

Spec: protocol.md, "Calls" and "Streams".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from framerpc.errors import LocalProtocolError
from framerpc.protocol.bodies import IncomingBodies
from framerpc.protocol.frames import MAX_ID, Flag, Item, Kind, encode
from framerpc.protocol.handshake import window_of
from framerpc.protocol.states import CallState, Flow, Role
from framerpc.protocol.streams import ITEM_COST, NO_STREAMS, Streams

if TYPE_CHECKING:
    from framerpc.config import Limits

__all__ = ["STREAM_FLAGS", "CallBook"]

_SENDS_STREAM: Final = Flag.SENDS_STREAM.value
_WANTS_STREAM: Final = Flag.WANTS_STREAM.value
STREAM_FLAGS: Final = _SENDS_STREAM | _WANTS_STREAM

_LAST_IDS: Final = MAX_ID - 1  # from here on the ids begin again

_OPEN: Final = CallState.OPEN
_FLOWS: Final = Flow.OPEN


class CallBook:
    """The calls of one connection, and what sending does to them.

    Args:
        role: Which side we are.
        limits: What we are ready to receive.
        peer_window: Credit that the peer grants to a new stream, in bytes.

    Attributes:
        alive: State of each call that is not idle.
        bodies: Those that are on their way to us in parts.
        ignored: Frames that crossed with the end of their call.
        peer_window: Credit that the peer grants to a new stream, in bytes.
        serves: The peer may call us; on a client only if both sides have agreed to it.
    """

    __slots__ = (
        "_mixed",
        "_next_id",
        "_parity",
        "_streams",
        "_window",
        "alive",
        "bodies",
        "ignored",
        "peer_window",
        "serves",
    )

    def __init__(self, role: Role, limits: Limits, peer_window: int) -> None:
        self.alive: dict[int, CallState] = {}
        self.ignored = 0
        self.peer_window = peer_window
        self.serves = role is Role.SERVER
        self._parity = 1 if role is Role.CLIENT else 0
        self._next_id = 1 if role is Role.CLIENT else 2
        self._window = window_of(limits)
        self._streams: dict[int, Streams] = {}
        self.bodies = IncomingBodies(limits)
        self._mixed = limits.max_message < limits.max_frame  # a body in its frame may be too long

    # ---------------------------------------------------------------- sending

    def new_id(self) -> int:
        """Return an id that no live call of ours has."""
        call_id = self._next_id
        while call_id in self.alive:
            call_id = call_id + 2 if call_id < _LAST_IDS else 2 - self._parity
        self._next_id = call_id + 2 if call_id < _LAST_IDS else 2 - self._parity
        return call_id

    def opened(self, call_id: int, flags: int) -> None:
        """Note that we sent a REQUEST."""
        self.alive[call_id] = _OPEN
        if flags & STREAM_FLAGS:
            self._open_streams(call_id, flags & _SENDS_STREAM, flags & _WANTS_STREAM)

    def _open_streams(self, call_id: int, producing: int, consuming: int) -> None:
        self._streams[call_id] = Streams(
            producing=bool(producing),
            consuming=bool(consuming),
            may_send=self.peer_window,
            window=self._window,
        )

    def cancelled(self, call_id: int) -> bool:
        """Note that we gave our call up; return whether there is something to tell the peer."""
        if self.alive.get(call_id) is not _OPEN:
            return False
        self.alive[call_id] = CallState.CANCELLING
        if call_id in self._streams:
            self._streams[call_id].given_up()
        body = self.bodies.get(call_id)
        if body is not None and type(body.frame) is Item:
            self.bodies.forget(call_id)
        return True

    def ended(self, call_id: int) -> CallState:
        """Note that we sent the last frame of a call; return the state it had.

        Raises:
            LocalProtocolError: There is no such call.
        """
        state = self.alive.pop(call_id, None)
        if state is None:
            raise LocalProtocolError(f"call {call_id} is not alive; nothing can be sent about it")
        if self._streams:
            self._streams.pop(call_id, None)
        if self.bodies:
            self.bodies.forget(call_id)
        return state

    def may_send(self, call_id: int) -> bool:
        """Return whether an item may be sent now."""
        streams = self._streams.get(call_id, NO_STREAMS)
        return streams.may_send > 0 and streams.producing is _FLOWS

    def streams_of(self, call_id: int) -> Streams:
        """Return the streams of a call; one without any has `NO_STREAMS`."""
        return self._streams.get(call_id, NO_STREAMS)

    def sent_item(self, call_id: int, size: int) -> None:
        """Note that we sent an item of `size` bytes.

        Raises:
            LocalProtocolError: The call has no open stream in this direction, or no credit.
        """
        if not self.may_send(call_id):
            raise LocalProtocolError(f"call {call_id} may not send an item now")
        self._streams[call_id].may_send -= ITEM_COST + size

    def sent_end(self, call_id: int) -> bool:
        """Note that our upload ended; return whether there is something to tell the peer."""
        streams = self._streams.get(call_id, NO_STREAMS)
        if streams.producing is not _FLOWS:
            return False
        streams.producing = Flow.ENDED
        return self.alive.get(call_id) is _OPEN

    def consumed(self, call_id: int, size: int) -> bytes | None:
        """Note that the application took an item of `size` bytes.

        Returns:
            The CREDIT frame to send; None until half a window has been taken.
        """
        streams = self._streams.get(call_id, NO_STREAMS)
        if streams.consuming is not _FLOWS or self.alive.get(call_id) is not _OPEN:
            return None
        granted = streams.consumed(size)
        return encode(Kind.CREDIT.value, call_id, granted) if granted else None
