"""The guards of tests/conftest.py: each of them can fail a test."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

HEADER = "import asyncio, gc, pytest, socket\nfrom hypothesis import given, strategies\n"

PASSES = [
    """
async def test_passes() -> None:
    await asyncio.sleep(0)
""",
    """
async def test_gets_fixtures(tmp_path) -> None:
    assert tmp_path.is_dir()
""",
    """
@pytest.mark.parametrize("n", [1])
async def test_gets_parameters(n) -> None:
    assert n == 1
""",
    """
@given(strategies.booleans())
async def test_gets_examples(flag) -> None:
    await asyncio.sleep(0)
    assert flag in (True, False)
""",
    """
def test_plain(loop_factory) -> None:
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(asyncio.sleep(0))
""",
]

FAILS = {
    "assert 1 == 2": """
async def test_it() -> None:
    await asyncio.sleep(0)
    assert 1 == 2
""",
    "assert flag": """
@given(strategies.just(False))
async def test_it(flag) -> None:
    assert flag
""",
    "tasks are left behind": """
async def test_it() -> None:
    test_it.kept = asyncio.create_task(asyncio.sleep(60))
""",
    "exception handler was called": """
async def test_it() -> None:
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0)
""",
    "never retrieved": """
async def fail() -> None:
    raise ValueError("unseen")

async def test_it() -> None:
    task = asyncio.create_task(fail())
    await asyncio.wait([task])
""",
    "was never awaited": """
async def test_it() -> None:
    asyncio.sleep(0)
""",
    "unclosed <socket": """
async def test_it() -> None:
    socket.socket()
""",
    "TimeoutError": """
@pytest.mark.timeout(2)
async def test_it() -> None:
    await asyncio.Event().wait()
""",
    "TimeoutError*": """
@pytest.mark.timeout(2)
async def test_it() -> None:
    again = lambda: asyncio.get_running_loop().call_soon(again)
    again()
    await asyncio.Event().wait()
""",
    "Timeout (>1.0s)": """
@pytest.mark.timeout(1)
async def test_it() -> None:
    while True:
        pass
""",
}

CONFIG = """
[pytest]
filterwarnings = error
timeout = 20
addopts = --strict-markers --strict-config -p no:cacheprovider -p no:xdist
markers = loop: as in the project
"""


def _outcome(pytester: pytest.Pytester, source: str, *options: str) -> pytest.RunResult:
    pytester.makeini(CONFIG)
    pytester.makeconftest(Path(__file__).with_name("conftest.py").read_text(encoding="utf-8"))
    pytester.makepyfile(HEADER + source)
    return pytester.runpytest_subprocess("-q", *options)


@pytest.mark.loop
def test_async_tests_run(pytester: pytest.Pytester, pytestconfig: pytest.Config) -> None:
    """Async tests get fixtures, parameters and examples, on either loop."""
    loop = pytestconfig.getoption("--loop")
    result = _outcome(pytester, "\n\n".join(PASSES), f"--loop={loop}", "-m", "loop")
    result.assert_outcomes(passed=len(PASSES))


def test_loop_is_the_chosen_one(pytester: pytest.Pytester) -> None:
    """`--loop=uvloop` really runs on uvloop."""
    pytest.importorskip("uvloop")
    source = (
        "async def test_it() -> None:\n"
        "    assert type(asyncio.get_running_loop()).__module__.startswith('uvloop')\n"
    )
    _outcome(pytester, source, "--loop=uvloop").assert_outcomes(passed=1)


@pytest.mark.loop
@pytest.mark.parametrize("reason", FAILS)
def test_trouble_fails_a_test(
    pytester: pytest.Pytester, pytestconfig: pytest.Config, reason: str
) -> None:
    """A test fails, and says why, for whatever would otherwise go unseen."""
    result = _outcome(pytester, FAILS[reason], f"--loop={pytestconfig.getoption('--loop')}")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([f"*{reason.replace('[', '[[]')}*"])
