"""Options: impossible values are refused when they are made."""

from __future__ import annotations

from typing import Any

import pytest

from framerpc import ConfigurationError
from framerpc.config import BalancingPolicy


@pytest.mark.parametrize(
    "options",
    [
        {"failures": 0},
        {"failure_rate": 1.5},
        {"window": float("inf")},
        {"window": None},
        {"min_calls": None},
        {"ejection": 20.0, "max_ejection": 10.0},
        {"panic_threshold": 1.01},
        {"panic_threshold": True},
        {"slow_start": 0.0},
        {"slow_start_share": 2},
        {"hash_bound": 1.0},
        {"hash_floor": -1},
        {"max_endpoints": "many"},
        {"is_failure": "all"},
    ],
    ids=repr,
)
def test_impossible_balancing_policies_are_refused(options: dict[str, Any]) -> None:
    """The error names the field."""
    with pytest.raises(ConfigurationError, match=next(reversed(options))):
        BalancingPolicy(**options)


@pytest.mark.parametrize("name", ["failures", "failure_rate", "panic_threshold", "slow_start"])
def test_parts_of_a_balancing_policy_can_be_switched_off(name: str) -> None:
    """None says that they are."""
    assert getattr(BalancingPolicy(**{name: None}), name) is None  # type: ignore[arg-type]
