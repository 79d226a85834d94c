"""A short fuzz with fixed chance; `make fuzz` goes on for longer, and elsewhere each time."""

from __future__ import annotations

import random

import pytest

from tests.fuzz.mutation import mutate
from tests.fuzz.targets import SEEDS, TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_broken_bytes_raise_nothing_undeclared(name: str) -> None:
    """Good bytes and a thousand broken ones leave a target without an exception of its own."""
    chance = random.Random(name)
    for data in SEEDS[name]:
        TARGETS[name](data)
    for _ in range(1000):
        TARGETS[name](mutate(SEEDS[name], chance))
