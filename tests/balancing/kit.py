"""What the tests of this room share: endpoints by letter, and balancers that are ready."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from framerpc.balancing import Balancer, Candidate, Endpoint
from framerpc.config import BalancingPolicy
from framerpc.errors import Unavailable

if TYPE_CHECKING:
    from framerpc.balancing import Choice, Picker

__all__ = ["OFF", "answer", "balancer", "candidates", "endpoints", "fail", "name"]

OFF = BalancingPolicy(failures=None, failure_rate=None, slow_start=None)
"""Nothing but the picker."""


def endpoints(*weights: int) -> list[Endpoint]:
    """Return endpoints a, b, c, … with these weights."""
    return [
        Endpoint(f"memory://{chr(ord('a') + place)}", weight)
        for place, weight in enumerate(weights)
    ]


def name(choice: Choice | None) -> str | None:
    """Return the letter of the endpoint that was chosen."""
    return None if choice is None else choice.endpoint.url.removeprefix("memory://")


def candidates(*weights: int, policy: BalancingPolicy = OFF) -> list[Candidate]:
    """Return the candidates of `endpoints`."""
    return [Candidate(endpoint, policy) for endpoint in endpoints(*weights)]


def balancer(
    picker: str | Picker, *weights: int, policy: BalancingPolicy = OFF, seed: int = 1
) -> Balancer:
    """Return a balancer of `endpoints`, all ready since 0.0 s."""
    made = Balancer(picker, policy, random.Random(seed))
    for endpoint in made.update(endpoints(*weights)).added:
        made.set_ready(endpoint, True, 0.0)
    return made


def answer(made: Balancer, now: float, took: float = 0.0) -> str | None:
    """Pick for a call that is answered at once, and return the letter."""
    choice = made.pick(now)
    if choice is not None:
        made.began(choice, now)
        made.ended(choice, now + took)
    return name(choice)


def fail(made: Balancer, letter: str, now: float, times: int = 1) -> None:
    """Let calls to one endpoint fail."""
    others = [each for each in endpoints(*[1] * 26) if not each.url.endswith(letter)]
    for _ in range(times):
        choice = made.pick(now, exclude=others)
        assert choice is not None, f"{letter} cannot be picked"
        made.began(choice, now)
        made.ended(choice, now, Unavailable())
