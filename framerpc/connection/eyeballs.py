"""Happy eyeballs: several addresses of one name are tried at once, a little apart.

An address that does not answer (IPv6 that ends in a black hole is the usual one) then costs a
quarter of a second and not the whole patience of a caller. The families take turns, and the
system's order stays otherwise. The first connection that is made is kept.

asyncio's `create_connection` can do this, uvloop's cannot; this does it for both, on nothing
but `sock_connect`.

Source: RFC 8305, sections 4 and 5.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

__all__ = ["DELAY", "Place", "connect_any", "interleave", "race"]

_T = TypeVar("_T")
_Got = TypeVar("_Got")

Place: TypeAlias = "tuple[int, int, int, str, Any]"
"""One answer of `getaddrinfo`: family, kind, protocol, canonical name, socket address."""

DELAY: Final = 0.25
"""Seconds between the starts of two attempts: RFC 8305's Connection Attempt Delay."""


async def connect_any(places: Sequence[Place], delay: float = DELAY) -> socket.socket:
    """Return a socket that is connected to one of the places, the first that answers.

    Cancelling it closes every socket.

    Args:
        places: At least one, in the order of preference.
        delay: Seconds after which the next one is tried as well.

    Raises:
        OSError: None answers; the text says what became of each.
    """
    if len(places) == 1:
        return await _connect(places[0])
    return await race(interleave(places), _connect, delay, discard=socket.socket.close)


def interleave(places: Iterable[Place]) -> list[Place]:
    """Return the places so that their families take turns, beginning with that of the first."""
    by_family: dict[int, list[Place]] = {}
    for place in places:
        by_family.setdefault(place[0], []).append(place)
    turns = zip_longest(*by_family.values())
    return [place for turn in turns for place in turn if place is not None]


async def race(
    places: Sequence[_T],
    connect: Callable[[_T], Awaitable[_Got]],
    delay: float,
    discard: Callable[[_Got], object],
) -> _Got:
    """Connect to each place until one attempt succeeds, and return what that one got.

    The next attempt starts `delay` after the last, or as soon as one has failed. Cancelling it
    cancels the attempts; they have ended when it ends.

    Args:
        places: At least one.
        connect: Connects to a place; raises OSError if that fails.
        delay: Seconds.
        discard: Called with what a second attempt got.

    Raises:
        OSError: All have failed.
    """
    upcoming = deque(places)
    attempts: set[asyncio.Future[_Got]] = set()
    ended: set[asyncio.Future[_Got]] = set()
    errors: list[OSError] = []
    try:
        while upcoming or attempts:
            if upcoming:
                attempts.add(asyncio.ensure_future(connect(upcoming.popleft())))
            ended, attempts = await asyncio.wait(
                attempts,
                timeout=delay if upcoming else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            while ended:
                try:
                    return ended.pop().result()
                except OSError as exc:
                    errors.append(exc)
    finally:
        await _abandon(attempts | ended, discard)
    raise _together(errors)


async def _abandon(attempts: set[asyncio.Future[_Got]], discard: Callable[[_Got], object]) -> None:
    """End attempts that came too late, and get rid of what they got in the last moment."""

    def ended(attempt: asyncio.Future[_Got]) -> None:
        if not attempt.cancelled() and attempt.exception() is None:
            discard(attempt.result())

    for attempt in attempts:
        attempt.add_done_callback(ended)  # it happens, even if we are cancelled while we wait
        attempt.cancel()
    if attempts:
        await asyncio.wait(attempts)


def _together(errors: Sequence[OSError]) -> OSError:
    """Return one error for all of them; of the kind of the last."""
    return OSError(errors[-1].errno, "; ".join(str(error.strerror) for error in errors))


async def _connect(place: Place) -> socket.socket:
    family, kind, protocol, _, address = place
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)  # noqa: FBT003 - the socket's signature
        await asyncio.get_running_loop().sock_connect(sock, address)
    except OSError as exc:
        sock.close()
        # Loops word it differently, and not all of them say for which address.
        reason = os.strerror(exc.errno) if exc.errno else str(exc)
        raise OSError(exc.errno, f"{address[0]}: {reason}") from exc
    except BaseException:
        sock.close()
        raise
    return sock
