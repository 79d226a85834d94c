"""One call while it is being handled, as its peer keeps it.

Spec: protocol.md, "Calls".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import asyncio

    from framerpc.call import CallContext

__all__ = ["IncomingCall", "read_headers"]


class IncomingCall(msgspec.Struct, eq=False):
    """A call that is being handled.

    Attributes:
        id: Its number on the connection; 0 for a one-way call, which is never answered.
        context: What its handler sees.
        deadline: As the sweeper sees it: None once it has passed.
        task: Runs the handler, if it waits.
        answered: The last frame was sent, or nobody waits for one.
        cancelled: The caller gave it up and waits for a receipt.
    """

    id: int
    context: CallContext
    deadline: float | None
    answered: bool = False
    cancelled: bool = False
    task: asyncio.Future[Any] | None = None

    def __repr__(self) -> str:
        return f"<IncomingCall {self.id} {self.context.method}>"


def read_headers(headers: dict[str, Any], context: CallContext) -> None:
    """Tell a context what the request of its call says besides its arguments."""
    context.metadata = headers.get("meta") or {}
    attempt = headers.get("attempt")
    if type(attempt) is int and attempt > 0:
        context.attempt = attempt
