"""What a method returns for its caller to watch."""

from __future__ import annotations

import pytest

import framerpc


@pytest.mark.parametrize("use", [aiter, anext])
def test_only_the_caller_iterates(use: object) -> None:
    """A watch that was not sent to a caller says who iterates, and how."""
    watch: framerpc.Watch[int, int] = framerpc.Watch("board", lambda: 1)
    with pytest.raises(framerpc.ConfigurationError, match="async for update in client"):
        use(watch)  # type: ignore[operator] # pyright: ignore[reportCallIssue]
