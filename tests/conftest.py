"""How the suite runs: async tests on a loop of their own, and nothing that goes wrong unseen.

An `async def test_…` needs no decorator and no plugin: it runs on a new event loop, chosen by
`--loop=asyncio` or `--loop=uvloop`. It fails, too, when it takes too long, when something reached the loop's exception
handler or when a task is still alive at its end. What a destructor says (a coroutine never
awaited, a socket never closed) fails it through pytest's `filterwarnings = error`.

Tests that depend on that loop carry the mark `loop`: `-m loop` is what a second loop has to
repeat. A plain test that starts loops of its own asks for them through the fixture
`loop_factory`, and has the mark by that. Virtual time has a loop of its own, hence no mark.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import os
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    LoopFactory: TypeAlias = Callable[[], asyncio.AbstractEventLoop]
    AsyncTest: TypeAlias = Callable[..., Coroutine[Any, Any, None]]

__all__: list[str] = []

# No deadline: a busy machine is not a bug. In CI the same examples each time, so that a change
# is never blamed for what it did not do; elsewhere new ones, so that something is found.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--loop`."""
    parser.addoption(
        "--loop",
        choices=("asyncio", "uvloop"),
        default="asyncio",
        help="event loop that async tests run on",
    )


def pytest_report_header(config: pytest.Config) -> str:
    """Say which loop this run is about."""
    return f"event loop: {config.getoption('--loop')}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what depends on the loop."""
    for item in items:
        if isinstance(item, pytest.Function) and (
            _async_test(item) is not None or "loop_factory" in item.fixturenames
        ):
            item.add_marker(pytest.mark.loop)


def pytest_collection_finish() -> None:
    """Keep what is imported out of each test's garbage collection."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def loop_factory(pytestconfig: pytest.Config) -> LoopFactory:
    """What makes an event loop of the kind under test; for `asyncio.Runner`."""
    return _loop_factory(pytestconfig)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run async tests; leave all others to pytest."""
    function = _async_test(pyfuncitem)
    if function is None:
        return None
    factory = _loop_factory(pyfuncitem.config)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> None:
        _run(function(*args, **kwargs), factory, _time_limit(pyfuncitem))

    arguments = {
        # What fixtures and parameters fill in; hypothesis adds its own. Every runner of async
        # tests reads this private list: there is no public one.
        name: pyfuncitem.funcargs[name]
        for name in pyfuncitem._fixtureinfo.argnames
    }
    given = getattr(pyfuncitem.obj, "hypothesis", None)
    if given is None:
        call(**arguments)
        return True
    given.inner_test = call
    try:
        pyfuncitem.obj(**arguments)
    finally:
        given.inner_test = function
    return True


def _async_test(item: pytest.Function) -> AsyncTest | None:
    """Return the coroutine function behind a test, also behind `@given`, or None."""
    if item.get_closest_marker("virtual_clock"):
        return None  # framerpc.testing.plugin runs it
    function: Any = item.obj
    if given := getattr(function, "hypothesis", None):
        function = given.inner_test
    return function if inspect.iscoroutinefunction(function) else None


def _loop_factory(config: pytest.Config) -> LoopFactory:
    if config.getoption("--loop") == "asyncio":
        return asyncio.new_event_loop
    try:
        import uvloop  # noqa: PLC0415 - not to be had everywhere
    except ImportError as exc:
        raise pytest.UsageError(f"--loop=uvloop: {exc}") from exc
    return uvloop.new_event_loop


def _time_limit(item: pytest.Item) -> float | None:
    """Return the seconds a test may take: a little less than pytest-timeout would give it.

    What pytest-timeout raises may hit a callback or another task, where the loop catches it
    and the test hangs for ever. So the loop itself stops the test first, wherever it waits;
    pytest-timeout is left with code that blocks.
    """
    marker = item.get_closest_marker("timeout")
    limit = marker.args[0] if marker is not None else item.config.getini("timeout")
    return max(float(limit) - 3, float(limit) / 2) if limit else None  # and time to report


def _run(test: Coroutine[Any, Any, None], factory: LoopFactory, limit: float | None) -> None:
    """Run one test on a new loop, and look at what it leaves behind."""
    unhandled: list[dict[str, Any]] = []
    left: list[str] = []

    async def main() -> None:
        async with asyncio.timeout(limit):
            await test
        ended = asyncio.current_task()
        left.extend(sorted(_describe(task) for task in asyncio.all_tasks() if task is not ended))

    # Debug mode is slow, and hides races by its slowness: off also under `python -X dev`.
    with asyncio.Runner(debug=False, loop_factory=factory) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: unhandled.append(context))
        try:
            runner.run(main())
        except BaseException as exc:
            for context in unhandled:
                exc.add_note(f"besides, unhandled: {_summary(context)}")
            raise
        gc.collect()  # "never retrieved" and "never awaited" are said by destructors
    if left:
        pytest.fail("tasks are left behind:\n  " + "\n  ".join(left), pytrace=False)
    if unhandled:
        lines = "\n  ".join(map(_summary, unhandled))
        error = AssertionError(f"the loop's exception handler was called:\n  {lines}")
        raise error from unhandled[0].get("exception")


def _summary(context: dict[str, Any]) -> str:
    return f"{context.get('message')}: {context.get('exception')!r}"


def _describe(task: asyncio.Task[Any]) -> str:
    frames = task.get_stack(limit=1)
    where = f" at {frames[0].f_code.co_filename}:{frames[0].f_lineno}" if frames else ""
    return f"{task.get_name()}: {getattr(task.get_coro(), '__qualname__', '?')}{where}"
