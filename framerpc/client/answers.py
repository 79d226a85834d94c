"""The two streams of a call, as its caller has them: the answer to iterate, the upload to feed.

Spec: protocol.md, "Streams".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from framerpc.errors import DeadlineExceeded, Status

if TYPE_CHECKING:
    from framerpc.call import Buffer, CallContext
    from framerpc.connection.connection import Connection
    from framerpc.connection.outgoing import OutgoingCall

__all__ = ["Answer", "upload"]


class Answer(AsyncIterator["Buffer"]):
    """The encoded items of a result that is a stream."""

    __slots__ = ("_call", "_context", "_reader")

    def __init__(self, context: CallContext, call: OutgoingCall) -> None:
        assert call.reader is not None  # noqa: S101 - it was asked for
        self._context = context
        self._call = call
        self._reader = call.reader

    async def __anext__(self) -> Buffer:
        """Return the next item. Cancelling it loses none."""
        try:
            return await anext(self._reader)
        except DeadlineExceeded as error:
            error.method = self._context.method
            raise

    async def aclose(self) -> None:
        """Stop the producer, unless it has finished."""
        self._context.finished = True
        self._reader.close()


async def upload(
    connection: Connection, call: OutgoingCall, items: AsyncIterator[Buffer]
) -> None:
    """Send the stream that is an argument, until it ends, breaks, or the call is over.

    What the caller's own iterator raises ends the call with just that for the caller, and with
    `Cancelled` for the handler that waits for items.
    """
    writer = call.writer
    assert writer is not None  # noqa: S101 - it was asked for
    try:
        async for item in items:
            if not writer.try_send(item):
                await writer.send(item)
        connection.end_upload(call.id)
    except asyncio.CancelledError:
        raise
    except Exception as error:  # noqa: BLE001 - it belongs to the caller, who gets it
        connection.fail_upload(call.id, Status.CANCELLED, type(error).__name__)
        writer.on_stop = None  # that would be us
        call.fail(error)
    finally:
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()
