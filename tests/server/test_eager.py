"""Starting a coroutine at once.

Each test that takes `launch` runs with every way to start a coroutine, asyncio's own plain task
among them: where that one agrees, the eager ones behave as tasks do.
"""

from __future__ import annotations

import asyncio
import gc
import io
import sys
import types
import weakref
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from framerpc.server import eager, eager_task

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator

    Launch: TypeAlias = Callable[[Coroutine[Any, Any, Any]], Awaitable[Any]]
    Start: TypeAlias = Callable[..., Any]

number: ContextVar[int] = ContextVar("number", default=0)


async def plain(coro: Coroutine[Any, Any, Any]) -> Any:
    """Start `coro` as asyncio always did, and return once it has taken its first step."""
    task = asyncio.create_task(coro, name="job")
    await asyncio.sleep(0)
    return task.result() if task.done() else task


def inside(start: Start) -> Launch:
    """Start it from a task."""

    async def launch(coro: Coroutine[Any, Any, Any]) -> Any:
        loop = asyncio.get_running_loop()
        return start(coro, loop=loop, context=copy_context(), name="job")

    return launch


def from_callback(start: Start) -> Launch:
    """Start it from a callback, where no task is current, as a connection does."""

    async def launch(coro: Coroutine[Any, Any, Any]) -> Any:
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Any] = loop.create_future()

        def callback() -> None:
            try:
                outcome.set_result(start(coro, loop=loop, context=copy_context(), name="job"))
            except BaseException as exc:  # noqa: BLE001 - passed on
                outcome.set_exception(exc)

        loop.call_soon(callback)
        return await outcome

    return launch


EAGER: dict[str, Launch] = {
    "eager, in a task": inside(eager.start),
    "eager, in a callback": from_callback(eager.start),
    "EagerTask, in a task": inside(eager_task.start),
    "EagerTask, in a callback": from_callback(eager_task.start),
}


@pytest.fixture(params=[*EAGER, "asyncio.Task"])
def launch(request: pytest.FixtureRequest) -> Launch:
    """Start a coroutine; return its result if it ended, its task if it waits."""
    return EAGER.get(request.param, plain)


@pytest.fixture(params=list(EAGER))
def launch_eagerly(request: pytest.FixtureRequest) -> Launch:
    """Do the same, eager ways only."""
    return EAGER[request.param]


@pytest.fixture(params=[eager.start, eager_task.start], ids=["eager", "EagerTask"])
def start(request: pytest.FixtureRequest) -> Start:
    """Call the function itself."""
    function: Start = request.param
    return function


@types.coroutine
def give(value: Any) -> Generator[Any, None, None]:
    """Hand `value` to whoever steps the coroutine."""
    yield value


async def wait_for(future: asyncio.Future[Any]) -> Any:
    return await future


def gate() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


def complaints() -> list[dict[str, Any]]:
    """Return the list of what reaches the loop's exception handler from now on."""
    found: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: found.append(context))
    return found


class OwnError(BaseException):
    """Not an Exception."""


# ------------------------------------------------------------------------ the first step


async def test_a_coroutine_that_does_not_wait_costs_no_turn_of_the_loop(start: Start) -> None:
    """Its result is there when `start` returns."""

    async def work() -> int:
        return 42

    loop = asyncio.get_running_loop()
    assert start(work(), loop=loop, context=copy_context()) == 42


@pytest.mark.parametrize(
    "error", [ValueError("x"), OwnError("x"), SystemExit(3), asyncio.CancelledError("x")], ids=repr
)
async def test_what_the_first_step_raises_is_raised(
    launch_eagerly: Launch, error: BaseException
) -> None:
    """It comes out as it is, whatever it is."""
    complaints()  # asyncio reports SystemExit besides

    async def work() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        await launch_eagerly(work())
    assert caught.value.args == error.args
    assert caught.value.__context__ is None


async def test_an_interrupt_in_the_first_step_is_raised(start: Start) -> None:
    """Ctrl+C while the coroutine runs reaches who started it."""
    complaints()  # as above

    async def work() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start(work(), loop=asyncio.get_running_loop(), context=copy_context())
    assert asyncio.current_task() is not None


async def test_the_current_task_is_the_task_that_it_becomes(launch: Launch) -> None:
    """Before and after the wait, `current_task()` is what `start` returned."""
    seen: list[Any] = []
    release = gate()

    async def work() -> None:
        seen.append(asyncio.current_task())
        await release
        seen.append(asyncio.current_task())

    task = await launch(work())
    release.set_result(None)
    await task
    assert seen == [task, task]


async def test_a_start_inside_a_first_step_has_a_task_of_its_own(start: Start) -> None:
    """Three levels deep there are three current tasks, and each is back when its turn is."""
    loop = asyncio.get_running_loop()
    seen: list[Any] = []

    async def work(levels: int) -> None:
        before = asyncio.current_task()
        seen.append(before)
        if levels:
            start(work(levels - 1), loop=loop, context=copy_context())
        assert asyncio.current_task() is before

    outer = asyncio.current_task()
    start(work(2), loop=loop, context=copy_context())
    assert len({outer, *seen}) == 4
    assert asyncio.current_task() is outer


async def test_the_current_task_is_back_after_an_error(start: Start) -> None:
    """A first step that raises leaves the outer task current."""

    async def work() -> None:
        raise OwnError

    outer = asyncio.current_task()
    with pytest.raises(OwnError):
        start(work(), loop=asyncio.get_running_loop(), context=copy_context())
    assert asyncio.current_task() is outer


async def test_no_task_is_current_after_a_start_in_a_callback(start: Start) -> None:
    """A callback that started a coroutine has no task afterwards, as before."""
    loop = asyncio.get_running_loop()
    release, seen = gate(), gate()

    def callback() -> None:
        task = start(wait_for(release), loop=loop, context=copy_context())
        seen.set_result((task, asyncio.current_task()))

    loop.call_soon(callback)
    task, current = await seen
    release.set_result(None)
    await task
    assert current is None


async def test_an_error_of_the_first_step_is_not_reported_again(launch_eagerly: Launch) -> None:
    """It was raised, so nobody says that it was never retrieved."""
    found = complaints()

    async def work() -> None:
        raise OwnError

    with pytest.raises(OwnError):
        await launch_eagerly(work())
    gc.collect()
    assert found == []


async def test_a_task_that_did_not_wait_is_freed_at_once(start: Start) -> None:
    """No garbage collection is needed, neither after a result nor after an error."""
    seen: list[weakref.ref[Any]] = []

    async def work(*, fail: bool) -> None:
        seen.append(weakref.ref(asyncio.current_task()))
        if fail:
            raise OwnError

    loop = asyncio.get_running_loop()
    gc.disable()
    try:
        start(work(fail=False), loop=loop, context=copy_context())
        with pytest.raises(OwnError):
            start(work(fail=True), loop=loop, context=copy_context())
        assert [each() for each in seen] == [None, None]
    finally:
        gc.enable()


async def test_cancelled_from_inside_without_a_wait(launch_eagerly: Launch) -> None:
    """A coroutine that cancels its task and returns was cancelled."""

    async def work() -> int:
        task = asyncio.current_task()
        assert task is not None
        assert task.cancel("enough")
        return 42

    with pytest.raises(asyncio.CancelledError, match="enough"):
        await launch_eagerly(work())


async def test_cancelled_from_inside_before_the_first_wait(launch: Launch) -> None:
    """A coroutine that cancels its task gets the cancellation where it waits first."""
    release = gate()

    async def work() -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel("enough")
        try:
            await release
        except asyncio.CancelledError as exc:
            return f"cancelled: {exc}"
        return "not cancelled"

    assert await (await launch(work())) == "cancelled: enough"
    assert release.cancelled()


async def test_who_awaits_a_task_that_ends_in_its_first_step_gets_the_result(
    launch_eagerly: Launch,
) -> None:
    """A first step may give its task away; it ends like any other."""
    held: list[asyncio.Task[Any]] = []

    async def work() -> int:
        task = asyncio.current_task()
        assert task is not None
        held.append(task)
        return 42

    await launch_eagerly(work())
    assert await held[0] == 42


# --------------------------------------------------------------------------- the contexts


async def test_what_a_call_sets_stays_in_its_context(launch: Launch) -> None:
    """A variable set in the first step is there after the wait, and nowhere else."""
    release = gate()

    async def work(value: int) -> int:
        number.set(value)
        await release
        return number.get()

    tasks = [await launch(work(1)), await launch(work(2))]
    release.set_result(None)
    assert [await task for task in tasks] == [1, 2]
    assert number.get() == 0


# ------------------------------------------------------------------------ waiting and ending


async def test_a_coroutine_that_waits_is_a_task(launch: Launch) -> None:
    """It is listed among the tasks, has a name and its coroutine, and can be awaited."""
    release = gate()
    coro = wait_for(release)
    task = await launch(coro)
    assert task in asyncio.all_tasks()
    assert (task.get_name(), task.get_coro(), task.done()) == ("job", coro, False)
    release.set_result(42)
    assert await task == 42
    assert task not in asyncio.all_tasks()


async def test_a_bare_yield_lets_others_run(launch: Launch) -> None:
    """`asyncio.sleep(0)` takes one turn of the loop each time."""
    order: list[str] = []

    async def work(name: str) -> None:
        for _ in range(3):
            order.append(name)
            await asyncio.sleep(0)

    first, second = await launch(work("a")), await launch(work("b"))
    await asyncio.gather(first, second)
    assert sorted(order) == ["a", "a", "a", "b", "b", "b"]


@pytest.mark.parametrize("error", [ValueError("x"), OwnError("x")], ids=repr)
async def test_an_error_after_a_wait_is_raised_by_the_await(
    launch: Launch, error: BaseException
) -> None:
    """The very exception comes out of the task."""
    release = gate()

    async def work() -> None:
        await release
        raise error

    task = await launch(work())
    release.set_result(None)
    with pytest.raises(type(error)) as caught:
        await task
    assert caught.value is error
    assert task.exception() is error


async def test_an_error_of_what_is_awaited_is_thrown_in(launch: Launch) -> None:
    """A future that fails raises inside the coroutine, which may handle it."""
    release = gate()

    async def work() -> str:
        try:
            await release
        except ValueError as exc:
            return str(exc)
        return ""

    task = await launch(work())
    release.set_exception(ValueError("failed"))
    assert await task == "failed"


async def test_an_error_that_nobody_retrieves_is_reported(launch: Launch) -> None:
    """The loop's exception handler gets it when the task goes."""
    found = complaints()
    release = gate()

    async def work() -> None:
        await release
        raise ValueError("unseen")

    task = await launch(work())
    release.set_result(None)
    await asyncio.wait([task])
    del task
    gc.collect()
    assert [str(each["exception"]) for each in found] == ["unseen"]
    assert "never retrieved" in found[0]["message"]


async def test_a_waiting_task_that_is_lost_is_reported(launch: Launch) -> None:
    """A task that waits for what nobody holds goes, and the exception handler is told."""
    found = complaints()

    async def work() -> None:
        await gate()

    await launch(work())
    await asyncio.sleep(0)  # the callback that started it is over
    gc.collect()
    assert [each["message"] for each in found] == ["Task was destroyed but it is pending!"]


async def test_an_ended_task_is_freed_at_once(launch: Launch) -> None:
    """No garbage collection is needed after a result, an error or a cancellation."""
    release = gate()

    async def work(ending: str) -> None:
        await release
        if ending == "error":
            raise ValueError
        if ending == "cancel":
            raise asyncio.CancelledError

    tasks = [await launch(work(ending)) for ending in ("result", "error", "cancel")]
    seen = [weakref.ref(task) for task in tasks]
    release.set_result(None)
    await asyncio.wait(tasks)
    gc.disable()
    try:
        assert [task.cancelled() or task.exception() is not None for task in tasks] == [
            False,
            True,
            True,
        ]
        del tasks
        await asyncio.sleep(0)
        assert [each() for each in seen] == [None, None, None]
    finally:
        gc.enable()


async def test_callbacks_of_a_task_are_called(launch: Launch) -> None:
    """`add_done_callback` works as with any future."""
    release, called = gate(), gate()
    task = await launch(wait_for(release))
    task.add_done_callback(called.set_result)
    release.set_result(None)
    assert await called is task


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("way", [*EAGER, "asyncio.Task"])
def test_an_exit_after_a_wait_stops_the_loop(
    way: str, error: type[BaseException], loop_factory: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """SystemExit and KeyboardInterrupt end the task and come out of the loop."""
    tasks: list[Any] = []

    async def work(release: asyncio.Future[Any]) -> None:
        await release
        raise error

    async def main() -> None:
        release = gate()
        tasks.append(await EAGER.get(way, plain)(work(release)))
        release.set_result(None)
        await gate()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        with pytest.raises(error):
            runner.run(main())
        assert isinstance(tasks[0].exception(), error)


# ---------------------------------------------------------------------------- cancelling


async def test_cancelling_cancels_what_is_awaited(launch: Launch) -> None:
    """The future that the task waits for is cancelled, with the message."""
    release = gate()
    task = await launch(wait_for(release))
    assert task.cancel("enough")
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await task
    assert (task.cancelled(), task.cancelling(), release.cancelled()) == (True, 1, True)


async def test_cancelling_between_two_steps(launch: Launch) -> None:
    """A task that is about to go on gets the cancellation at that point."""
    release = gate()

    async def work() -> str:
        try:
            await release
        except asyncio.CancelledError as exc:
            return f"cancelled: {exc}"
        return "not cancelled"

    task = await launch(work())
    release.set_result(None)
    task.cancel("enough")
    assert await task == "cancelled: enough"


async def test_cancelling_after_a_bare_yield(launch: Launch) -> None:
    """A task in `asyncio.sleep(0)` is cancelled there."""

    async def work() -> None:
        for _ in range(100):
            await asyncio.sleep(0)

    task = await launch(work())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelling_in_the_last_step(launch: Launch) -> None:
    """A task that is cancelled while it returns was cancelled."""
    release = gate()

    async def work() -> int:
        await release
        task = asyncio.current_task()
        assert task is not None
        task.cancel("enough")
        return 42

    task = await launch(work())
    release.set_result(None)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_swallowed_cancellation(launch: Launch) -> None:
    """A coroutine may refuse to be cancelled, and count the request back."""
    release = gate()

    async def work() -> int:
        try:
            await release
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            return task.cancelling() * 10 + task.uncancel()
        return -1

    task = await launch(work())
    task.cancel()
    assert await task == 10
    assert (task.cancelled(), task.cancelling(), task.uncancel()) == (False, 0, 0)


async def test_a_coroutine_that_goes_on_waiting_is_cancelled_again(launch: Launch) -> None:
    """Each `cancel` counts, and each reaches the coroutine."""
    seen: list[int] = []

    async def work() -> None:
        for _ in range(2):
            try:
                await gate()
            except asyncio.CancelledError:
                seen.append(len(seen))

    task = await launch(work())
    task.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await task
    assert (seen, task.cancelling()) == ([0, 1], 2)


async def test_cancelling_what_has_ended_does_nothing(launch: Launch) -> None:
    """`cancel` says so."""
    task = await launch(asyncio.sleep(0))
    await task
    assert (task.cancel(), task.cancelled()) == (False, False)


async def test_cancelling_goes_through_a_task_that_is_awaited(launch: Launch) -> None:
    """Cancelling the outer task cancels the inner one, whose handling of it counts."""
    inner_seen: list[str] = []

    async def inner() -> str:
        try:
            await gate()
        except asyncio.CancelledError as exc:
            inner_seen.append(str(exc))
            return "refused"
        return ""

    inner_task = await launch(inner())
    outer = await launch(wait_for(inner_task))
    outer.cancel("enough")
    assert await outer == "refused"
    assert inner_seen == ["enough"]


# ------------------------------------------------------------ what asyncio builds on tasks


async def test_a_timeout_that_began_in_the_first_step(launch: Launch) -> None:
    """`asyncio.timeout()` ends the wait, and the task lives on."""

    async def work() -> str:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await gate()
        await asyncio.sleep(0)
        return "alive"

    task = await launch(work())
    assert await task == "alive"
    assert task.cancelling() == 0


async def test_a_timeout_is_not_mistaken_for_a_cancellation_from_outside(launch: Launch) -> None:
    """Cancelling a task inside `asyncio.timeout()` cancels it; it is no TimeoutError."""

    async def work() -> None:
        async with asyncio.timeout(3600):
            await gate()

    task = await launch(work())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_task_group_that_was_entered_in_the_first_step(launch: Launch) -> None:
    """A child that fails cancels its siblings and the body; the error comes out in a group."""
    siblings: list[asyncio.Task[Any]] = []

    async def fail() -> None:
        raise ValueError

    async def work() -> str:
        try:
            async with asyncio.TaskGroup() as group:
                siblings.append(group.create_task(wait_for(gate())))
                group.create_task(fail())
                await gate()
        except* ValueError:
            pass
        await asyncio.sleep(0)
        return "alive"

    assert await (await launch(work())) == "alive"
    assert siblings[0].cancelled()


async def test_cancelling_a_task_group_cancels_its_children(launch: Launch) -> None:
    """The children are cancelled and awaited before the task ends."""
    children: list[asyncio.Task[Any]] = []

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            children.append(group.create_task(wait_for(gate())))

    task = await launch(work())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert children[0].cancelled()


async def test_wait_for_inside(launch: Launch) -> None:
    """`asyncio.wait_for` works in the first step."""

    async def work() -> str:
        try:
            await asyncio.wait_for(gate(), 1e-6)
        except TimeoutError:
            return "too late"
        return ""

    assert await (await launch(work())) == "too late"


async def test_wait_for_outside(launch: Launch) -> None:
    """`asyncio.wait_for` cancels a started task when the time is over."""
    task = await launch(wait_for(gate()))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(task, 1e-6)
    assert task.cancelled()


async def test_shield(launch: Launch) -> None:
    """A task behind `asyncio.shield` outlives who waits for it."""
    release = gate()
    task = await launch(wait_for(release))
    waiter = await launch(wait_for(asyncio.shield(task)))
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    release.set_result(42)
    assert await task == 42


async def test_gather_and_wait(launch: Launch) -> None:
    """Both take what `start` returns."""
    release = gate()
    tasks = [await launch(wait_for(release)) for _ in range(3)]
    release.set_result(42)
    assert await asyncio.gather(*tasks) == [42, 42, 42]
    done, pending = await asyncio.wait(tasks)
    assert (len(done), len(pending)) == (3, 0)


# --------------------------------------------------------------------------- wrong yields


async def failure(launch: Launch, coro: Coroutine[Any, Any, Any]) -> str:
    """Return the text of the RuntimeError that the coroutine ends with."""
    task = await launch(coro)
    await asyncio.wait([task])  # not `await task`: one that awaits itself passes for awaited
    with pytest.raises(RuntimeError) as caught:
        task.result()
    return str(caught.value)


async def test_a_task_cannot_await_itself(launch: Launch) -> None:
    """It gets a RuntimeError instead of waiting for ever."""

    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None
        await task

    assert "cannot await on itself" in await failure(launch, work())


async def test_an_object_that_is_no_future_is_refused(launch: Launch) -> None:
    """A coroutine of another library gets a RuntimeError."""

    async def work() -> None:
        await give("a string")

    assert "got bad yield: 'a string'" in await failure(launch, work())


async def test_a_future_that_is_not_awaited_is_refused(launch: Launch) -> None:
    """A future that is yielded, not awaited, is a mistake."""
    future = gate()

    async def work() -> None:
        await give(future)

    assert "yield was used instead of yield from" in await failure(launch, work())


async def test_a_future_of_another_loop_is_refused(launch: Launch) -> None:
    """Waiting for it would never end."""
    other = asyncio.new_event_loop()
    try:
        text = await failure(launch, wait_for(other.create_future()))
    finally:
        other.close()
    assert "attached to a different loop" in text


# ------------------------------------------------------------------------------ for people


async def test_how_a_task_shows(launch: Launch) -> None:
    """Its text has the state, the name, the coroutine and what it waits for."""
    release = gate()
    task = await launch(wait_for(release))
    text = repr(task)
    assert "Task pending name='job' coro=<wait_for() running at " in text
    assert "wait_for=<Future pending" in text
    task.cancel()
    assert "Task cancelling name='job'" in repr(task)
    await asyncio.wait([task])
    assert "Task cancelled name='job'" in repr(task)


async def test_the_stack_of_a_waiting_task_can_be_seen(launch: Launch) -> None:
    """`get_stack` and `print_stack` show where it waits."""
    release = gate()
    task = await launch(wait_for(release))
    text = io.StringIO()
    task.print_stack(file=text)
    assert [frame.f_code.co_name for frame in task.get_stack()] == ["wait_for"]
    assert "in wait_for" in text.getvalue()
    release.set_result(None)
    await task


async def test_only_the_coroutine_decides(launch: Launch) -> None:
    """`set_result` and `set_exception` are refused."""
    release = gate()
    task = await launch(wait_for(release))
    with pytest.raises(RuntimeError, match="set_result"):
        task.set_result(1)
    with pytest.raises(RuntimeError, match="set_exception"):
        task.set_exception(ValueError())
    release.set_result(2)
    assert await task == 2


async def test_a_task_without_a_name_gets_one(start: Start) -> None:
    """The name is its own and does not change, until it is changed."""
    loop, release = asyncio.get_running_loop(), gate()
    first, second = (start(wait_for(release), loop=loop, context=copy_context()) for _ in range(2))
    assert first.get_name() == first.get_name() != second.get_name()
    first.set_name(7)
    assert first.get_name() == "7"
    release.set_result(None)
    await asyncio.gather(first, second)


def test_eager_tasks_are_those_of_asyncio_where_it_has_them() -> None:
    """`EagerTask` serves Python 3.11 alone."""
    assert (eager.start is eager_task.start) == (sys.version_info < (3, 12))


async def test_a_task_that_ended_at_once_serves_again_if_nobody_has_kept_it() -> None:
    """Making one costs more than many a handler."""
    loop = asyncio.get_running_loop()

    async def who() -> int:
        return id(asyncio.current_task())

    async def keep() -> Any:
        return asyncio.current_task()

    def run(job: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return eager_task.start(job(), loop=loop, context=copy_context())

    first = run(who)
    assert run(who) == first
    kept = run(keep)
    assert id(kept) == first
    assert run(who) != first


async def test_an_error_of_a_start_inside_a_task_is_freed_with_the_task(start: Start) -> None:
    """Nothing that it passed through keeps it alive."""
    loop = asyncio.get_running_loop()

    class Mistake(Exception):
        pass

    async def work() -> None:
        raise Mistake

    async def around() -> None:
        start(work(), loop=loop, context=copy_context())

    task = asyncio.create_task(around())
    await asyncio.wait([task])
    error = weakref.ref(task.exception())
    gc.disable()
    try:
        del task
        await asyncio.sleep(0)
        assert error() is None
    finally:
        gc.enable()
