"""The runs of numbered calls: each is entered once, ends once, and its answer is kept.

A run belongs to its session, not to a connection: it goes on when its caller's connection dies,
until its deadline. The first thing that ends it counts; where there is a journal, that is
written down before it is told. Answers are forgotten in such a way that no number runs again.
It does not know requests: see `once`.

Spec: protocol.md, "Once".
"""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, cast

from framerpc.call import current_context
from framerpc.connection.timers import Sweeper
from framerpc.errors import Status
from framerpc.protocol.sessions import ONCE, NumberState, OnceEvent
from framerpc.server.eager import start
from framerpc.server.failure import REPORT_GRACE, Failure, describe, too_late
from framerpc.server.replies import Replies

if TYPE_CHECKING:
    from framerpc.call import Buffer, CallContext, Handler
    from framerpc.server.journal import Journal
    from framerpc.server.server import Server
    from framerpc.server.session import Answer, Run, Session

__all__ = ["Runs"]


class Runs:
    """The runs of one server.

    Args:
        server: Whose.
        journal: Writes runs down so that they survive the process, or None.

    Attributes:
        alive: Those whose handlers are at work.
        detached: Those of them that no caller waits for at the moment.
        replies: The answers of those that have ended.
    """

    def __init__(self, server: Server, journal: Journal | None) -> None:
        self.alive: set[Run] = set()
        self.detached: set[Run] = set()
        self.replies = Replies(server.limits, self._drop)
        self._server = server
        self._journal = journal
        self._sweeper: Sweeper | None = None

    def joined(self, run: Run) -> None:
        """Note an attempt that waits for a run."""
        run.callers += 1
        self.detached.discard(run)

    def left(self, run: Run) -> None:
        """Note that an attempt waits no more; a run that nobody waits for goes on, within bounds."""
        run.callers -= 1
        if run.callers or run not in self.alive or run.settled:
            return
        if run.session.over or len(self.detached) >= self._server.limits.max_detached:
            run.stop()
        else:
            self.detached.add(run)

    # -------------------------------------------------------------------- running

    def start(self, run: Run, handler: Handler, body: Buffer) -> None:
        """Enter the handler of a number that is new in its session."""
        loop = asyncio.get_running_loop()
        run.session.runs[run.number] = run
        run.session.running += 1
        self.alive.add(run)
        task = start(self._work(run, handler, body), loop=loop, context=copy_context())
        if task is None or run not in self.alive:
            return
        run.task = task
        if run.deadline is not None:
            if self._sweeper is None:
                self._sweeper = Sweeper(loop, lambda: list(self.alive), self._expire)
            self._sweeper.add(run.deadline)

    async def _work(self, run: Run, handler: Handler, body: Buffer) -> None:
        """Run a handler to its end, whatever happens. Cancelling it stops the handler."""
        context = cast("CallContext", run.context)
        current_context.set(context)  # this coroutine has a context of its own
        answer: Answer
        try:
            if await self._begun(run):
                answer = cast("Buffer", await handler(context, body))
            else:
                detail = "the server cannot write down that the call begins"
                answer = Failure(Status.UNAVAILABLE, "no", detail)
        except asyncio.CancelledError:
            answer = self._stopped(run, context)
        except GeneratorExit:
            raise  # the loop was thrown away
        except BaseException as exc:  # noqa: BLE001 - SystemExit in a handler ends the call only
            answer = describe(exc, context, trusted=self._server.trusts(context))
        finally:
            context.finished = True
            self.alive.discard(run)
            self.detached.discard(run)
        run.task = run.context = None  # the answer is kept for long, these need not be
        self._settle(run, answer)
        if self._server.draining and not self.alive:
            self._server.peers.note()

    async def _begun(self, run: Run) -> bool:
        """Return whether a run may begin: it is written down, if it has to be."""
        journal = self._journal
        if journal is None or not journal.keeps(run.session):
            return True
        return await asyncio.shield(journal.began(run))

    def _stopped(self, run: Run, context: CallContext) -> Failure:
        if run.deadline is None:
            return too_late(context)
        executed: Any = "no" if context.started is None else "maybe"
        if self._server.draining:
            detail = "the server stopped before the call had ended"
            return Failure(Status.UNAVAILABLE, executed, detail)
        return Failure(Status.CANCELLED, executed, "the call was given up")

    # --------------------------------------------------------------------- ending

    def _settle(self, run: Run, answer: Answer) -> None:
        """Decide what a run ended with. The first decision counts."""
        if run.settled:
            return
        run.settled = True
        journal = self._journal
        if journal is None or not journal.keeps(run.session) or _is_refusal(answer):
            self._publish(run, answer)
        else:
            # Durable or not, the caller is told: after a crash, a number whose answer could not
            # be written is known to have begun, and no more is claimed.
            journal.ended(run, answer).add_done_callback(lambda _: self._publish(run, answer))

    def _publish(self, run: Run, answer: Answer) -> None:
        """Store an answer, if it is one of a run that happened, and tell it to all who wait."""
        session = run.session
        session.running -= 1
        run.tell(answer)
        event = OnceEvent.REFUSED if _is_refusal(answer) else OnceEvent.ENDED
        after = ONCE[NumberState.RUNNING][event].state
        if after is NumberState.STORED and run.number >= session.acked and not session.over:
            self.replies.keep(run, answer)
        else:
            self._remove(run)

    def _expire(self, run: Run) -> None:
        """The deadline passed: report where the time went, and stop the handler."""
        run.deadline = None
        if cast("CallContext", run.context).children and not run.settled:
            asyncio.get_running_loop().call_later(REPORT_GRACE, self._give_up, run)
        else:
            self._give_up(run)

    def _give_up(self, run: Run) -> None:
        if run.context is None:
            return  # it has ended while its inner calls were waited for
        if run.context.started is not None:
            self._settle(run, too_late(run.context))
        # Otherwise it waits for a thread, and may get one at this moment: whether the number is
        # free again is known when it has stopped.
        run.stop()

    # ------------------------------------------------------------------ forgetting

    def acknowledge(self, session: Session, below: int) -> None:
        """Drop what the caller does not wait for any more, and stop what still runs of it."""
        if below <= session.acked:
            return
        session.acked = below
        session.floor = max(session.floor, below)
        for run in [*session.runs.values()]:
            if run.number >= below:
                break  # numbers mostly rise: what stands behind is found the next time
            if run.answer is not None:
                self._remove(run)
            elif not run.callers:
                run.stop()

    def _drop(self, run: Run) -> None:
        """Forget an answer that there is no room or no more time for."""
        run.session.floor = max(run.session.floor, run.number + 1)
        self._remove(run)

    def _remove(self, run: Run) -> None:
        session = run.session
        if session.runs.get(run.number) is not run:
            return
        del session.runs[run.number]
        self.replies.release(run)
        if self._journal is not None and self._journal.keeps(session):
            self._journal.dropped(run)

    def forget(self, session: Session) -> None:
        """Drop all answers of a session that is over, and stop what still runs for nobody."""
        session.over = True
        if self._journal is not None:
            self._journal.forgot(session)
        for run in [*session.runs.values()]:
            if run.answer is not None:
                self._remove(run)
            elif not run.callers:
                run.stop()

    def restore(self, session: Session) -> None:
        """Keep the answers of a session that an earlier process wrote down."""
        for run in [*session.runs.values()]:
            assert run.answer is not None  # it has ended, or the process has
            self.replies.keep(run, run.answer)

    async def close(self) -> None:
        """Stop all runs, give them their grace, and keep nothing."""
        tasks = [run.task for run in self.alive if run.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=self._server.limits.cancel_grace)
        if self._sweeper is not None:
            self._sweeper.stop()
        self.replies.clear()


def _is_refusal(answer: Answer) -> bool:
    """Return whether a run never began: its number may be tried again."""
    return isinstance(answer, Failure) and not answer.executed
