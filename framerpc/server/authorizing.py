"""Asking the application before each call, as the outermost interceptor.

Spec: protocol.md, "Errors".
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from framerpc.call import Body, CallContext, Handler, Interceptor

__all__ = ["authorizing"]


def authorizing(authorize: Callable[[CallContext], Awaitable[None] | None]) -> Interceptor:
    """Return the interceptor that asks `authorize` first."""

    async def ask(context: CallContext, body: Body, proceed: Handler) -> Body:
        verdict = authorize(context)
        if inspect.isawaitable(verdict):
            await verdict
        return await proceed(context, body)

    return ask
