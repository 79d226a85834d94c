"""The options of topics."""

from __future__ import annotations

from typing import Any

import pytest

from framerpc.errors import ConfigurationError
from framerpc.topic_config import TopicLimits, TopicPolicy


def test_a_policy_keeps_nothing_unless_told() -> None:
    """The default is a topic without history that anyone may publish to."""
    policy = TopicPolicy("a.>")
    assert (policy.history, policy.ttl, policy.latest, policy.publish) == (0, None, False, "anyone")


@pytest.mark.parametrize(
    "options",
    [
        {"history": -1},
        {"history": 1.0},
        {"history": True},
        {"history_bytes": 0},
        {"history_bytes": 1e6},
        {"ttl": 0},
        {"ttl": -1.0},
        {"ttl": float("nan")},
        {"ttl": float("inf")},
        {"publish": "nobody"},
        {"latest": True},
    ],
    ids=str,
)
def test_impossible_policies_are_refused(options: dict[str, Any]) -> None:
    """An error names the option."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        TopicPolicy("a", **options)


@pytest.mark.parametrize(
    "options",
    [
        {"max_topics": 0},
        {"key_ttl": -1.0},
        {"max_page": "1"},
        {"max_queue": None},
        {"max_keys": 1.5},
    ],
    ids=str,
)
def test_impossible_limits_are_refused(options: dict[str, Any]) -> None:
    """An error names the option."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        TopicLimits(**options)
