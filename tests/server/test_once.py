"""Numbered calls at the server: one run for each number, whatever happens to connections."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import framerpc
from framerpc import Limits
from framerpc.errors import Status
from framerpc.testing import virtual_time
from tests.server.numbered import Caller, Ledger, caller, serving
from tests.services import soon

ERROR, RECEIPT = 10, 12


async def passing() -> None:
    """Let everything happen that is ready to happen."""
    for _ in range(20):
        await asyncio.sleep(0)


def error(status: Status, executed: int) -> Any:
    """An ERROR with this status, whatever its words."""
    return [ERROR, status.value, executed]


# ---------------------------------------------------------------- sent again, after a cut


@virtual_time
async def test_stored_answer_is_sent_again() -> None:
    """A second attempt gets the answer of the first run, on the same connection or another."""
    ledger = Ledger()
    async with serving(ledger) as server:
        async with caller() as first:
            assert await first.result(1, 5) == 1
            assert await first.result(1, 5) == 1
        async with caller(first.session) as second:
            assert second.session == first.session
            assert await second.result(1, 5) == 1
        assert ledger.ended == [5]
        counted = server.statistics()
        assert (counted["answered_again"], counted["resumed_sessions"]) == (2, 1)


@virtual_time
async def test_second_attempt_attaches_to_the_run() -> None:
    """A run goes on without its connection, and answers whoever comes back for it."""
    ledger = Ledger()
    async with serving(ledger) as server:
        ledger.gate.clear()
        async with caller() as first:
            first.call(1, 5)
            await soon(lambda: ledger.entered)
        await soon(lambda: server.statistics()["detached_runs"] == 1)
        async with caller(first.session) as second:
            call = second.call(1, 5)
            await soon(lambda: server.statistics()["detached_runs"] == 0)
            ledger.gate.set()
            assert await second.answer(call) == 1
        assert (ledger.entered, ledger.ended) == ([5], [5])


@virtual_time
async def test_run_ends_while_nobody_is_there() -> None:
    """The answer of a detached run is stored for the next attempt."""
    ledger = Ledger()
    async with serving(ledger) as server:
        ledger.gate.clear()
        async with caller() as first:
            first.call(1, 5)
            await soon(lambda: ledger.entered)
        await soon(lambda: server.statistics()["detached_runs"] == 1)
        ledger.gate.set()
        await soon(lambda: server.statistics()["replies"] == 1)
        async with caller(first.session) as second:
            assert await second.result(1, 5) == 1
        assert ledger.entered == [5]


@virtual_time
async def test_cut_twice() -> None:
    """Each further attempt attaches to the same run."""
    ledger = Ledger()
    async with serving(ledger) as server:
        ledger.gate.clear()
        token = None
        for _ in range(3):
            async with caller(token) as attempt:
                token = attempt.session
                attempt.call(1, 5)
                await soon(lambda: server.statistics()["calls_in_flight"] == 1)
            await soon(lambda: server.statistics()["detached_runs"] == 1)
        async with caller(token) as last:
            call = last.call(1, 5)
            ledger.gate.set()
            assert await last.answer(call) == 1
        assert ledger.entered == [5]


@virtual_time
async def test_errors_of_a_run_are_answers() -> None:
    """A declared error is stored, and sent again, like a result."""
    ledger = Ledger()
    async with serving(ledger):
        async with caller() as first:
            answer = await first.result(1, -5)
        async with caller(first.session) as second:
            assert await second.result(1, -5) == answer
        assert answer[:3] == error(Status.APPLICATION, 2)
        assert ledger.entered == [-5]


@virtual_time
async def test_refusal_before_the_run_leaves_the_number_free() -> None:
    """What was never executed is not stored: the number may be tried again."""
    ledger, allowed = Ledger(), list[bool]()

    def authorize(_call: framerpc.CallContext) -> None:
        if not allowed:
            raise framerpc.PermissionDenied("not yet")

    async with serving(ledger, authorize=authorize) as server, caller() as peer:
        refused = await peer.result(1, 5)
        assert refused[:3] == error(Status.PERMISSION_DENIED, 0)
        assert server.statistics()["replies"] == 0
        allowed.append(True)
        assert await peer.result(1, 5) == 1
        assert (await peer.result(2, "five"))[:3] == error(Status.INVALID_ARGUMENT, 0)
        assert await peer.result(2, 6) == 2


# ------------------------------------------------------------------------ what is refused


@virtual_time
async def test_same_number_with_other_arguments_is_an_error() -> None:
    """Neither a stored nor a running number is lent to another call."""
    ledger = Ledger()
    async with serving(ledger), caller() as peer:
        assert await peer.result(1, 5) == 1
        assert (await peer.result(1, 6))[:3] == error(Status.INVALID_ARGUMENT, 0)
        assert (await peer.result(1, 5.0, method="Ledger/stubborn"))[:3] == error(
            Status.INVALID_ARGUMENT, 0
        )
        ledger.gate.clear()
        running = peer.call(2, 7)
        assert (await peer.result(2, 8))[:3] == error(Status.INVALID_ARGUMENT, 0)
        ledger.gate.set()
        assert await peer.answer(running) == 2
        assert ledger.ended == [5, 7]


@pytest.mark.parametrize("header", [{"number": 1}, [], [0, 0], [1, 2], "1"])
@virtual_time
async def test_malformed_number_is_an_error_of_the_call(header: Any) -> None:
    """The connection lives on, and nothing runs."""
    ledger = Ledger()
    async with serving(ledger), caller() as peer:
        answer = await peer.result(header, 5)
        assert answer[:3] == error(Status.INVALID_ARGUMENT, 0)
        assert await peer.result(1, 5) == 1


@virtual_time
async def test_stream_cannot_have_a_number() -> None:
    """A numbered call has one answer."""
    async with serving(Ledger()), caller() as peer:
        answer = await peer.result(1, 5, method="Ledger/count", flags=1)
        assert answer[:3] == error(Status.INVALID_ARGUMENT, 0)


@virtual_time
async def test_number_without_a_session_means_nothing() -> None:
    """A caller that did not ask for a session has its calls run each time."""
    ledger = Ledger()
    async with serving(ledger), Caller() as peer:
        await peer.connect("memory://ledger")
        peer.preamble()
        peer.hello()
        assert "session" not in (await peer.receive_frame())[1]
        assert await peer.result(1, 5) == 1
        assert await peer.result(1, 5) == 2


@virtual_time
async def test_unknown_method_is_not_found() -> None:
    """A number does not change what is refused."""
    async with serving(Ledger()), caller() as peer:
        answer = await peer.result(1, method="Ledger/gone")
        assert answer[:3] == error(Status.METHOD_NOT_FOUND, 0)


# ------------------------------------------------------------------------- acknowledging


@virtual_time
async def test_acknowledged_answers_are_dropped() -> None:
    """`below` drops what is stored, and a number below it never runs again."""
    ledger = Ledger()
    async with serving(ledger) as server, caller() as peer:
        for number in (1, 2, 3):
            assert await peer.result([number, 1], number) == number
        assert server.statistics()["replies"] == 3
        assert await peer.result([4, 3], 4) == 4
        assert server.statistics()["replies"] == 2
        assert (await peer.result([1, 1], 1))[:3] == error(Status.FORGOTTEN, 1)
        assert await peer.result([3, 3], 3) == 3
        assert ledger.entered == [1, 2, 3, 4]


@virtual_time
async def test_run_that_nobody_waits_for_is_stopped_by_below() -> None:
    """A caller that gave up without a connection says so with its next call."""
    ledger = Ledger()
    async with serving(ledger) as server:
        ledger.gate.clear()
        async with caller() as first:
            first.call(1, 5)
            await soon(lambda: ledger.entered)
        await soon(lambda: server.statistics()["detached_runs"] == 1)
        async with caller(first.session) as second:
            call = second.call([2, 2], 6)
            await soon(lambda: ledger.stopped == [5])
            ledger.gate.set()
            assert await second.answer(call) == 1
            assert (await second.result([1, 1], 5))[:3] == error(Status.FORGOTTEN, 1)
        assert (ledger.entered, ledger.ended) == ([5, 6], [6])
        assert server.statistics()["replies"] == 1


# ------------------------------------------------------------------------- cancel, deadline


@virtual_time
async def test_cancel_stops_the_run() -> None:
    """CANCEL of the only attempt stops the handler; what that ended with is stored."""
    ledger = Ledger()
    async with serving(ledger), caller() as peer:
        ledger.gate.clear()
        call = peer.call(1, 5)
        await soon(lambda: ledger.entered)
        peer.send_frame([11, call, 0])
        assert await peer.answer(call) == [RECEIPT, 0]
        assert ledger.stopped == [5]
        assert (await peer.result(1, 5))[:3] == error(Status.CANCELLED, 1)
        assert ledger.entered == [5]


@virtual_time
async def test_cancel_of_one_attempt_leaves_the_run_to_the_others() -> None:
    """Two attempts wait for one run: the one that gives up is told that it goes on."""
    ledger = Ledger()
    async with serving(ledger, limits=Limits(cancel_grace=0.5)), caller() as peer:
        ledger.gate.clear()
        one, two = peer.call(1, 5), peer.call(1, 5)
        await soon(lambda: ledger.entered)
        peer.send_frame([11, one, 0])
        assert await peer.answer(one) == [RECEIPT, 2]
        ledger.gate.set()
        assert await peer.answer(two) == 1
        assert ledger.stopped == []


@virtual_time
async def test_cancelled_run_that_finishes_anyway_is_stored() -> None:
    """The receipt says so, and a further attempt gets the result."""
    async with serving(Ledger()), caller() as peer:
        call = peer.call(1, 0.5, method="Ledger/stubborn")
        await asyncio.sleep(0.1)
        peer.send_frame([11, call, 0])
        assert await peer.answer(call) == [RECEIPT, 1]
        assert await peer.result(1, 0.5, method="Ledger/stubborn") == "finished anyway"


@virtual_time
async def test_run_that_does_not_stop_is_said_to_go_on() -> None:
    """After the grace the receipt says that it is still running; the number stays taken."""
    async with serving(Ledger(), limits=Limits(cancel_grace=0.5)), caller() as peer:
        call = peer.call(1, 5.0, method="Ledger/stubborn")
        await asyncio.sleep(0.1)
        peer.send_frame([11, call, 0])
        assert await peer.answer(call) == [RECEIPT, 2]
        assert await peer.result(1, 5.0, method="Ledger/stubborn") == "finished anyway"


@virtual_time
async def test_deadline_passes_with_and_without_a_caller() -> None:
    """A run ends at the deadline of the first attempt, also when nobody is there."""
    ledger = Ledger()
    async with serving(ledger) as server:
        ledger.gate.clear()
        async with caller() as first:
            answer = await first.result(1, 5, timeout_ms=1000)
            assert answer[:3] == error(Status.DEADLINE_EXCEEDED, 1)
            assert [name for name, _ in answer[4]["where"]] == ["queue", "handler"]
            assert asyncio.get_running_loop().time() == 1.0
            first.call(2, 6, timeout_ms=1000)
            await soon(lambda: ledger.entered == [5, 6])
        await soon(lambda: server.statistics()["detached_runs"] == 1)
        await asyncio.sleep(2)
        assert ledger.stopped == [5, 6]
        async with caller(first.session) as second:
            late = await second.result(2, 6, timeout_ms=60_000)
            assert late[:3] == error(Status.DEADLINE_EXCEEDED, 1)


@virtual_time(grace=0.05)
async def test_deadline_passes_before_the_run_begins() -> None:
    """A call that waited for a thread in vain was not executed, and its number is free."""
    ledger = Ledger()
    async with serving(ledger, limits=Limits(max_threads=1)), caller() as peer:
        busy = peer.call(1, 1, method="Ledger/block")
        await soon(lambda: ledger.entered == [1])
        answer = await peer.result(2, 2, method="Ledger/block", timeout_ms=500)
        assert answer[:3] == error(Status.DEADLINE_EXCEEDED, 0)
        ledger.let_go.set()
        assert await peer.answer(busy) == 1
        assert await peer.result(2, 2, method="Ledger/block") == 2
        assert ledger.entered == [1, 2]


@virtual_time
async def test_later_attempt_does_not_move_the_deadline() -> None:
    """The run that a second attempt attached to ends when it would have ended."""
    ledger = Ledger()
    async with serving(ledger):
        ledger.gate.clear()
        async with caller() as first:
            first.call(1, 5, timeout_ms=1000)
            await soon(lambda: ledger.entered)
        async with caller(first.session) as second:
            answer = await second.result(1, 5, timeout_ms=60_000)
            assert answer[:3] == error(Status.DEADLINE_EXCEEDED, 1)
            assert asyncio.get_running_loop().time() == 1.0


@virtual_time
async def test_deadline_that_has_passed_starts_nothing() -> None:
    """But an answer that is there is given."""
    ledger = Ledger()
    async with serving(ledger), caller() as peer:
        answer = await peer.result(1, 5, timeout_ms=0)
        assert answer[:3] == error(Status.DEADLINE_EXCEEDED, 0)
        assert await peer.result(1, 5) == 1
        assert await peer.result(1, 5, timeout_ms=0) == 1


@virtual_time
async def test_cancel_because_of_the_deadline_stops_the_run() -> None:
    """CANCEL with reason 1 ends the attempt with DEADLINE_EXCEEDED, and the run."""
    ledger = Ledger()
    async with serving(ledger), caller() as peer:
        ledger.gate.clear()
        call = peer.call(1, 5)
        await soon(lambda: ledger.entered)
        peer.send_frame([11, call, 1])
        assert (await peer.answer(call))[:3] == error(Status.DEADLINE_EXCEEDED, 1)
        await soon(lambda: ledger.stopped)


# ------------------------------------------------------------------------------- bounds


@virtual_time
async def test_answers_are_dropped_by_number() -> None:
    """Beyond `max_replies` the oldest answer is forgotten: it may have been executed."""
    ledger = Ledger()
    async with serving(ledger, limits=Limits(max_replies=2)) as server, caller() as peer:
        for number in (1, 2, 3):
            await peer.result(number, number)
        assert (await peer.result(1, 1))[:3] == error(Status.FORGOTTEN, 1)
        assert await peer.result(2, 2) == 2
        counted = server.statistics()
        assert (counted["replies"], counted["evicted_replies"]) == (2, 1)
        assert ledger.entered == [1, 2, 3]


@virtual_time
async def test_answers_are_dropped_by_size() -> None:
    """An answer that is larger than all that may be kept is sent, and not kept."""
    ledger = Ledger()
    async with serving(ledger, limits=Limits(max_reply_bytes=5000)) as server, caller() as peer:
        assert await peer.result(1, 1) == 1
        assert await peer.result(2, 2, 6000) == bytes(6000)
        assert (await peer.result(2, 2, 6000))[:3] == error(Status.FORGOTTEN, 1)
        assert (await peer.result(1, 1))[:3] == error(Status.FORGOTTEN, 1)
        assert await peer.result(3, 3) == 3
        assert server.statistics()["reply_bytes"] == 512 + 1


@virtual_time
async def test_answers_are_dropped_by_time() -> None:
    """After `reply_ttl` an answer is forgotten."""
    ledger = Ledger()
    async with serving(ledger, limits=Limits(reply_ttl=10)) as server, caller() as peer:
        await peer.result(1, 5)
        await asyncio.sleep(9)
        assert await peer.result(1, 5) == 1
        await asyncio.sleep(1.1)
        assert server.statistics()["replies"] == 0
        assert (await peer.result(1, 5))[:3] == error(Status.FORGOTTEN, 1)
        assert ledger.entered == [5]


@virtual_time
async def test_runs_of_a_session_are_bounded() -> None:
    """`max_calls` holds for a session, also for runs that it left behind."""
    ledger = Ledger()
    async with serving(ledger, limits=Limits(max_calls=2)) as server:
        ledger.gate.clear()
        async with caller() as first:
            first.call(1, 1)
            first.call(2, 2)
            await soon(lambda: len(ledger.entered) == 2)
        await soon(lambda: server.statistics()["detached_runs"] == 2)
        async with caller(first.session) as second:
            assert (await second.result(3, 3))[:3] == error(Status.RESOURCE_EXHAUSTED, 0)
            second.call(1, 1)
            second.call(2, 2)
            busy = await second.result(1, 1)
            assert busy[:3] == error(Status.RESOURCE_EXHAUSTED, 1)


@virtual_time
async def test_detached_runs_are_bounded() -> None:
    """Beyond `max_detached` a lost connection stops its runs, as it does ordinary calls."""
    ledger = Ledger()
    async with serving(ledger, limits=Limits(max_detached=1)) as server:
        ledger.gate.clear()
        async with caller() as first:
            first.call(1, 1)
            first.call(2, 2)
            await soon(lambda: len(ledger.entered) == 2)
        await soon(lambda: len(ledger.stopped) == 1)
        assert server.statistics()["detached_runs"] == 1
        async with caller(first.session) as second:
            stopped = ledger.stopped[0]
            answer = await second.result(stopped, stopped)
            assert answer[:3] == error(Status.CANCELLED, 1)


# ---------------------------------------------------------------------- stopping the server


@virtual_time
async def test_drain_waits_for_a_run_without_a_connection() -> None:
    """A run that somebody may come back for is let finish within the grace."""
    ledger = Ledger()
    async with framerpc.Server(ledger).listen("memory://ledger") as server:
        ledger.gate.clear()
        async with caller() as first:
            first.call(1, 5)
            await soon(lambda: ledger.entered)
        await soon(lambda: server.statistics()["detached_runs"] == 1)
        asyncio.get_running_loop().call_later(5, ledger.gate.set)
        await server.close(grace=60)
        assert ledger.ended == [5]
        assert asyncio.get_running_loop().time() < 6


@virtual_time
async def test_drain_cuts_what_does_not_end() -> None:
    """After the grace runs are stopped, attached ones with an answer that says so."""
    ledger = Ledger()
    async with framerpc.Server(ledger).listen("memory://ledger") as server:
        ledger.gate.clear()
        async with caller() as first:
            first.call(1, 5)
            await soon(lambda: ledger.entered)
        async with caller() as second:
            call = second.call(1, 6)
            await soon(lambda: len(ledger.entered) == 2)
            closing = asyncio.create_task(server.close(grace=1))
            assert (await second.receive_frame())[0] == 4
            assert (await second.receive_frame())[0] == 5
            assert (await second.answer(call))[:3] == error(Status.UNAVAILABLE, 1)
            second.close()
            await closing
        assert sorted(ledger.stopped) == [5, 6]


@virtual_time
async def test_ordinary_calls_are_as_before() -> None:
    """A call without a number in a session ends with its connection."""
    ledger = Ledger()
    async with serving(ledger) as server:
        ledger.gate.clear()
        async with caller() as first:
            first.send_frame([8, 1, 0, "Ledger/transfer", 60_000, None, b"\x91\x05"])
            await soon(lambda: ledger.entered)
        await soon(lambda: ledger.stopped)
        await passing()
        assert server.statistics()["detached_runs"] == 0
