"""Answers and ends: what one side of a connection sends about calls that the peer began.

It owns which frame says what, and that an id is free again once its last frame has left. It
knows neither handlers nor the transport.

Spec: protocol.md, "Calls", "Streams" and "Bodies in parts".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from framerpc.protocol.frames import PART_SIZE, Kind, Outcome, encode

if TYPE_CHECKING:
    from framerpc.call import Buffer
    from framerpc.connection.outbox import Outbox
    from framerpc.errors import Status
    from framerpc.protocol.wire import Wire

__all__ = ["Answering"]

_RESPONSE: Final = Kind.RESPONSE.value


class Answering:
    """The answering part of a `Connection`: a class of its own for the reader, not for use."""

    __slots__ = ()

    wire: Wire
    outbox: Outbox

    def respond(self, call_id: int, body: Buffer) -> None:
        """Answer a call.

        Raises:
            MessageTooLarge: The result is over a limit; the call is still to be answered.
        """
        size = len(body)
        self.wire.check_size(size, "", "yes")
        if size <= PART_SIZE:
            self.wire.calls.ended(call_id)
            frame = encode(_RESPONSE, call_id, body)
            if self.wire.calls.alive:
                self.outbox.send(frame)
            else:
                self.outbox.send_now(frame)
        else:
            # The id stays in use until the last part has left.
            head = encode(_RESPONSE, call_id, size)
            self.outbox.send_body(head, call_id, body, lambda sent: self._answered(call_id, sent))

    def _answered(self, call_id: int, sent: bool) -> None:  # noqa: FBT001 - a callback
        if sent:
            self.wire.calls.ended(call_id)

    def fail(
        self,
        call_id: int,
        status: Status,
        executed: int,
        detail: str,
        details: dict[str, Any] | None = None,
    ) -> None:
        """End a call with an error."""
        self.wire.calls.ended(call_id)
        self.outbox.send(encode(Kind.ERROR.value, call_id, status.value, executed, detail, details))

    def end_stream(self, call_id: int) -> None:
        """End a call whose answer was a stream."""
        self.wire.calls.ended(call_id)
        self.outbox.send(encode(Kind.END.value, call_id))

    def receipt(self, call_id: int, outcome: Outcome) -> None:
        """End a cancelled call by telling what became of it."""
        self.wire.calls.ended(call_id)
        self.outbox.send(encode(Kind.RECEIPT.value, call_id, outcome.value))

    def end_upload(self, call_id: int) -> None:
        """Tell the callee that our stream is complete."""
        if self.wire.calls.sent_end(call_id):
            self.outbox.send(encode(Kind.END.value, call_id))

    def fail_upload(self, call_id: int, status: Status, detail: str) -> None:
        """Tell the callee that our stream broke."""
        if self.wire.calls.sent_end(call_id):
            self.outbox.send(encode(Kind.ERROR.value, call_id, status.value, 0, detail, None))
