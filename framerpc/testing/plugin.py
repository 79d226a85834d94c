"""Fixtures and a marker for pytest, loaded by pytest as the plugin `framerpc`.

The only module that imports pytest.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pytest

from framerpc.testing.clock import run
from framerpc.testing.network import Network

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "framerpc_network",
    "pytest_addoption",
    "pytest_configure",
    "pytest_pyfunc_call",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--framerpc-seed`."""
    parser.getgroup("framerpc").addoption(
        "--framerpc-seed",
        default=None,
        help="seed of the fixture framerpc_network (default: the name of the test)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers", "virtual_clock: run this async test on framerpc's virtual clock, from 0.0 s"
    )


@pytest.fixture
def framerpc_network(request: pytest.FixtureRequest) -> Iterator[Network]:
    """A network with faults, in force during the test; the same at each run of the test."""
    seed: str | None = request.config.getoption("--framerpc-seed")
    node: pytest.Item = request.node
    with Network(seed=seed if seed is not None else node.nodeid) as network:
        yield network


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test marked `virtual_clock`; leave every other test to others."""
    marked = pyfuncitem.get_closest_marker("virtual_clock") is not None
    if not marked or not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True
