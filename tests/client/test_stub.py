"""Stubs: what looks like the service calls it."""

from __future__ import annotations

from typing import Any

import pytest

import framerpc
from framerpc.testing import virtual_time
from tests.services import Work, pair


@virtual_time
async def test_stub_has_the_methods_of_the_service() -> None:
    """Single calls are awaited, streams iterated, by position and by name."""
    async with pair(framerpc.Server(Work())) as client:
        work = client.stub(Work)
        assert await work.echo("x") == "x"
        assert await work.echo(value="y") == "y"
        assert [n async for n in work.count(upto=3)] == [0, 1, 2]
        assert repr(work) == "<stub of Work>"


def test_stub_offers_only_what_is_declared() -> None:
    """An attribute of the service that is no method says what can be called."""
    work: Any = framerpc.connect("memory://work").stub(Work)
    for name in ("started", "_watched", "nothing"):
        with pytest.raises(AttributeError, match=r"@framerpc\.method"):
            getattr(work, name)


def test_stub_keeps_names_and_docstrings() -> None:
    """Help on a stub shows what the service says."""
    work: Any = framerpc.connect("memory://work").stub(Work)
    assert work.ticks.__name__ == "ticks"
    assert "One item" in work.ticks.__doc__
