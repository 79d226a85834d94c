"""What is added to an error before the caller of a channel sees it.

Spec: protocol.md, "Errors".
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from framerpc.errors import CallError, DeadlineExceeded, FrameRPCError
from framerpc.protocol.frames import EXECUTED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from framerpc.call import CallContext
    from framerpc.connection.outgoing import OutgoingCall
    from framerpc.errors import Executed

__all__ = ["again", "explain", "strongest"]


def again(error: FrameRPCError, method: str = "") -> FrameRPCError:
    """Return a fresh copy of a lasting error, so that tracebacks do not pile up in one."""
    fresh = copy.copy(error)
    fresh.__traceback__ = fresh.__cause__ = fresh.__context__ = None
    if method and isinstance(fresh, CallError):
        fresh.method = method
    return fresh


def strongest(claims: Iterable[Executed]) -> Executed:
    """Return what the attempts of one call claim together: it happened if it did in one of them."""
    surest: Executed = "no"
    for claim in claims:
        if EXECUTED.index(claim) > EXECUTED.index(surest):
            surest = claim
    return surest


def explain(error: DeadlineExceeded, context: CallContext, call: OutgoingCall) -> None:
    """Complete the report of where the time went with what only we know."""
    if error.method != context.method:
        return
    total = context.now() - context.arrived
    waited = call.sent - context.arrived
    there = sum(spent for name, spent in error.where if not name.startswith(("in its", "there")))
    ways = (("connection", waited), ("wire", max(total - waited - there, 0.0)))
    error.timeout = context.timeout
    error.where = (*ways, *error.where)
