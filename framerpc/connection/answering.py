"""Answers and ends: what one side of a connection sends about calls that the peer began.

It owns which frame says what, and that an id is free again once its last frame has left. It
knows neither handlers nor the transport.

Spec: protocol.md, "Calls", "Streams" and "Bodies in parts".
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from framerpc.errors import ResourceExhausted
from framerpc.protocol.frames import PART_SIZE, Kind, Outcome, encode

if TYPE_CHECKING:
    from framerpc.call import Buffer
    from framerpc.connection.outbox import Outbox
    from framerpc.errors import Status
    from framerpc.protocol.wire import Wire

__all__ = ["Answering"]

_RESPONSE: Final = Kind.RESPONSE.value

_SHORT_DETAILS: Final = frozenset({"error_id", "may_retry", "name", "retry_after_ms"})
"""Details of an ERROR that are never long."""


class Answering:
    """The answering part of a `Connection`: a class of its own for the reader, not for use."""

    __slots__ = ()

    wire: Wire
    outbox: Outbox

    def respond(self, call_id: int, body: Buffer) -> asyncio.Future[None] | None:
        """Answer a call.

        Returns:
            None if the answer has left; otherwise what to wait for: a long body leaves in parts,
            and its call is in flight until the last one.

        Raises:
            MessageTooLarge: The result is over a limit; the call is still to be answered.
            ResourceExhausted: So much waits for this peer already that it does not fit; likewise.
        """
        size = len(body)
        wire = self.wire
        if size > wire.longest:
            wire.check_size(size, "", "yes")
        if size > PART_SIZE:
            return self._respond_in_parts(call_id, body, size)
        wire.calls.ended(call_id)
        if wire.calls.alive:
            self.outbox.send(encode(_RESPONSE, call_id, body))
        else:
            self.outbox.send_now(encode(_RESPONSE, call_id, body))
        return None

    def _respond_in_parts(self, call_id: int, body: Buffer, size: int) -> asyncio.Future[None]:
        if not self.outbox.has_room(size):
            raise ResourceExhausted(
                f"an answer of {size} bytes does not fit beside {self.outbox.bulk} bytes of others "
                f"that the caller has not read; Limits.max_outbox is {self.outbox.limit} bytes"
            )
        left: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def done(sent: bool) -> None:  # noqa: FBT001 - a callback
            if sent:
                self.wire.calls.ended(call_id)
            if not left.done():
                left.set_result(None)

        self.outbox.send_body(encode(_RESPONSE, call_id, size), call_id, body, done)
        return left

    def fail(
        self,
        call_id: int,
        status: Status,
        executed: int,
        detail: str,
        details: dict[str, Any] | None = None,
    ) -> None:
        """End a call with an error. What does not fit in a frame is left out, and said to be."""
        self._last_frame(call_id)
        frame = encode(Kind.ERROR.value, call_id, status.value, executed, detail, details)
        if len(frame) > self.wire.peer.frame:
            detail = f"{detail[:1000]} (the rest of the error is too long to send)"
            kept = {key: (details or {})[key] for key in _SHORT_DETAILS & (details or {}).keys()}
            frame = encode(Kind.ERROR.value, call_id, status.value, executed, detail, kept)
        self.outbox.send(frame)

    def end_stream(self, call_id: int) -> None:
        """End a call whose answer was a stream."""
        self._last_frame(call_id)
        self.outbox.send(encode(Kind.END.value, call_id))

    def receipt(self, call_id: int, outcome: Outcome) -> None:
        """End a cancelled call by telling what became of it."""
        self._last_frame(call_id)
        self.outbox.send(encode(Kind.RECEIPT.value, call_id, outcome.value))

    def _last_frame(self, call_id: int) -> None:
        """Note the last frame of a call: no part of an unfinished body may follow it."""
        self.wire.calls.ended(call_id)
        self.outbox.drop_body(call_id)

    def end_upload(self, call_id: int) -> None:
        """Tell the callee that our stream is complete."""
        if self.wire.calls.sent_end(call_id):
            self.outbox.send(encode(Kind.END.value, call_id))

    def fail_upload(self, call_id: int, status: Status, detail: str) -> None:
        """Tell the callee that our stream broke."""
        if self.wire.calls.sent_end(call_id):
            self.outbox.send(encode(Kind.ERROR.value, call_id, status.value, 0, detail, None))
