"""Sessions as a server keeps them, and in each the runs of its numbered calls.

These two only hold what is known, and say in which state a number is. They do not run, store
or expire anything: see `runs`, `replies` and `sessions`.

Spec: protocol.md, "Sessions" and "Once".
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias

from framerpc.call import Buffer
from framerpc.protocol.sessions import NumberState
from framerpc.server.failure import Failure

if TYPE_CHECKING:
    from framerpc.call import CallContext
    from framerpc.server.peer import Peer

__all__ = ["Answer", "Run", "Session"]

Answer: TypeAlias = Buffer | Failure
"""What a run ended with: an encoded result, or an error."""


class Session:
    """What a server keeps for a client that may come back.

    Attributes:
        token: Names it; whoever knows the token, and is the same, may go on with it.
        identity: Whose it is: what `authenticate` returned.
        owner: The same as bytes, for a store; None if it is not to be stored.
        peer: The connection that it is on, or None.
        runs: Its numbers that are running or stored.
        acked: The client waits for no number below this one.
        floor: A number below this one that is not in `runs` is forgotten.
        running: How many of `runs` have not ended.
        kept: What its stored answers cost, in bytes.
        over: It was given up; nothing is stored for it any more.
        saved: The floor that the store knows, or None if it does not know the session.
    """

    __slots__ = (
        "acked",
        "floor",
        "identity",
        "kept",
        "over",
        "owner",
        "peer",
        "running",
        "runs",
        "saved",
        "token",
    )

    def __init__(self, token: bytes, identity: Any, owner: bytes | None = None) -> None:
        self.token = token
        self.identity = identity
        self.owner = owner
        self.peer: Peer | None = None
        self.runs: dict[int, Run] = {}
        self.acked = 1
        self.floor = 1
        self.running = 0
        self.kept = 0
        self.over = False
        self.saved: int | None = None

    def __repr__(self) -> str:
        where = "detached" if self.peer is None else f"at {self.peer.address}"
        return f"<Session {where}, {len(self.runs)} runs>"

    def state(self, number: int) -> NumberState:
        """Return what is known of a number."""
        run = self.runs.get(number)
        if run is None:
            return NumberState.FORGOTTEN if number < self.floor else NumberState.UNKNOWN
        return NumberState.RUNNING if run.answer is None else NumberState.STORED


class Run:
    """One numbered call: its handler at work, or what that ended with.

    Attributes:
        session: Where it belongs.
        number: Its number there.
        mark: The digest of method and arguments.
        context: What its handler sees, as long as that is at work.
        deadline: As the sweeper sees it: None once it has passed.
        task: Runs the handler, if it waits.
        callers: The attempts that wait for its answer.
        settled: What it ends with is decided, and perhaps on its way to the store.
        answer: What it ended with, once that may be told.
        cost: What storing the answer costs, in bytes.
    """

    __slots__ = (
        "_told",
        "answer",
        "callers",
        "context",
        "cost",
        "deadline",
        "mark",
        "number",
        "session",
        "settled",
        "task",
    )

    def __init__(
        self, session: Session, number: int, mark: bytes, context: CallContext | None
    ) -> None:
        self.session = session
        self.number = number
        self.mark = mark
        self.context = context
        self.deadline = None if context is None else context.deadline
        self.task: asyncio.Future[Any] | None = None
        self.callers = 0
        self.settled = False
        self.answer: Answer | None = None
        self.cost = 0
        self._told: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Run {self.number}, {self.session.state(self.number).value}>"

    def stop(self) -> None:
        """Cancel the handler, if it is still at work."""
        if self.task is not None:
            self.task.cancel()

    async def told(self) -> None:
        """Wait until there is an answer. Cancelling it stops waiting, and nothing else."""
        if self.answer is None:
            if self._told is None:
                self._told = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._told)

    def tell(self, answer: Answer) -> None:
        """Give the answer to those who wait for it."""
        self.answer = answer
        if self._told is not None:
            self._told.set_result(None)
