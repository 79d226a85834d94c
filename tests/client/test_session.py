"""`once` calls of a client, through cuts at every point, lost sessions and lost answers."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

import framerpc
from framerpc import ConnectionLost, DeadlineExceeded, Limits
from framerpc.codecs import packb
from framerpc.testing import Network, ScriptedPeer, virtual_time
from tests.server.numbered import Ledger, serving
from tests.services import soon

URL = "memory://ledger"


def now() -> float:
    return asyncio.get_running_loop().time()


class Slow(Ledger):
    """A run takes a second."""

    async def transfer(self, amount: int, size: int = 0) -> Any:
        self.entered.append(amount)
        await asyncio.sleep(1)
        self.ended.append(amount)
        return bytes(size) if size else len(self.ended)


# -------------------------------------------------------------------------- cuts


@pytest.mark.parametrize(
    "cuts",
    [
        [0.0], [0.5], [1.5], [2.5], [2.999], [3.5],
        [0.5, 5.0], [0.5, 6.5], [1.5, 5.0], [1.5, 6.0], [2.5, 6.5], [0.5, 6.0, 12.0, 18.0],
    ],
    ids=str,
)  # fmt: skip
@virtual_time
async def test_cut_at_any_point(cuts: list[float]) -> None:
    """Before it arrives, while it runs, as the answer is on its way, after it: one run, one answer.

    The call leaves at 0, arrives at 1, has run at 2, and its answer is there at 3.
    """
    ledger = Slow()
    with Network() as network:
        async with serving(ledger), framerpc.connect(URL, timeout=120) as client:
            await client.ready()
            network.delay(1)
            network.link(URL).connections[0].delay(1)
            started = now()
            call = asyncio.create_task(client.stub(Ledger).transfer(5))
            for cut in cuts:
                await asyncio.sleep(started + cut - now())
                network.cut()
            assert await call == 1
            assert await client.stub(Ledger).transfer(6) == 2
        assert (ledger.entered, ledger.ended) == ([5, 6], [5, 6])


@virtual_time
async def test_many_calls_keep_their_own_answers() -> None:
    """Each of the calls in flight is sent again under its own number."""
    ledger = Ledger()
    with Network() as network:
        async with serving(ledger), framerpc.connect(URL) as client:
            ledger.gate.clear()
            stub = client.stub(Ledger)
            calls = [asyncio.create_task(stub.transfer(n, 100 + n)) for n in range(1, 51)]
            await soon(lambda: len(ledger.entered) == 50)
            network.cut()
            more = [asyncio.create_task(stub.transfer(n, 100 + n)) for n in range(51, 101)]
            await soon(lambda: len(ledger.entered) == 100)
            ledger.gate.set()
            sizes = [len(answer) for answer in await asyncio.gather(*calls, *more)]
            assert sizes == list(range(101, 201))
        assert sorted(ledger.entered) == list(range(1, 101))


@virtual_time
async def test_large_arguments_and_answers_are_sent_again() -> None:
    """Bodies in parts are cut in the middle like any other."""
    ledger = Ledger()
    with Network() as network:
        async with serving(ledger), framerpc.connect(URL, timeout=600) as client:
            await client.ready()
            network.link(URL).slow_reader(100_000, direction="to_client")
            call = asyncio.create_task(client.stub(Ledger).transfer(1, 1_000_000))
            await asyncio.sleep(5)
            network.cut()
            network.heal()
            assert await call == bytes(1_000_000)
        assert ledger.entered == [1]


@virtual_time
async def test_call_by_function_and_with_interceptors() -> None:
    """However a `once` method is called, it is sent again."""
    ledger, seen = Ledger(), list[str]()

    async def watch(context: Any, body: Any, proceed: Any) -> Any:
        seen.append(context.method)
        return await proceed(context, body)

    with Network() as network:
        async with serving(ledger), framerpc.connect(URL, interceptors=[watch]) as client:
            ledger.gate.clear()
            call = asyncio.create_task(client.call(Ledger.transfer, 5))
            await soon(lambda: ledger.entered)
            network.cut()
            ledger.gate.set()
            assert await call == 1
        assert (ledger.entered, seen) == ([5], ["Ledger/transfer"])


@virtual_time
async def test_other_calls_are_not_sent_again() -> None:
    """At most once stays the default, also for a `once` method that is called by its name."""
    ledger = Ledger()
    with Network() as network:
        async with serving(ledger), framerpc.connect(URL) as client:
            ledger.gate.clear()
            call = asyncio.create_task(client.call("Ledger/transfer", 5))
            await soon(lambda: ledger.entered)
            network.cut()
            with pytest.raises(ConnectionLost) as caught:
                await call
            assert caught.value.executed == "maybe"


@virtual_time
async def test_errors_of_the_method_are_answers() -> None:
    """A declared error arrives as itself, after a cut as well."""
    ledger = Ledger()
    with Network() as network:
        async with serving(ledger), framerpc.connect(URL) as client:
            ledger.gate.clear()
            call = asyncio.create_task(client.stub(Ledger).transfer(-5))
            await soon(lambda: ledger.entered)
            network.cut()
            ledger.gate.set()
            with pytest.raises(framerpc.CallError) as caught:
                await call
            assert type(caught.value).__name__ == "Overdrawn"
            assert caught.value.executed == "yes"


# ------------------------------------------------------------- lost sessions and answers


@virtual_time
async def test_restarted_server_has_lost_the_session() -> None:
    """A call that may have left gets ConnectionLost; one that never left goes to the new server."""
    ledger, fresh = Ledger(), Ledger()
    async with framerpc.connect(URL) as client:
        stub = client.stub(Ledger)
        async with serving(ledger):
            ledger.gate.clear()
            sent = asyncio.create_task(stub.transfer(5))
            await soon(lambda: ledger.entered)
        waits = asyncio.create_task(stub.transfer(6))
        await asyncio.sleep(1)
        async with serving(fresh):
            with pytest.raises((ConnectionLost, framerpc.Unavailable)) as caught:
                await sent
            assert caught.value.executed == "maybe"
            assert await waits == 1
        assert (ledger.entered, fresh.entered) == ([5], [6])


@pytest.mark.parametrize("limits", [Limits(session_ttl=5), Limits(max_sessions=1)])
@virtual_time
async def test_server_that_has_dropped_the_session(limits: Limits) -> None:
    """Expired, or pushed out by another client: it is unknown what became of the call."""
    ledger = Ledger()
    with Network() as network:
        async with serving(ledger, limits=limits), framerpc.connect(URL) as client:
            ledger.gate.clear()
            call = asyncio.create_task(client.stub(Ledger).transfer(5))
            await soon(lambda: ledger.entered)
            network.link(URL).down()
            await asyncio.sleep(1)
            network.heal()
            async with framerpc.connect(URL) as other:
                if limits.max_sessions == 1:
                    await other.ready()
                network.link(URL).down()
                await asyncio.sleep(6)
                network.heal()
                with pytest.raises(ConnectionLost) as caught:
                    await call
            assert caught.value.executed == "maybe"
            ledger.gate.set()
            assert isinstance(await client.stub(Ledger).transfer(6), int)
        assert ledger.entered == [5, 6]


@virtual_time
async def test_answer_that_was_dropped() -> None:
    """The session lives, the answer had to go: ConnectionLost, which says why."""
    ledger = Slow()
    with Network() as network:
        async with serving(ledger, limits=Limits(reply_ttl=2)):
            async with framerpc.connect(URL, timeout=60) as client:
                await client.ready()
                call = asyncio.create_task(client.stub(Ledger).transfer(5))
                await soon(lambda: ledger.entered)
                network.link(URL).down()
                await asyncio.sleep(5)
                network.heal()
                with pytest.raises(ConnectionLost, match="its answer was dropped") as caught:
                    await call
                assert (caught.value.executed, caught.value.method) == ("maybe", "Ledger/transfer")
        assert ledger.entered == [5]


@virtual_time
async def test_other_identity_after_the_cut() -> None:
    """A client that is somebody else now cannot go on with its old session."""
    ledger, tokens = Ledger(), iter(["ada", "eve"])
    options: Any = {"authenticate": lambda credentials: credentials.token}
    with Network() as network:
        async with (
            serving(ledger, **options),
            framerpc.connect(URL, token=lambda: next(tokens)) as client,
        ):
            ledger.gate.clear()
            call = asyncio.create_task(client.stub(Ledger).transfer(5))
            await soon(lambda: ledger.entered)
            network.cut()
            with pytest.raises(ConnectionLost, match="has lost the session"):
                await call
        assert ledger.entered == [5]


# -------------------------------------------------------------- deadlines, cancellation, end


@virtual_time
async def test_deadline_passes_while_there_is_no_connection() -> None:
    """The caller is told in time, and that it may have been executed; the run ends, too."""
    ledger = Ledger()
    with Network() as network:
        async with serving(ledger), framerpc.connect(URL, timeout=10) as client:
            ledger.gate.clear()
            call = asyncio.create_task(client.stub(Ledger).transfer(5))
            await soon(lambda: ledger.entered)
            network.link(URL).down()
            with pytest.raises(DeadlineExceeded) as caught:
                await call
            assert caught.value.executed == "maybe"
            assert now() <= 10.1
            assert ledger.stopped == [5]
            with pytest.raises(DeadlineExceeded) as caught:
                await client.stub(Ledger).transfer(6)
            assert caught.value.executed == "no"
            network.heal()


@virtual_time
async def test_each_attempt_carries_what_is_left() -> None:
    """A second attempt does not begin its time anew."""
    async with ScriptedPeer() as server:
        await server.listen(URL)
        async with framerpc.connect(URL, timeout=10) as client:
            call = asyncio.create_task(client.stub(Ledger).transfer(5))
            left: list[Any] = []
            for _ in range(2):
                await server.accept()
                hello = (await server.receive_frame())[1]
                server.preamble()
                server.welcome(features=["sessions"], session=b"s")
                request = await server.receive_frame()
                left.append((hello.get("session"), request[4], request[5]))
                await asyncio.sleep(4)
                server.transport.abort()
            await server.accept()
            server.preamble()
            server.welcome(features=["sessions"], session=b"s")
            await server.receive_frame()
            _, call_id, *rest = await server.receive_frame()
            server.send_frame([9, call_id, packb(7)])
            assert await call == 7
    assert left[0] == (None, 10_000, {"once": [1, 1]})
    assert left[1][0] == b"s"
    assert 5_000 <= left[1][1] <= 6_000
    assert left[1][2] == {"once": [1, 1]}
    assert rest[3] == {"once": [1, 1]}


@virtual_time
async def test_cancel_while_there_is_no_connection() -> None:
    """The caller is free at once; the run is stopped when the next call says that nobody waits."""
    ledger = Ledger()
    with Network() as network:
        async with serving(ledger), framerpc.connect(URL, timeout=60) as client:
            ledger.gate.clear()
            call = asyncio.create_task(client.stub(Ledger).transfer(5))
            await soon(lambda: ledger.entered)
            network.link(URL).down()
            await asyncio.sleep(1)
            cancelled = now()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert now() == cancelled
            network.heal()
            await client.ready()
            assert ledger.stopped == []
            following = asyncio.create_task(client.stub(Ledger).transfer(6))
            await soon(lambda: ledger.stopped == [5])
            ledger.gate.set()
            assert await following == 1


@virtual_time
async def test_cancel_of_a_second_attempt_reaches_the_handler() -> None:
    """With a connection, giving up stops the run as for any call."""
    ledger = Ledger()
    with Network() as network:
        async with serving(ledger) as server, framerpc.connect(URL) as client:
            ledger.gate.clear()
            call = asyncio.create_task(client.stub(Ledger).transfer(5))
            await soon(lambda: ledger.entered)
            network.cut()
            await soon(lambda: server.statistics()["answered_again"] == 1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await soon(lambda: ledger.stopped == [5])


@virtual_time
async def test_client_that_is_closed_while_a_call_waits() -> None:
    """The call ends as lost, and may have been executed."""
    ledger = Ledger()
    with Network() as network:
        async with serving(ledger):
            async with framerpc.connect(URL) as client:
                ledger.gate.clear()
                call = asyncio.create_task(client.stub(Ledger).transfer(5))
                await soon(lambda: ledger.entered)
                network.link(URL).down()
                await asyncio.sleep(1)
            with pytest.raises(ConnectionLost, match="the client was closed") as caught:
                await call
            assert caught.value.executed == "maybe"


@virtual_time
async def test_server_without_sessions() -> None:
    """Then `once` is at most once, and nothing is said about numbers."""
    async with ScriptedPeer() as server:
        await server.listen(URL)
        async with framerpc.connect(URL) as client:
            call = asyncio.create_task(client.stub(Ledger).transfer(5))
            await server.accept()
            assert (await server.receive_frame())[1]["features"] == ["sessions", "topics"]
            server.preamble()
            server.welcome()
            assert (await server.receive_frame())[5] is None
            server.transport.abort()
            with pytest.raises(ConnectionLost) as caught:
                await call
            assert caught.value.executed == "maybe"


@virtual_time
async def test_answers_are_acknowledged() -> None:
    """A server keeps no more than the last answer of a client that calls one after the other."""
    async with serving(Ledger()) as server, framerpc.connect(URL) as client:
        for n in range(1, 21):
            assert await client.stub(Ledger).transfer(n) == n
        assert server.statistics()["replies"] == 1


@virtual_time
async def test_closed_client_leaves_nothing() -> None:
    """Its session goes with it."""
    async with serving(Ledger()) as server:
        async with framerpc.connect(URL) as client:
            await client.stub(Ledger).transfer(1)
        await soon(lambda: server.statistics()["clients"] == 0)
        counted = server.statistics()
        assert (counted["sessions"], counted["replies"]) == (0, 0)


@framerpc.service
class Front:
    """Passes calls on."""

    def __init__(self, behind: framerpc.Client) -> None:
        self.behind = behind

    @framerpc.method(once=True)
    async def transfer(self, amount: int) -> Any:
        return await self.behind.stub(Ledger).transfer(amount)


@virtual_time
async def test_late_call_says_where_the_time_went() -> None:
    """With a connection the server reports, also about the calls that the handler made."""
    ledger = Ledger()
    async with serving(ledger), framerpc.connect(URL) as behind:
        async with (
            framerpc.Server(Front(behind)).listen("memory://front", grace=0),
            framerpc.connect("memory://front", timeout=1) as client,
        ):
            await client.ready()
            ledger.gate.clear()
            with pytest.raises(DeadlineExceeded) as caught:
                await client.stub(Front).transfer(5)
        assert caught.value.executed == "maybe"
        stations = [name for name, _ in caught.value.where]
        assert stations[:2] == ["connection", "wire"]
        assert "in its call Ledger/transfer" in stations
        assert ledger.stopped == [5]


@virtual_time
async def test_call_that_may_have_left_stays_with_its_server() -> None:
    """With several servers it goes back to the one that has its number, and waits for it."""
    ledgers = {"memory://one": Ledger(), "memory://two": Ledger()}
    with Network() as network:
        async with contextlib.AsyncExitStack() as stack:
            for url, ledger in ledgers.items():
                server = framerpc.Server(ledger)
                await stack.enter_async_context(server.listen(url, grace=0))
                ledger.gate.clear()
            client = await stack.enter_async_context(framerpc.connect(*ledgers, timeout=60))
            await client.ready(all=True)
            stub = client.stub(Ledger)
            call = asyncio.create_task(stub.transfer(5))
            await soon(lambda: any(ledger.entered for ledger in ledgers.values()))
            (url,) = (url for url, ledger in ledgers.items() if ledger.entered)
            (other,) = ledgers.keys() - {url}
            network.link(url).down()
            await asyncio.sleep(5)
            ledgers[other].gate.set()
            assert await stub.transfer(6) == 1  # which never left: it goes where it can
            network.heal()
            ledgers[url].gate.set()
            assert await call == 1
        assert (ledgers[url].entered, ledgers[other].entered) == ([5], [6])
