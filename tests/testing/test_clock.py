"""The virtual clock."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from framerpc.testing import Deadlock, Unhandled, VirtualClockLoop, run, virtual_time


def now() -> float:
    """Return the loop's time."""
    return asyncio.get_running_loop().time()


@virtual_time
async def test_time_starts_at_zero() -> None:
    """The first thing that runs sees 0.0 s."""
    assert now() == 0.0


@virtual_time
async def test_an_hour_passes_at_once_and_exactly() -> None:
    """A sleep ends at the time that was asked for."""
    await asyncio.sleep(3600.0)
    assert now() == 3600.0


@virtual_time
async def test_a_timer_fires_at_its_own_time_whatever_the_rounding() -> None:
    """A timer for 0.3 s that is set at 0.1 s fires at 0.3 s, though 0.1 + (0.3 - 0.1) differs."""
    await asyncio.sleep(0.1)
    fired: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_at(0.3, lambda: fired.set_result(now()))
    assert await fired == 0.3


@virtual_time
async def test_time_stands_still_while_something_is_ready() -> None:
    """A thousand turns of the loop take no time, though a timer is set."""
    timer = asyncio.create_task(asyncio.sleep(1e-6))
    for _ in range(1000):
        await asyncio.sleep(0)
    assert (now(), timer.done()) == (0.0, False)


@virtual_time
async def test_timers_fire_in_the_order_of_their_times() -> None:
    """Whatever the order in which they were set."""
    order: list[float] = []
    for when in (3.0, 1.0, 2.0):
        asyncio.get_running_loop().call_at(when, order.append, when)
    await asyncio.sleep(4.0)
    assert order == [1.0, 2.0, 3.0]


@virtual_time
async def test_a_cancelled_timer_does_not_move_the_clock() -> None:
    """The clock jumps over it."""
    loop = asyncio.get_running_loop()
    loop.call_at(1.0, lambda: None).cancel()
    seen: asyncio.Future[float] = loop.create_future()
    loop.call_at(2.0, lambda: seen.set_result(now()))
    assert await seen == 2.0


@virtual_time
async def test_cancelled_timers_do_not_pile_up() -> None:
    """Of 10,000 timers that were set and cancelled, few are remembered."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualClockLoop)
    for _ in range(10_000):
        loop.call_later(3600, lambda: None).cancel()
    assert loop.statistics()["timers"] <= 102


def test_closed_loop_lets_go_of_its_timers() -> None:
    """What a timer keeps alive, cancelled or not, does not live as long as the loop does."""
    loop = VirtualClockLoop()
    loop.call_later(3600, lambda: None).cancel()
    loop.call_later(3600, lambda: None)
    loop.close()
    assert loop.statistics()["timers"] == 0


@virtual_time
async def test_a_timeout_ends_exactly_when_it_should() -> None:
    """`asyncio.timeout` runs on the virtual clock, too."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2.5):
            await asyncio.Event().wait()
    assert now() == 2.5


@virtual_time
async def test_ten_years_are_not_too_long() -> None:
    """Where a float is coarser than asyncio's clock resolution, timers still fire."""
    await asyncio.sleep(3e8)
    await asyncio.sleep(1.0)
    assert now() == pytest.approx(3e8 + 1.0, abs=1e-6)


@virtual_time
async def test_a_busy_thread_holds_the_clock() -> None:
    """A timeout cannot overtake a thread that is at work."""
    started = threading.Event()

    def work() -> str:
        started.wait(10)
        return "done"

    task = asyncio.create_task(asyncio.to_thread(work))
    await asyncio.sleep(0)
    threading.Timer(0.01, started.set).start()
    async with asyncio.timeout(0.001):
        assert await task == "done"
    assert now() == 0.0


@virtual_time(grace=0.01)
async def test_a_thread_that_hangs_holds_the_clock_only_for_the_grace() -> None:
    """A deadline passes although a thread never ends."""
    release = threading.Event()
    hanging = asyncio.get_running_loop().run_in_executor(None, release.wait, 10)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5.0):
            await asyncio.shield(hanging)
    assert now() == 5.0
    release.set()
    await hanging


@virtual_time
async def test_another_threads_call_is_waited_for() -> None:
    """With no timer set, `call_soon_threadsafe` from a thread of any kind wakes the loop."""
    loop = asyncio.get_running_loop()
    woken = asyncio.Event()
    threading.Timer(0.01, loop.call_soon_threadsafe, (woken.set,)).start()
    await woken.wait()
    assert now() == 0.0


def test_ending_waits_for_the_threads() -> None:
    """Threads that outlast the function are joined, in real time and beyond the grace."""
    ended = threading.Event()
    release = threading.Event()

    def work() -> None:
        release.wait(10)
        ended.set()

    async def main() -> None:
        asyncio.get_running_loop().run_in_executor(None, work)
        threading.Timer(0.05, release.set).start()

    run(main(), grace=0.001)
    assert ended.is_set()


@virtual_time
async def test_an_executor_of_ones_own_counts_as_well() -> None:
    """The clock stands still for any executor."""
    with ThreadPoolExecutor(1) as pool:
        result = await asyncio.get_running_loop().run_in_executor(pool, max, 1, 2)
    assert (result, now()) == (2, 0.0)


def test_a_deadlock_is_an_error_that_names_the_tasks() -> None:
    """If nothing can ever happen, the text says when, who waits and where."""

    async def waits_for_ever() -> None:
        await asyncio.sleep(1.5)
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match=r"at 1\.5 s of virtual time; 1 tasks.*\n.*waits_for_ever"):
        run(waits_for_ever(), grace=0.001)


def test_a_long_list_of_waiting_tasks_is_cut() -> None:
    """A Deadlock names eight tasks and counts the others."""
    error = Deadlock(tuple(f"task {number}" for number in range(10)), 0.0)
    assert str(error).endswith("task 7\n  and 2 more")


def test_the_result_comes_back() -> None:
    """`virtual_time` makes a plain function with the arguments and the result of the async one."""

    @virtual_time
    async def add(a: int, b: int = 1) -> int:
        await asyncio.sleep(1)
        return a + b

    assert (add(1), add(2, b=3)) == (2, 5)


def test_the_decorated_function_keeps_its_name() -> None:
    """Tracebacks and pytest see the function that was written."""

    @virtual_time(grace=1.0)
    async def some_name() -> None:
        """Do nothing."""

    assert (some_name.__name__, some_name.__doc__) == ("some_name", "Do nothing.")


def test_an_exception_comes_out() -> None:
    """What the function raises, the caller gets."""

    async def main() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        run(main())


def test_what_reaches_the_exception_handler_fails_the_run() -> None:
    """A callback that raises is not overlooked, although the function returns."""

    def fail() -> None:
        raise KeyError("lost")

    async def main() -> None:
        asyncio.get_running_loop().call_soon(fail)
        await asyncio.sleep(0)

    with pytest.raises(Unhandled, match=r"KeyError\('lost'\)"):
        run(main())


def test_a_failing_function_says_what_else_went_wrong() -> None:
    """What reached the exception handler is a note on the error that came out."""

    def fail() -> None:
        raise KeyError("lost")

    async def main() -> None:
        asyncio.get_running_loop().call_soon(fail)
        await asyncio.sleep(0)
        raise ValueError("main")

    with pytest.raises(ValueError, match="main") as caught:
        run(main())
    assert "KeyError('lost')" in caught.value.__notes__[0]


@virtual_time
async def test_real_sockets_work_on_a_virtual_clock() -> None:
    """A TCP connection on loopback carries bytes, and time does not pass."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(5))
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"hello")
    assert await reader.read() == b"hello"
    writer.close()
    await writer.wait_closed()
    server.close()
    assert now() == 0.0
