"""Calls that may be made again, made again until they are answered or refused.

Which failures are worth another attempt is data on the errors; there is no list of them here.
Waiting for a connection is the client's own business: a call that finds none waits for one.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from framerpc import DeadlineExceeded, FrameRPCError

__all__ = ["insist", "is_refusal"]

_T = TypeVar("_T")

_SHORTEST: Final = 0.25
_LONGEST: Final = 10.0
"""Seconds between two attempts: so long, nobody minds, and a server that is back is found soon."""


def is_refusal(error: FrameRPCError) -> bool:
    """Return whether the same call can never succeed, as far as anybody knows.

    Not if it may have been executed: then it is made again to learn what became of it. Nor if
    there was just no time: there will be more.
    """
    if isinstance(error, DeadlineExceeded) or error.executed == "maybe":
        return False
    return error.retry == "no"


async def insist(call: Callable[[], Awaitable[_T]]) -> _T:
    """Make a call that may be made any number of times until it ends well; return its result.

    Cancelling it leaves open whether the last attempt was executed.

    Raises:
        FrameRPCError: It was refused.
    """
    clock = asyncio.get_running_loop().time
    pause = _SHORTEST
    while True:
        begun = clock()
        try:
            return await call()
        except FrameRPCError as error:
            if is_refusal(error):
                raise
            asked = getattr(error, "retry_after", None) or 0.0
        if clock() - begun > _LONGEST:  # what went well for a while begins anew
            pause = _SHORTEST
        await asyncio.sleep(max(asked, pause * random.uniform(0.5, 1.0)))
        pause = min(2 * pause, _LONGEST)
