"""`def` methods in worker threads.

Where a test has to know that a thread is at a certain point, the thread says so by an event.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest

from framerpc.call import CallContext, current_call, current_context
from framerpc.errors import Cancelled, ConfigurationError, InvalidResult, ResourceExhausted
from framerpc.server import pool
from framerpc.server.pool import Job
from framerpc.server.thread_stream import ThreadStream
from framerpc.server.threads import ThreadWorkers, blocking_iterator

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

number: ContextVar[int] = ContextVar("number", default=0)


def call(name: str = "Files/read") -> CallContext:
    clock = asyncio.get_running_loop().time
    return CallContext(name, now=clock, arrived=clock())


async def happens(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 10), "the thread did not get there"


async def turns() -> None:
    """Let the loop do all that it can do without a thread."""
    for _ in range(10):
        await asyncio.sleep(0)


def framerpc_threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("framerpc-")]


class Gate:
    """A function for a thread that says when it is entered, and returns when it is told to."""

    def __init__(self, result: Any = "done") -> None:
        self.entered = threading.Event()
        self.released = threading.Event()
        self.result = result

    def __call__(self) -> Any:
        self.entered.set()
        assert self.released.wait(10)
        return self.result


class Workers:
    """`async with Workers(threads, waiting) as workers`: closed at the end, with no thread left."""

    def __init__(self, max_threads: int = 2, max_waiting: int = 4) -> None:
        self.workers = ThreadWorkers(max_threads, max_waiting)

    async def __aenter__(self) -> ThreadWorkers:
        return self.workers

    async def __aexit__(self, *_: object) -> None:
        await self.workers.close()
        assert framerpc_threads() == []


def encode(value: Any) -> bytes:
    return str(value).encode()


# ------------------------------------------------------------------------------------ calls


async def test_a_function_runs_in_another_thread() -> None:
    """It gets its arguments, and its result comes back."""

    def method(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs, threading.current_thread()

    async with Workers() as workers:
        result = await workers.run(call(), method, (1, 2), {"three": 3})
    args, kwargs, thread = result
    assert (args, kwargs) == ((1, 2), {"three": 3})
    assert thread is not threading.current_thread()


async def test_nothing_is_started_before_the_first_call() -> None:
    """Workers that are never used cost no thread, and can be closed."""
    async with Workers() as workers:
        assert framerpc_threads() == []
        assert repr(workers) == "<ThreadWorkers idle>"


async def test_the_call_is_known_in_the_thread() -> None:
    """`current_call()` returns the call that the thread works for."""
    context = call()
    async with Workers() as workers:
        token = current_context.set(context)
        try:
            assert await workers.run(context, current_call, (), {}) is context
        finally:
            current_context.reset(token)


async def test_what_a_function_sets_stays_in_its_call() -> None:
    """A thread sees the variables of its caller; what it sets, nobody else sees."""

    def method() -> int:
        before = number.get()
        number.set(before + 1)
        return before

    number.set(5)
    async with Workers(max_threads=1) as workers:
        assert [await workers.run(call(), method, (), {}) for _ in range(2)] == [5, 5]
    assert number.get() == 5


async def test_a_call_has_started_when_its_function_is_entered() -> None:
    """As long as it waits for a thread, `CallContext.started` is None."""
    gate, waiting = Gate(), call()
    async with Workers(max_threads=1) as workers:
        first = asyncio.create_task(workers.run(call(), gate, (), {}))
        await happens(gate.entered)
        second = asyncio.create_task(workers.run(waiting, lambda: waiting.started, (), {}))
        await asyncio.sleep(0)
        assert waiting.started is None
        gate.released.set()
        assert await second is not None
        await first


async def test_an_error_crosses_as_it_is() -> None:
    """The caller gets the very exception, with its traceback."""
    error = ValueError("x")

    def method() -> None:
        raise error

    async with Workers() as workers:
        with pytest.raises(ValueError, match="x") as caught:
            await workers.run(call(), method, (), {})
    assert caught.value is error
    assert "method" in [entry.name for entry in caught.traceback]


@pytest.mark.parametrize(
    "error",
    [
        SystemExit(1),
        KeyboardInterrupt(),
        StopIteration(1),
        StopAsyncIteration(),
        asyncio.CancelledError(),
        GeneratorExit(),
    ],
    ids=repr,
)
async def test_an_exception_with_a_meaning_of_its_own_loses_it(error: BaseException) -> None:
    """It ends neither the thread nor the loop, and passes for no cancellation."""

    def method() -> None:
        raise error

    async with Workers(max_threads=1) as workers:
        with pytest.raises(RuntimeError) as caught:
            await workers.run(call("Files/read"), method, (), {})
        assert caught.value.__cause__ is error
        assert "Files/read raised" in str(caught.value)
        name = await workers.run(call(), lambda: threading.current_thread().name, (), {})
    assert name == "framerpc-thread-1"


async def test_no_more_run_at_once_than_there_are_threads() -> None:
    """The third call of two threads waits, and then runs."""
    gates = [Gate(index) for index in range(3)]
    async with Workers(max_threads=2) as workers:
        tasks = [asyncio.create_task(workers.run(call(), gate, (), {})) for gate in gates]
        await happens(gates[0].entered)
        await happens(gates[1].entered)
        assert not gates[2].entered.is_set()
        gates[0].released.set()
        await happens(gates[2].entered)
        for gate in gates:
            gate.released.set()
        assert await asyncio.gather(*tasks) == [0, 1, 2]


async def test_a_call_too_many_is_refused_at_once() -> None:
    """The text names the limit; the call did not start."""
    gate = Gate()
    async with Workers(max_threads=1, max_waiting=1) as workers:
        tasks = [asyncio.create_task(workers.run(call(), gate, (), {})) for _ in range(2)]
        await happens(gate.entered)
        context = call()
        with pytest.raises(ResourceExhausted, match=r"Limits\.max_waiting_threads") as caught:
            await workers.run(context, gate, (), {})
        assert (caught.value.executed, context.started) == ("no", None)
        gate.released.set()
        await asyncio.gather(*tasks)
        assert await workers.run(call(), gate, (), {}) == "done"


# ------------------------------------------------------------------------------- cancelling


async def test_a_call_that_waits_for_a_thread_is_dropped() -> None:
    """Cancelled, it never runs, and its place is free at once."""
    gate, dropped = Gate(), Gate()
    async with Workers(max_threads=1, max_waiting=1) as workers:
        first = asyncio.create_task(workers.run(call(), gate, (), {}))
        await happens(gate.entered)
        context = call()
        second = asyncio.create_task(workers.run(context, dropped, (), {}))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        third = asyncio.create_task(workers.run(call(), lambda: "third", (), {}))
        await asyncio.sleep(0)
        gate.released.set()
        assert (await first, await third) == ("done", "third")
    assert (dropped.entered.is_set(), context.started) == (False, None)


async def test_a_call_that_runs_ends_as_its_function_ends() -> None:
    """Cancelling it changes nothing: nobody is told that it stopped while it goes on."""
    gate = Gate()
    async with Workers() as workers:
        task = asyncio.create_task(workers.run(call(), gate, (), {}))
        await happens(gate.entered)
        for _ in range(3):
            task.cancel()
            await turns()
        assert not task.done()
        gate.released.set()
        assert await task == "done"


async def test_an_error_after_a_cancellation_counts() -> None:
    """A function that fails after its call was cancelled has failed."""
    gate = Gate()

    def method() -> None:
        gate()
        raise ValueError("late")

    async with Workers() as workers:
        task = asyncio.create_task(workers.run(call(), method, (), {}))
        await happens(gate.entered)
        task.cancel()
        await turns()
        gate.released.set()
        with pytest.raises(ValueError, match="late"):
            await task


# ---------------------------------------------------------------------------------- closing


async def test_closing_ends_the_threads() -> None:
    """After `close` none is left; it is idempotent, and what comes later starts new ones."""
    workers = ThreadWorkers(2, 2)
    for _ in range(2):
        await workers.run(call(), int, (), {})
        assert framerpc_threads() == ["framerpc-thread-1"]
        await workers.close()
        assert framerpc_threads() == []
        await workers.close()


async def test_closing_waits_for_what_runs_and_drops_what_waits() -> None:
    """The call that runs gives its result; the one that waits for a thread is cancelled."""
    gate, dropped = Gate(), Gate()
    workers = ThreadWorkers(1, 1)
    first = asyncio.create_task(workers.run(call(), gate, (), {}))
    await happens(gate.entered)
    second = asyncio.create_task(workers.run(call(), dropped, (), {}))
    await asyncio.sleep(0)
    closing = asyncio.create_task(workers.close())
    with pytest.raises(asyncio.CancelledError):
        await second
    gate.released.set()
    assert await first == "done"
    await closing
    assert (dropped.entered.is_set(), framerpc_threads()) == (False, [])


async def test_closing_does_not_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A function that does not end is left behind, with a warning that names its method."""
    monkeypatch.setattr(pool, "_CLOSE_GRACE", 0.01)
    gate = Gate()
    workers = ThreadWorkers(1, 1)
    task = asyncio.create_task(workers.run(call("Files/read"), gate, (), {}))
    await happens(gate.entered)
    with caplog.at_level(logging.WARNING, "framerpc.server"):
        await workers.close()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "Files/read does not end" in caplog.text
    (thread,) = (each for each in threading.enumerate() if each.name == "framerpc-thread-1")
    assert thread.daemon
    gate.released.set()
    thread.join(10)


async def test_a_result_is_not_kept() -> None:
    """An idle thread holds neither the arguments nor the result of its last call."""

    class Large:
        pass

    async with Workers() as workers:
        await workers.run(call(), list[Any], ([Large()],), {})
        await workers.run(call(), int, (), {})
        gc.collect()
        assert not [each for each in gc.get_objects() if type(each) is Large]


# ------------------------------------------------------------------------------- generators


async def test_the_items_of_a_generator_arrive_in_order() -> None:
    """A generator may yield many more items than it may be ahead."""

    def method(count: int) -> Iterator[int]:
        yield from range(count)

    async with Workers() as workers:
        stream = workers.stream(call(), method, (1000,), {}, encode)
        assert [int(item) async for item in stream] == list(range(1000))


async def test_any_iterator_will_do() -> None:
    """A `def` that returns an iterator without `close` streams as well."""
    async with Workers() as workers:
        stream = workers.stream(call(), lambda: iter([1, 2]), (), {}, encode)
        assert [item async for item in stream] == [b"1", b"2"]
        await stream.aclose()


async def test_an_item_can_be_seen_as_soon_as_it_is_yielded() -> None:
    """No batch has to be full: the first item is there while the generator works on the next."""
    gate = Gate()

    def method() -> Iterator[str]:
        yield "first"
        yield gate()

    async with Workers() as workers:
        stream = workers.stream(call(), method, (), {}, encode)
        assert await anext(stream) == b"first"
        await happens(gate.entered)
        gate.released.set()
        assert [item async for item in stream] == [b"done"]


async def test_a_generator_is_entered_when_the_first_item_is_asked_for() -> None:
    """Before that nothing runs; closing an untouched stream runs nothing either."""
    entered: list[int] = []

    def method() -> Iterator[int]:
        entered.append(1)
        yield 1

    async with Workers() as workers:
        context = call()
        untouched = workers.stream(call(), method, (), {}, encode)
        await untouched.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(untouched)
        stream = workers.stream(context, method, (), {}, encode)
        assert (entered, context.started) == ([], None)
        await anext(stream)
        assert context.started is not None
        await stream.aclose()
    assert entered == [1]


@pytest.mark.parametrize(("size", "most"), [(1, 64), (1 << 18, 4), (3 << 20, 1)])
async def test_a_generator_is_ahead_by_a_bound(size: int, most: int) -> None:
    """It waits when 64 items or 1 MiB have not been taken."""
    yielded = 0
    gate = Gate()

    def method() -> Iterator[bytes]:
        nonlocal yielded
        while True:
            if yielded == most:
                gate.entered.set()
            yielded += 1
            yield bytes(size)

    async with Workers() as workers:
        stream = workers.stream(call(), method, (), {}, bytes)
        await anext(stream)
        await happens(gate.entered)
        assert yielded <= most + 2
        await stream.aclose()


async def test_a_consumer_that_does_not_wait_is_not_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty items cost the loop one wake-up: the one for the item that was waited for."""
    wake_ups = 0
    gate, all_there = Gate(), threading.Event()
    notify = Job.notify

    def count(job: Job) -> None:
        nonlocal wake_ups
        wake_ups += 1
        notify(job)

    def method() -> Iterator[Any]:
        gate()
        yield from range(50)
        all_there.set()

    monkeypatch.setattr(Job, "notify", count)
    async with Workers() as workers:
        stream = workers.stream(call(), method, (), {}, encode)
        first = asyncio.ensure_future(anext(stream))
        await happens(gate.entered)
        gate.released.set()
        assert all_there.wait(10)  # the loop sleeps as well
        await first
        assert len([item async for item in stream]) == 49
    assert wake_ups == 1


async def test_an_error_comes_after_the_items_before_it() -> None:
    """Nothing that was yielded is lost, and the stream has ended."""

    def method() -> Iterator[int]:
        yield 1
        raise ValueError("x")

    async with Workers() as workers:
        stream = workers.stream(call(), method, (), {}, encode)
        assert await anext(stream) == b"1"
        with pytest.raises(ValueError, match="x"):
            await anext(stream)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        await stream.aclose()


async def test_an_item_that_cannot_be_encoded_ends_the_generator() -> None:
    """Its `finally` runs, and the error is that of the encoder."""
    ended = threading.Event()

    def method() -> Iterator[int]:
        try:
            yield 1
        finally:
            ended.set()

    def refuse(_: Any) -> bytes:
        raise InvalidResult("not that")

    async with Workers() as workers:
        with pytest.raises(InvalidResult, match="not that"):
            await anext(workers.stream(call(), method, (), {}, refuse))
    assert ended.is_set()


async def test_items_are_made_encoded_and_closed_in_one_thread() -> None:
    """The generator, the encoder and the `finally` see the same thread, which is a worker."""
    threads: list[threading.Thread] = []

    def method() -> Iterator[int]:
        try:
            while True:
                threads.append(threading.current_thread())
                yield 1
        finally:
            threads.append(threading.current_thread())

    def note(_: Any) -> bytes:
        threads.append(threading.current_thread())
        return b"1"

    async with Workers() as workers:
        stream = workers.stream(call(), method, (), {}, note)
        await anext(stream)
        await stream.aclose()
    assert len(set(threads)) == 1
    assert threading.current_thread() not in threads


def endless(ended: threading.Event) -> Callable[[], Iterator[int]]:
    """A method that yields for ever, and says when it was closed."""

    def method() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            ended.set()

    return method


async def test_closing_early_closes_the_generator() -> None:
    """Its `finally` has run when `aclose` returns, and no further item comes."""
    ended = threading.Event()
    method = endless(ended)

    async with Workers() as workers:
        stream = workers.stream(call(), method, (), {}, encode)
        await anext(stream)
        await stream.aclose()
        assert ended.is_set()
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        await stream.aclose()


async def test_closing_waits_for_a_busy_generator() -> None:
    """A generator can be closed between two items only; cancelling does not end the waiting."""
    gate = Gate()

    def method() -> Iterator[Any]:
        yield 1
        yield gate()

    async with Workers() as workers:
        stream = workers.stream(call(), method, (), {}, encode)
        await anext(stream)
        await happens(gate.entered)
        closing = asyncio.create_task(stream.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        await turns()
        assert not closing.done()
        gate.released.set()
        await closing


async def test_cancelling_a_wait_for_an_item_loses_none() -> None:
    """The item comes with the next `anext`."""
    gate = Gate()

    async with Workers() as workers:
        stream = workers.stream(call(), lambda: (gate() for _ in range(1)), (), {}, encode)
        waiting = asyncio.ensure_future(anext(stream))
        await happens(gate.entered)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gate.released.set()
        assert [item async for item in stream] == [b"done"]


async def test_a_stream_too_many_is_refused() -> None:
    """A generator occupies a thread; without a place in the queue its first item is refused."""
    gate = Gate()
    async with Workers(max_threads=1, max_waiting=0) as workers:
        task = asyncio.create_task(workers.run(call(), gate, (), {}))
        await happens(gate.entered)
        stream = workers.stream(call(), lambda: iter([1]), (), {}, encode)
        with pytest.raises(ResourceExhausted, match=r"Limits\.max_waiting_threads"):
            await anext(stream)
        await stream.aclose()
        gate.released.set()
        await task


async def test_a_stream_that_waits_for_a_thread_can_be_closed() -> None:
    """It never runs."""
    gate, entered = Gate(), threading.Event()

    def method() -> Iterator[int]:
        entered.set()
        yield 1

    async with Workers(max_threads=1) as workers:
        task = asyncio.create_task(workers.run(call(), gate, (), {}))
        await happens(gate.entered)
        stream = workers.stream(call(), method, (), {}, encode)
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        await stream.aclose()
        gate.released.set()
        await task
    assert not entered.is_set()


async def test_closing_the_workers_ends_their_streams() -> None:
    """The generator is closed; who still iterates is cancelled."""
    ended = threading.Event()
    method = endless(ended)

    workers = ThreadWorkers(1, 1)
    stream = workers.stream(call(), method, (), {}, encode)
    await anext(stream)
    await workers.close()
    assert (ended.is_set(), framerpc_threads()) == (True, [])
    with pytest.raises(asyncio.CancelledError):
        async for _ in stream:
            pass


async def test_the_call_is_known_in_a_generator() -> None:
    """`current_call()` works from its first line to its `finally`."""
    seen: list[CallContext] = []

    def method() -> Iterator[int]:
        try:
            seen.append(current_call())
            yield 1
        finally:
            seen.append(current_call())

    context = call()
    async with Workers() as workers:
        token = current_context.set(context)
        stream: ThreadStream = workers.stream(context, method, (), {}, encode)
        current_context.reset(token)
        await anext(stream)
        await stream.aclose()
    assert seen == [context, context]


# ---------------------------------------------------------------------------------- uploads


async def upload(*items: Any, then: BaseException | None = None) -> AsyncGenerator[Any, None]:
    for item in items:
        await asyncio.sleep(0)
        yield item
    if then is not None:
        raise then


class Endless:
    """An upload whose next item never comes."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.cancelled = False

    def __aiter__(self) -> Endless:
        return self

    async def __anext__(self) -> Any:
        self.asked.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.cancelled = True
            raise


def blocking(items: Any) -> Iterator[Any]:
    return blocking_iterator(items, asyncio.get_running_loop())


async def test_a_thread_can_iterate_over_an_upload() -> None:
    """It gets the items in order, and its iterator stays at its end."""

    def method(items: Iterator[int]) -> tuple[list[int], list[int]]:
        return list(items), list(items)

    async with Workers() as workers:
        items = blocking(upload(1, 2, 3))
        assert await workers.run(call(), method, (items,), {}) == ([1, 2, 3], [])


async def test_an_error_of_the_upload_is_raised_in_the_thread() -> None:
    """The method may handle it."""

    def method(items: Iterator[int]) -> str:
        try:
            return str(list(items))
        except ValueError as exc:
            return f"failed: {exc}"

    async with Workers() as workers:
        items = blocking(upload(1, then=ValueError("x")))
        assert await workers.run(call(), method, (), {"items": items}) == "failed: x"


async def test_cancelling_ends_the_wait_for_an_item() -> None:
    """The method gets `Cancelled`; if it lets it out, its call was cancelled."""
    source, seen = Endless(), threading.Event()

    def method(items: Iterator[int]) -> None:
        try:
            next(items)
        except Cancelled:
            seen.set()
            raise

    async with Workers() as workers:
        task = asyncio.create_task(workers.run(call(), method, (blocking(source),), {}))
        await happens(source.asked)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (seen.is_set(), source.cancelled) == (True, True)


async def test_cancelling_is_noticed_at_the_next_item() -> None:
    """A method that is busy when it is cancelled learns of it when it asks for an item."""
    gate = Gate()

    def method(items: Iterator[int]) -> list[int]:
        first = next(items)
        gate()
        try:
            next(items)
        except Cancelled:
            return [first]
        return []

    source = upload(1, 2)
    async with Workers() as workers:
        task = asyncio.create_task(workers.run(call(), method, (blocking(source),), {}))
        await happens(gate.entered)
        task.cancel()
        await turns()
        gate.released.set()
        assert await task == [1]
    await source.aclose()


async def test_a_generator_may_answer_an_upload() -> None:
    """One item in, one item out, in one thread."""

    def method(items: Iterator[int]) -> Iterator[int]:
        for item in items:
            yield item * 10

    async with Workers() as workers:
        stream = workers.stream(call(), method, (blocking(upload(1, 2)),), {}, encode)
        assert [item async for item in stream] == [b"10", b"20"]


async def test_closing_a_generator_that_waits_for_an_upload() -> None:
    """It gets `Cancelled` at its `next`, and its `finally` runs."""
    source, ended = Endless(), threading.Event()

    def method(items: Iterator[int]) -> Iterator[int]:
        try:
            yield 1
            yield from items
        finally:
            ended.set()

    async with Workers() as workers:
        stream = workers.stream(call(), method, (blocking(source),), {}, encode)
        await anext(stream)
        await happens(source.asked)
        await stream.aclose()
    assert (ended.is_set(), source.cancelled) == (True, True)


async def test_an_upload_cannot_be_iterated_over_on_the_loop() -> None:
    """It would wait for itself; the error says what to do."""
    with pytest.raises(ConfigurationError, match="use it in a thread"):
        next(blocking(upload(1)))


def test_an_upload_of_a_loop_that_is_closed_is_cancelled(
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """A thread that outlives its server gets `Cancelled`."""

    async def main() -> Iterator[Any]:
        return blocking(Endless())

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        items = runner.run(main())
    with pytest.raises(Cancelled):
        next(items)
