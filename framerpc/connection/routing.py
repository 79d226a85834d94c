"""Where frames about calls go: to the acceptor, to the call that waits, or to a stream's end.

It decides nothing: what may come when was the wire's business, what to do is the acceptor's.

Spec: protocol.md, "Calls" and "Streams".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from framerpc.protocol.frames import Outcome

if TYPE_CHECKING:
    from framerpc.call import Buffer
    from framerpc.connection.outgoing import OutgoingCalls
    from framerpc.connection.streams import StreamEnds
    from framerpc.connection.turns import Turns
    from framerpc.protocol.events import Refused
    from framerpc.protocol.frames import (
        Cancel,
        Credit,
        End,
        Error,
        Item,
        Notify,
        Receipt,
        Request,
        Response,
    )

__all__ = ["Routing"]


class Routing:
    """The part of a `Connection` that hands on what came about calls."""

    __slots__ = ()

    calls: OutgoingCalls
    streams: StreamEnds
    _acceptor: Any  # an Acceptor; it is handed the whole Connection
    turns: Turns

    def _on_request(self, request: Request) -> None:
        self._acceptor.request(self, request)

    def _on_notify(self, notify: Notify) -> None:
        self._acceptor.notified(self, notify)

    def _on_cancel(self, cancel: Cancel) -> None:
        self._acceptor.cancel(self, cancel)

    def _on_response(self, response: Response) -> None:
        self.calls.succeed(response.id, response.body)
        if self.turns.waiting:
            self.turns.next()

    def _on_error(self, error: Error) -> None:
        call = self.calls.alive.get(error.id)
        if call is not None:
            self.calls.fail(error.id, self._acceptor.translate(error, call.method))
            self.turns.next()
        else:  # the caller's upload failed; the call goes on without it
            self.streams.finish(error.id, self._acceptor.translate(error, ""))

    def _on_receipt(self, receipt: Receipt) -> None:
        outcome = Outcome(receipt.outcome)
        method = self.calls.receipt(receipt.id)
        self.turns.next()
        self._acceptor.receipt(method, outcome)

    def _on_item(self, item: Item) -> None:
        self.streams.feed(item.id, cast("Buffer", item.body))

    def _on_end(self, end: End) -> None:
        if end.id in self.calls.alive:
            self.calls.end(end.id)
            self.turns.next()
        else:
            self.streams.finish(end.id)

    def _on_credit(self, credit: Credit) -> None:
        self.streams.credit(credit.id)

    def _on_refused(self, refused: Refused) -> None:
        if refused.frame.id in self.calls.alive:
            self.calls.refused(refused)
        else:
            self._acceptor.refused(self, refused)
