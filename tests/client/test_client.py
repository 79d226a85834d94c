"""The client: its life, its options, what it refuses, and where it may be used."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
import tenacity

import framerpc
from framerpc import ConfigurationError, ConnectionLost, Limits, State
from framerpc.testing import Network, virtual_time
from tests.services import Work, pair, soon


@virtual_time
async def test_client_dials_in_the_background_and_tells_its_states() -> None:
    """Entering does not wait; `ready` does; each state is told once."""
    states: list[State] = []
    async with framerpc.Server(Work()).listen("memory://work"):
        async with framerpc.connect("memory://work", on_state=states.append) as client:
            before = client.state
            await client.ready()
            assert [before, client.state] == [State.CONNECTING, State.READY]
            assert "memory://work, ready" in repr(client)
        assert states == [State.READY, State.CLOSED]


@virtual_time
async def test_first_connection_is_tried_again() -> None:
    """A client may be started before its server; its calls wait."""
    async with framerpc.connect("memory://work") as client:
        call = asyncio.create_task(client.call("Work/echo", 1))
        await asyncio.sleep(3)
        async with framerpc.Server(Work()).listen("memory://work"):
            assert await call == 1


@virtual_time
async def test_ready_gives_up_after_its_timeout() -> None:
    """`ready(timeout)` says what was tried."""
    async with framerpc.connect("memory://nobody") as client:
        with pytest.raises(framerpc.DeadlineExceeded, match="memory://nobody"):
            await client.ready(2)
        assert asyncio.get_running_loop().time() == 2


@virtual_time
async def test_pauses_between_dials_are_the_ones_asked_for() -> None:
    """Any of tenacity's waits decides when to dial again."""
    wait = tenacity.wait_fixed(5)
    async with framerpc.connect("memory://work", reconnect=wait) as client:
        await asyncio.sleep(1)
        async with framerpc.Server(Work()).listen("memory://work"):
            await client.ready()
            assert asyncio.get_running_loop().time() == 5


@virtual_time
async def test_call_in_flight_when_the_connection_dies_may_have_run() -> None:
    """A call whose request had left gets ConnectionLost with executed="maybe"."""
    work = Work()
    with Network() as network:
        async with pair(framerpc.Server(work)) as client:
            task = asyncio.create_task(client.call(Work.sleep, 60))
            await work.entered.wait()
            network.cut()
            with pytest.raises(ConnectionLost) as caught:
                await task
            assert caught.value.executed == "maybe"
            assert caught.value.method == "Work/sleep"
            assert await client.call("Work/echo", "again") == "again"
            assert work.cancelled == 1


@virtual_time
async def test_call_that_never_left_waits_for_the_next_connection() -> None:
    """Without a connection, a call waits and runs once."""
    work = Work()
    with Network() as network:
        async with pair(framerpc.Server(work)) as client:
            network.link("work").down()
            await soon(lambda: client.state is State.CONNECTING)
            call = asyncio.create_task(client.call(Work.sleep, 0))
            await asyncio.sleep(3)
            network.heal()
            assert await call == 0
            assert work.started == 1


@virtual_time
async def test_closing_ends_calls_in_flight() -> None:
    """Leaving the block ends what waits, and cancels the handler."""
    work = Work()
    async with framerpc.Server(work).listen("memory://work"):
        async with framerpc.connect("memory://work") as client:
            task = asyncio.create_task(client.call(Work.sleep, 60))
            await work.entered.wait()
        with pytest.raises((framerpc.Unavailable, ConnectionLost)):
            await task
        await asyncio.wait_for(work.ended.wait(), 1)
        with pytest.raises(framerpc.Unavailable, match="closed"):
            await client.call("Work/echo", 1)
        await client.close()


@virtual_time
async def test_closing_ends_calls_that_wait_for_a_connection() -> None:
    """A client that never connected can be closed at once."""
    async with framerpc.connect("memory://nobody") as client:
        task = asyncio.create_task(client.call("Work/echo", 1))
        await asyncio.sleep(1)
    with pytest.raises(framerpc.Unavailable, match="closed"):
        await task


@virtual_time
async def test_many_calls_share_few_slots() -> None:
    """5000 calls at once under a limit of 100 all succeed: the client waits for its slot."""
    server = framerpc.Server(Work(), limits=Limits(max_calls=100))
    async with pair(server) as client:
        results = await asyncio.gather(*(client.call("Work/echo", n) for n in range(5000)))
        assert results == list(range(5000))
        assert server.statistics()["refused_calls"] == 0


@virtual_time
async def test_many_slow_calls_share_few_slots() -> None:
    """Calls that take a second run in batches of the limit, none refused."""
    server = framerpc.Server(Work(), limits=Limits(max_calls=10))
    async with pair(server) as client:
        await asyncio.gather(*(client.call(Work.sleep, 1) for _ in range(50)))
        assert asyncio.get_running_loop().time() == pytest.approx(5, abs=0.1)


async def test_views_have_options_of_their_own() -> None:
    """`with_options` changes the view alone, and views share the connection."""
    server = framerpc.Server(Work())
    async with pair(server, metadata={"a": "1"}) as client:
        view = client.with_options(timeout=5, metadata={"b": "2"})
        assert (await view.call(Work.call))["metadata"] == {"a": "1", "b": "2"}
        assert 4 < (await view.call(Work.call))["remaining"] <= 5
        assert (await client.call(Work.call))["metadata"] == {"a": "1"}
        assert 29 < (await client.call(Work.call))["remaining"] <= 30
        assert (await view.with_options(timeout=7).call(Work.call))["metadata"] == {
            "a": "1",
            "b": "2",
        }
        assert server.statistics()["connections"] == 1


async def test_metadata_changed_by_its_owner_does_not_leak_into_calls() -> None:
    """The client keeps a copy of the metadata that it was given."""
    metadata = {"a": "1"}
    async with pair(framerpc.Server(Work()), metadata=metadata) as client:
        metadata["b"] = "2"
        assert (await client.call(Work.call))["metadata"] == {"a": "1"}


async def test_notification_is_sent_and_not_answered() -> None:
    """A one-way call runs; an error in it, or an unknown method, is told to nobody."""
    server = framerpc.Server(Work())
    seen: asyncio.Queue[str] = asyncio.Queue()

    @server.method
    async def note(text: str) -> None:
        seen.put_nowait(text)

    async with pair(server) as client:
        await client.notify("Work/fail", "PermissionDenied")
        await client.notify("nobody/knows")
        await client.notify("note", "arrived")
        assert await seen.get() == "arrived"
        await soon(lambda: server.statistics()["dropped_notifications"] == 1)


async def test_notification_passes_interceptors() -> None:
    """An interceptor that adds metadata reaches one-way calls as well."""
    server = framerpc.Server()
    seen: asyncio.Queue[dict[str, str]] = asyncio.Queue()

    @server.method
    async def note() -> None:
        seen.put_nowait(framerpc.current_call().metadata)

    async def sign(context: Any, body: Any, proceed: Any) -> Any:
        context.metadata["signed"] = "yes"
        return await proceed(context, body)

    async with pair(server, interceptors=[sign]) as client:
        await client.notify("note")
        assert await seen.get() == {"signed": "yes"}


async def test_message_over_the_limit_is_refused_and_the_connection_lives_on() -> None:
    """Arguments and results that are too long name the limit, and end their own call only."""
    server = framerpc.Server(Work(), limits=Limits(max_message=100_000))
    async with pair(server) as client:
        with pytest.raises(framerpc.MessageTooLarge, match="the peer's limit of 100000") as caught:
            await client.call("Work/echo", bytes(200_000))
        assert caught.value.executed == "no"
        server.method(name="big")(_big)
        with pytest.raises(framerpc.MessageTooLarge, match="100000") as caught:
            await client.call("big")
        assert caught.value.executed == "yes"
        assert await client.call("Work/echo", 1) == 1
        assert server.statistics()["connections"] == 1


async def _big() -> bytes:
    return bytes(200_000)


async def test_big_bodies_interleave_with_small_calls() -> None:
    """Small calls are answered while a body of 8 MiB is on its way in parts."""
    async with (
        framerpc.Server(Work()).listen("tcp://127.0.0.1:0") as server,
        framerpc.connect(server.url) as client,
    ):
        big = asyncio.create_task(client.call("Work/echo", bytes(8 << 20)))
        answered = 0
        while not big.done():
            await client.call("Work/echo", 1)
            answered += 1
        assert len(await big) == 8 << 20
        assert answered >= 3


# ------------------------------------------------------------------------- invalid use


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": float("nan")},
        {"timeout": "5"},
        {"timeout": True},
        {"metadata": {"a": 1}},
        {"metadata": ["a"]},
        {"limits": {"max_calls": 1}},
        {"keepalive": 5},
        {"reconnect": 5},
        {"tls": True},
        {"token": 5},
        {"on_state": "print"},
        {"on_receipt": 1},
        {"interceptors": ["print"]},
    ],
    ids=str,
)
def test_impossible_option_is_refused_by_name(options: dict[str, Any]) -> None:
    """`connect` refuses an option that cannot be, at once, and says which."""
    (name,) = options
    with pytest.raises(ConfigurationError, match=name.removesuffix("s")):
        framerpc.connect("memory://work", **options)


def test_wrong_token_is_not_shown() -> None:
    """The error about a token of the wrong type does not contain it."""
    with pytest.raises(ConfigurationError) as caught:
        framerpc.connect("memory://work", token=b"s3cret")  # type: ignore[arg-type]
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "work", "http://x:1", "tcp://host", "tcp://host:99999"])
def test_impossible_address_is_refused(url: str) -> None:
    """`connect` refuses an address that cannot be dialled."""
    with pytest.raises(ConfigurationError):
        framerpc.connect(url)


def test_client_needs_an_address() -> None:
    """`connect()` says what to pass."""
    with pytest.raises(ConfigurationError, match="pass one"):
        framerpc.connect()


@pytest.mark.parametrize("timeout", [0, -1, -1.0, "x"])
def test_view_with_an_impossible_option_is_refused(timeout: Any) -> None:
    """`with_options` checks what `connect` checks; no number means "unchanged"."""
    with pytest.raises(ConfigurationError, match="timeout"):
        framerpc.connect("memory://work").with_options(timeout=timeout)


async def test_wrong_kind_of_call_is_refused_with_advice() -> None:
    """`call` on a stream, `stream` on a single value, and one-way streams say what to use."""
    client: Any = framerpc.connect("memory://work")
    with pytest.raises(ConfigurationError, match=r"Work/count .*use stream\(\)"):
        await client.call(Work.count, 3)
    with pytest.raises(ConfigurationError, match=r"Work/echo .*use call\(\)"):
        client.stream(Work.echo, 3)
    with pytest.raises(ConfigurationError, match=r"Work/count"):
        await client.notify(Work.count, 3)
    with pytest.raises(ConfigurationError, match=r"cannot carry a stream"):
        await client.notify(Work.total, _one())
    with pytest.raises(ConfigurationError, match=r"@framerpc\.method"):
        await client.call(len, 3)


async def _one() -> AsyncIterator[int]:
    yield 1


async def test_wrong_kind_of_call_by_name_is_refused_by_the_server() -> None:
    """A call by name whose shape does not fit gets InvalidArgument that says what to use."""
    async with pair(framerpc.Server(Work())) as client:
        with pytest.raises(framerpc.InvalidArgument, match=r"use stream\(\)"):
            await client.call("Work/count", 3)
        with pytest.raises(framerpc.InvalidArgument, match=r"use call\(\)"):
            await anext(client.stream("Work/echo", 3))
        with pytest.raises(framerpc.InvalidArgument, match="pass an async iterator"):
            await client.call("Work/total", 3)


# ------------------------------------------------------------------- loops and processes


async def test_use_from_another_loop_says_so_at_once() -> None:
    """A thread with a loop of its own cannot use the client, and is told what to do."""
    async with pair(framerpc.Server(Work())) as client:
        errors: list[str] = []

        async def use() -> None:
            for attempt in (
                client.call("Work/echo", 1),
                anext(client.stream(Work.count, 1)),
                client.notify("Work/echo", 1),
                client.ready(),
                client.close(),
            ):
                try:
                    await attempt
                except ConfigurationError as exc:
                    errors.append(str(exc))

        thread = threading.Thread(target=asyncio.run, args=(use(),))
        thread.start()
        await asyncio.to_thread(thread.join)
        assert len(errors) == 5
        assert all("another event loop" in text for text in errors)
        assert await client.call("Work/echo", 1) == 1


FORK = """
    import asyncio, os, sys
    import framerpc

    server = framerpc.Server()

    @server.method
    async def echo(value: int) -> int:
        return value

    async def child(client):
        try:
            await client.call("echo", 1)
        except framerpc.ConfigurationError as exc:
            return 0 if "process" in str(exc) else 4
        return 5

    async def main():
        async with server.listen("tcp://127.0.0.1:0"):
            async with framerpc.connect(server.url) as client:
                await client.ready()
                stream = client.stream("echo", 1)
                pid = os.fork()
                if not pid:
                    code = 9
                    try:
                        if sys.argv[1] == "loop":
                            asyncio._set_running_loop(None)
                            code = asyncio.new_event_loop().run_until_complete(child(client))
                        else:  # driven by hand: there is no loop at all
                            asyncio._set_running_loop(None)
                            try:
                                child(client).send(None)
                            except StopIteration as end:
                                code = end.value
                    finally:
                        os._exit(code)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                assert code == 0, code
                assert await client.call("echo", 2) == 2
                assert client.statistics()["calls_in_flight"] == 0
                print("ok")

    asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.parametrize("how", ["loop", "no loop"])
def test_forked_child_is_told_and_leaves_the_connection_alone(how: str) -> None:
    """In a forked child a call fails at once; the parent's connection works on."""
    ran = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(FORK), how],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (ran.stdout, ran.stderr) == ("ok\n", "")


@virtual_time
async def test_failing_state_callback_harms_nobody() -> None:
    """What `on_state` raises is logged, and the client works."""

    def broken(state: State) -> None:
        raise RuntimeError(state)

    async with pair(framerpc.Server(Work()), on_state=broken) as client:
        assert await client.call("Work/echo", 1) == 1


@virtual_time
async def test_connection_refused_before_the_welcome_runs_the_call_once() -> None:
    """A call sent early to a server that is full waits until there is room."""
    work = Work()
    server = framerpc.Server(work, limits=Limits(max_connections=1))
    async with pair(server) as first, framerpc.connect("memory://work") as second:
        call = asyncio.create_task(second.call(Work.sleep, 0))
        await asyncio.sleep(3)
        await first.close()
        assert await call == 0
        assert work.started == 1


@virtual_time
async def test_client_that_is_dropped_by_the_test_dials_again() -> None:
    """`drop_connections` is a fault made to order."""
    server = framerpc.Server(Work())
    async with pair(server) as client:
        await client.drop_connections()
        assert await client.call("Work/echo", 1) == 1
        assert server.statistics()["connections"] == 2


@virtual_time
async def test_an_unforeseen_error_while_dialling_reaches_who_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A bug while dialling ends the calls that wait, instead of leaving them to their deadline."""

    async def broken(*_args: object, **_options: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("framerpc.client.channel.dial", broken)
    async with framerpc.connect("memory://work", timeout=60) as client:
        with pytest.raises(framerpc.ConnectionFailed, match="a bug"):
            await client.call("Work/echo", 1)


@virtual_time
async def test_backoff_begins_anew_only_after_a_stable_period() -> None:
    """A server that takes us and drops us at once is dialled less and less often."""
    dials: list[float] = []
    loop = asyncio.get_running_loop()

    async def note(_: framerpc.Credentials) -> None:
        dials.append(loop.time())

    wait = tenacity.wait_exponential(multiplier=1, max=100)
    async with framerpc.Server(Work(), authenticate=note).listen("memory://work"):
        async with framerpc.connect("memory://work", reconnect=wait) as client:
            for lasted in (0.1, 0.1, 0.1, 6.0, 0.1):
                await client.ready()
                await asyncio.sleep(lasted)
                await client.drop_connections()
            await client.ready()
            pauses = [round(later - sooner) for sooner, later in itertools.pairwise(dials)]
            assert pauses == [1, 2, 4, 6, 1]
