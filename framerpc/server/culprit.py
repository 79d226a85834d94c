"""Who keeps an event loop busy, read from the stack of its thread: a method, a file and a line.

The application's own innermost frame is the one to blame: not the standard library that it
called, nor framerpc around it. It only reads stacks; when to look is `watchdog`'s business.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from framerpc.server.incoming import IncomingCall
from framerpc.server.peer import Peer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

__all__ = ["NOBODY", "Culprit", "application", "depth", "find", "frames_above"]

_NOT_THE_APPLICATION: Final = sys.stdlib_module_names | {"framerpc", "uvloop"}


class Culprit(NamedTuple):
    """What a thread is doing.

    Attributes:
        method: The method whose call is being handled, or "" if none is.
        place: "file:line in function", or "" if nothing of the application runs.
    """

    method: str
    place: str

    def told(self, *, trusted: bool) -> str:
        """Return who it is in words; a place in the code is only for who may see tracebacks."""
        if self is NOBODY or not self.place:
            return "nobody that was seen"
        who = self.method or "what belongs to no call"
        return f"{who}, at {self.place}" if trusted else who


NOBODY: Final = Culprit("", "")


def depth(frame: FrameType | None) -> int:
    """Return how many frames there are from `frame` to the bottom of its stack."""
    count = 0
    while frame is not None:
        frame, count = frame.f_back, count + 1
    return count


def frames_above(frame: FrameType | None, outside: int) -> list[FrameType]:
    """Return the frames from `frame` down, the innermost first, without the last `outside`."""
    frames: list[FrameType] = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames[: max(len(frames) - outside, 0)]


def find(frames: Sequence[FrameType]) -> Culprit:
    """Return who is to blame for what these frames do, the innermost first."""
    method = next((name for frame in frames if (name := _method(frame))), "")
    own = next((frame for frame in frames if not _is_foreign(frame)), None)
    if own is None and method:
        own = frames[0]  # for its arguments or its result: long ones take their time
    return Culprit(method, "" if own is None else _place(own))


def application(frames: Sequence[FrameType]) -> Sequence[FrameType]:
    """Return the frames from the application's outermost one on, or all if it has none."""
    own = [number for number, frame in enumerate(frames, 1) if not _is_foreign(frame)]
    return frames[: own[-1]] if own else frames


def _is_foreign(frame: FrameType) -> bool:
    package, _, _ = str(frame.f_globals.get("__name__", "")).partition(".")
    return package in _NOT_THE_APPLICATION


def _method(frame: FrameType) -> str:
    """Return the method of the call that this frame runs, if it is one of a `Peer`'s."""
    if frame.f_globals.get("__name__") != Peer.__module__:
        return ""
    call = frame.f_locals.get("call")
    return call.context.method if isinstance(call, IncomingCall) else ""


def _place(frame: FrameType) -> str:
    code = frame.f_code
    return f"{code.co_filename}:{frame.f_lineno} in {code.co_qualname}"
