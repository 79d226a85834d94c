"""Who is to blame for a stack of frames."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from types import FrameType
from typing import Any

from framerpc.call import CallContext
from framerpc.server.culprit import NOBODY, Culprit, application, depth, find, frames_above
from framerpc.server.incoming import IncomingCall
from framerpc.server.peer import Peer


class Stopped(threading.Thread):
    """A thread that stands still in what it runs, until it is let go."""

    def __init__(self, run: Any) -> None:
        super().__init__(daemon=True)
        self.there = threading.Event()
        self.go_on = threading.Event()
        self._what = run
        self.start()
        assert self.there.wait(5)

    def stand(self) -> None:
        self.there.set()
        self.go_on.wait(5)

    def run(self) -> None:
        self._what(self)

    def frames(self) -> list[FrameType]:
        """Return the frames of `run` and above, the innermost first."""
        frame: FrameType | None = sys._current_frames()[self.ident or 0]
        frames = frames_above(frame, 0)
        names = [frame.f_code.co_name for frame in frames]
        frames = frames[: names.index("run")]
        self.go_on.set()
        return frames


class Hooked:
    """Something that the standard library calls back."""

    def __init__(self, stopped: Stopped) -> None:
        self.stopped = stopped


def test_line_of_the_application_is_blamed_not_what_it_called() -> None:
    """The innermost frame that is not of the standard library is the place."""

    def blocks(stopped: Stopped) -> None:
        stopped.stand()

    method, place = find(Stopped(blocks).frames())
    assert method == ""
    assert place.startswith(f"{__file__}:")
    assert place.endswith(" in Stopped.stand")  # which called Event.wait, in threading.py


def test_application_part_of_a_stack_begins_with_its_outermost_frame() -> None:
    """What lies between two frames of the application is shown, what lies below is not."""

    def encode(value: Any) -> Any:
        value.stopped.stand()

    def blocks(stopped: Stopped) -> None:
        json.dumps(Hooked(stopped), default=encode)

    def library(stopped: Stopped) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(blocks, stopped)

    frames = Stopped(library).frames()
    names = [frame.f_code.co_name for frame in application(frames)]
    assert names[-1] == "library"
    assert "__exit__" in names[names.index("blocks") :]
    assert "default" in names or "encode" in names
    assert names[0] == "wait"


def test_method_is_that_of_the_call_that_runs() -> None:
    """It is read from the frame of the peer that runs the call, wherever that stands."""
    context = CallContext("Work/block", lambda: 0.0, 0.0)
    call = IncomingCall(1, context, None)
    code = "def run(call, inner): return inner()"
    space: dict[str, Any] = {"__name__": Peer.__module__}
    exec(code, space)  # a frame that looks like a peer's

    def blocks(stopped: Stopped) -> None:
        space["run"](call, stopped.stand)

    def stranger(stopped: Stopped) -> None:
        space["run"]("no call", stopped.stand)

    assert find(_all(Stopped(blocks))).method == "Work/block"
    assert find(_all(Stopped(stranger))).method == ""


def _all(stopped: Stopped) -> list[FrameType]:
    frames = frames_above(sys._current_frames()[stopped.ident or 0], 0)
    stopped.go_on.set()
    return frames


def test_frames_that_are_always_there_are_left_out() -> None:
    """What a thread does between two callbacks is no callback's fault."""
    frame = sys._getframe()
    assert frames_above(frame, depth(frame)) == []
    assert frames_above(frame, depth(frame) - 1) == [frame]
    assert frames_above(None, 0) == []


def test_nothing_of_the_application_means_nobody() -> None:
    """A stack of the standard library alone has no culprit."""
    assert find([]) == NOBODY
    assert application([]) == []


def test_place_is_only_for_who_is_trusted() -> None:
    """A stranger learns the method, which it may call itself, and no file."""
    culprit = Culprit("Work/block", "/srv/app.py:3 in block")
    assert culprit.told(trusted=True) == "Work/block, at /srv/app.py:3 in block"
    assert culprit.told(trusted=False) == "Work/block"
    assert Culprit("", "a.py:1 in f").told(trusted=False) == "what belongs to no call"
    assert NOBODY.told(trusted=True) == "nobody that was seen"
