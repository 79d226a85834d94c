"""The two streams of a call, as its caller has them: the answer to iterate, the upload to feed.

Spec: protocol.md, "Streams".
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from framerpc.call import release
from framerpc.errors import CallError, DeadlineExceeded, MessageTooLarge, Status

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from framerpc.call import Buffer, CallContext
    from framerpc.connection.connection import Connection
    from framerpc.connection.outgoing import OutgoingCall
    from framerpc.connection.streams import ItemReader

__all__ = ["Answer", "encoded", "upload"]


class Answer(AsyncIterator["Buffer"]):
    """The encoded items of a result that is a stream.

    Dropping the last reference to it stops the producer, as `aclose` does.

    Args:
        context: The call.
        reader: Where its items arrive.
        left: Told once how it ended: with what it raised, or None.
    """

    __slots__ = ("_context", "_left", "_loop", "_reader")

    def __init__(
        self,
        context: CallContext,
        reader: ItemReader,
        left: Callable[[BaseException | None], None],
    ) -> None:
        self._context = context
        self._reader = reader
        self._left = left
        self._loop = asyncio.get_running_loop()

    async def __anext__(self) -> Buffer:
        """Return the next item. Cancelling it loses none."""
        try:
            return await anext(self._reader)
        except DeadlineExceeded as error:
            self._over(error)
            error.method = self._context.method
            raise
        except StopAsyncIteration:
            self._over(None)
            raise
        except Exception as error:
            self._over(error)
            raise

    async def aclose(self) -> None:
        """Stop the producer, unless it has finished."""
        self._over(None)
        self._reader.close()

    def __del__(self) -> None:
        if not self._context.finished:
            # The garbage collector may run in any thread, and after the loop is closed.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._reader.close)
                self._loop.call_soon_threadsafe(self._left, None)
            release(self._context)

    def _over(self, error: BaseException | None) -> None:
        if not self._context.finished:
            release(self._context)
            self._left(error)


async def upload(
    connection: Connection, call: OutgoingCall, items: AsyncIterator[Buffer], grace: float
) -> None:
    """Send the stream that is an argument, until it ends, breaks, or the call is over.

    What the caller's own iterator raises ends the call at once with just that for the caller. A
    handler that waits for items sees `Cancelled`; one that goes on without them is cancelled.

    Args:
        connection: Where to.
        call: What the stream is an argument of.
        items: Its encoded items.
        grace: Seconds that the handler is given to end by itself after the stream broke.
    """
    writer = call.writer
    assert writer is not None  # it was asked for
    broke = False
    try:
        async for item in items:
            if not writer.try_send(item):
                await writer.send(item)
        connection.end_upload(call.id)
    except asyncio.CancelledError:
        raise
    except Exception as error:  # noqa: BLE001 - it belongs to the caller, who gets it
        broke = True
        connection.fail_upload(call.id, Status.CANCELLED, type(error).__name__)
        writer.on_stop = None  # that would be us
        if isinstance(error, (CallError, MessageTooLarge)) and not error.method:
            error.method = call.method
        call.fail(error)
    finally:
        await _close(items)
    if broke and connection.calls.holds(call):
        task = asyncio.current_task()
        assert task is not None
        writer.on_stop = task.cancel  # the call ended by itself
        await asyncio.sleep(grace)
        connection.calls.cancel(call)


async def encoded(stream: Any, encode: Callable[[Any], bytes]) -> AsyncGenerator[Buffer, None]:
    """Encode the items of a stream argument as they are asked for.

    Closing it closes the caller's own generator, so that its `finally` runs as soon as nobody
    takes its items any more.
    """
    try:
        if hasattr(stream, "__aiter__"):
            async for item in stream:
                yield encode(item)
        else:
            for item in stream:
                yield encode(item)
    finally:
        await _close(stream)


async def _close(stream: Any) -> None:
    close = getattr(stream, "aclose", None)
    if close is not None:
        await close()
