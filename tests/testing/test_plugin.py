"""The pytest plugin, in a pytest of its own."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

pytest_plugins = ["pytester"]

_INSTALLED = any(point.name == "framerpc" for point in entry_points(group="pytest11"))
_LOAD = () if _INSTALLED else ("-p", "framerpc.testing.plugin")


def test_a_marked_async_test_runs_on_the_virtual_clock(pytester: pytest.Pytester) -> None:
    """With `virtual_clock`, an async test needs no other plugin; fixtures are passed to it."""
    pytester.makepyfile(
        """
        import asyncio
        import pytest

        @pytest.mark.virtual_clock
        async def test_hour(tmp_path):
            await asyncio.sleep(3600)
            assert asyncio.get_running_loop().time() == 3600
            assert tmp_path.is_dir()

        @pytest.mark.virtual_clock
        @pytest.mark.parametrize("seconds", [1, 2])
        async def test_fails(seconds):
            await asyncio.sleep(seconds)
            assert seconds == 1
        """
    )
    result = pytester.runpytest_inprocess(*_LOAD, "--strict-markers")
    result.assert_outcomes(passed=2, failed=1)


def test_plain_tests_are_left_alone(pytester: pytest.Pytester) -> None:
    """A test that is not marked, or not async, runs as ever."""
    pytester.makepyfile(
        """
        import pytest

        def test_plain():
            pass

        @pytest.mark.virtual_clock
        def test_marked():
            pass
        """
    )
    pytester.runpytest_inprocess(*_LOAD).assert_outcomes(passed=2)


def test_the_network_fixture_is_in_force(pytester: pytest.Pytester) -> None:
    """Connections made during the test go through the fixture's network, seeded by the test."""
    pytester.makepyfile(
        """
        import asyncio
        import pytest
        from framerpc.connection import memory

        @pytest.mark.virtual_clock
        async def test_it(framerpc_network):
            loop = asyncio.get_running_loop()
            listener = memory.listen("plugin", asyncio.Protocol, loop)
            framerpc_network.delay(2.0)
            await memory.connect("plugin", asyncio.Protocol)
            assert loop.time() == 4.0
            assert framerpc_network.seed.endswith("::test_it")
            listener.close()
        """
    )
    pytester.runpytest_inprocess(*_LOAD).assert_outcomes(passed=1)


def test_the_seed_can_be_given(pytester: pytest.Pytester) -> None:
    """`--framerpc-seed` replaces the name of the test."""
    pytester.makepyfile(
        """
        def test_it(framerpc_network):
            assert framerpc_network.seed == "17"
        """
    )
    pytester.runpytest_inprocess(*_LOAD, "--framerpc-seed=17").assert_outcomes(passed=1)


def test_importing_the_kit_does_not_import_pytest() -> None:
    """Programs that use framerpc, or its test kit without pytest, do not load it."""
    code = "import framerpc, framerpc.testing, sys; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
