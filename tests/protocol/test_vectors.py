"""Every conformance vector, delivered in every way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.protocol.vectors import DELIVERIES, VECTORS, Vector, play

if TYPE_CHECKING:
    from collections.abc import Callable

    from framerpc.protocol.events import Event
    from framerpc.protocol.wire import Wire


@pytest.mark.parametrize("deliver", DELIVERIES.values(), ids=DELIVERIES.keys())
@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS.keys())
def test_bytes_mean_what_the_vector_says(
    vector: Vector, deliver: Callable[[Wire, bytes], list[Event]]
) -> None:
    """The outcome is the same however the bytes were cut."""
    play(vector, deliver)


def test_a_closed_side_reads_nothing_more() -> None:
    """Where a vector ends closed, nothing that follows has any effect."""
    for vector in VECTORS.values():
        if vector["state"] == "closed":
            wire = play(vector, DELIVERIES["whole"])
            assert wire.receive(b"\x00\x00\x00\x04\x93\x05\x01\xc0") == []
            assert wire.buffer() is None
