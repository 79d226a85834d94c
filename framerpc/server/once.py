"""Attempts of numbered calls: which one runs, and how all get the answer of that run.

What happens to a number is decided by the table of `protocol.sessions`. An attempt is an
ordinary call of its connection, whose handler waits for the run; so limits, receipts and long
answers are nobody's business here. How a run goes on, and ends, is known to `runs`.

Spec: protocol.md, "Once".
"""

# pyright: reportPrivateUsage=false
# The table at the end names the methods of this very class.

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from framerpc.errors import Status
from framerpc.protocol.sessions import (
    ONCE,
    ONCE_HEADER,
    Act,
    NumberState,
    OnceEvent,
    digest,
    parse_once,
)
from framerpc.protocol.states import ConnectionState
from framerpc.server.admission import full
from framerpc.server.failure import Described, Failure
from framerpc.server.session import Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from framerpc.call import Body, Buffer, CallContext, Handler
    from framerpc.protocol.frames import Request
    from framerpc.server.dispatcher import Method
    from framerpc.server.peer import Peer
    from framerpc.server.runs import Runs
    from framerpc.server.server import Server

__all__ = ["OnceCalls"]


class OnceCalls:
    """The attempts that clients make at numbered calls.

    Args:
        server: Whose.
        runs: The runs of its sessions.
    """

    def __init__(self, server: Server, runs: Runs) -> None:
        self._server = server
        self._runs = runs

    def request(self, peer: Peer, request: Request, method: Method | None) -> None:
        """Take a numbered REQUEST on the connection of a session."""
        session = peer.session
        assert session is not None  # otherwise the header means nothing
        once = parse_once((request.headers or {})[ONCE_HEADER])
        if once is None:
            peer.refuse(request.id, _bad("the header `once` must be [number, below]"))
        elif request.flags & 0xFF:
            peer.refuse(request.id, _bad("a call with a stream cannot have a number"))
        elif session.peer is not peer:
            new = session.state(once.number) is NumberState.UNKNOWN
            moved = "the session has moved to another connection"
            peer.refuse(request.id, Failure(Status.UNAVAILABLE, "no" if new else "maybe", moved))
        else:
            self._runs.acknowledge(session, once.below)
            mark = digest(request.method, cast("Buffer", request.body))
            run = session.runs.get(once.number)
            event = OnceEvent.SAME if run is None or run.mark == mark else OnceEvent.OTHER
            act = ONCE[session.state(once.number)][event].act
            if act is Act.RUN:
                self._run(peer, request, method, once.number, mark)
            else:
                _KNOWN[act](self, peer, request, run)

    def _run(
        self, peer: Peer, request: Request, method: Method | None, number: int, mark: bytes
    ) -> None:
        """Enter the handler of a number that is new, unless there is something against it."""
        problem = peer.why_not(request.method, method, request.flags, request.headers)
        session = peer.session
        assert session is not None
        limits = self._server.limits
        if problem is None and request.timeout_ms == 0:
            problem = Failure(Status.DEADLINE_EXCEEDED, "no", "it had passed on arrival")
        if problem is None and session.running >= limits.max_calls:
            detail = f"{limits.max_calls} calls of this session are running (Limits.max_calls)"
            problem = Failure(Status.RESOURCE_EXHAUSTED, "no", detail)
        if problem is not None or method is None:
            peer.refuse(request.id, problem)
            return
        timeout = limits.max_timeout
        if request.timeout_ms is not None:
            timeout = min(request.timeout_ms / 1000, timeout)
        context = peer.context_of(request.method, request.headers, timeout)
        context.children = []  # which its attempts share
        run = Run(session, number, mark, context)
        self._runs.start(run, method.handler, cast("Buffer", request.body))
        self._attach(peer, request, run)

    def _attach(self, peer: Peer, request: Request, run: Run | None) -> None:
        """Answer with what the run ends, or has ended, with."""
        assert run is not None
        if len(peer.calls) >= self._server.limits.max_calls:
            peer.refuse(request.id, full(self._server.limits, "maybe"))
        else:
            peer.attach(request, self._waiting(peer, run), run.context)

    def _again(self, peer: Peer, request: Request, run: Run | None) -> None:
        self._server.counters.answered_again += 1
        self._attach(peer, request, run)

    def _refuse(self, peer: Peer, request: Request, run: Run | None) -> None:
        assert run is not None
        detail = f"the number {run.number} of this session belongs to another call"
        peer.refuse(request.id, _bad(detail))

    def _tell(self, peer: Peer, request: Request, run: Run | None) -> None:  # noqa: ARG002 - the shape
        detail = "what became of the call is not known any more: its answer was dropped"
        peer.refuse(request.id, Failure(Status.FORGOTTEN, "maybe", detail))

    def _waiting(self, peer: Peer, run: Run) -> Handler:
        """Return the Handler of an attempt: it ends as the run does.

        Cancelling it because the connection is lost leaves the run alone. Otherwise its caller
        gave the call up, or the server stops: that stops the run, if nobody else waits for it.
        """

        async def wait(_context: CallContext, _body: Body) -> Body:
            self._runs.joined(run)
            try:
                await run.told()
            except asyncio.CancelledError:
                if peer.connection.wire.state is ConnectionState.CLOSED:
                    raise
                if self._server.draining or run.callers == 1:
                    run.stop()
                await run.told()  # a receipt tells what became of it
                if _was_stopped(run):
                    raise
            finally:
                self._runs.left(run)
            if isinstance(run.answer, Failure):
                raise Described(run.answer)
            return cast("Body", run.answer)

        return wait


_KNOWN: Final[dict[Act, Callable[[OnceCalls, Peer, Request, Run | None], None]]] = {
    Act.ATTACH: OnceCalls._again,  # noqa: SLF001 - our own class, here and below
    Act.ANSWER: OnceCalls._again,  # noqa: SLF001
    Act.REFUSE: OnceCalls._refuse,  # noqa: SLF001
    Act.TELL: OnceCalls._tell,  # noqa: SLF001
}
"""What to do with a REQUEST whose number is known."""


def _bad(detail: str) -> Failure:
    return Failure(Status.INVALID_ARGUMENT, "no", detail)


def _was_stopped(run: Run) -> bool:
    """Return whether a run was cancelled before its end."""
    return isinstance(run.answer, Failure) and run.answer.status in _STOPPED


_STOPPED: Final = frozenset({Status.CANCELLED, Status.UNAVAILABLE})
