"""Which patterns can only match topics with history, by the policies alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framerpc.pubsub.coverage import contains, keeps_all, overlaps
from framerpc.pubsub.policies import Policies
from framerpc.pubsub.topics import matches
from framerpc.topic_config import TopicPolicy

TOKENS = st.sampled_from(["a", "b", "*"])
TOPICS = st.lists(st.sampled_from(["a", "b", "$a"]), min_size=1, max_size=4).map(".".join)
PATTERNS = (
    st.tuples(st.lists(TOKENS, min_size=1, max_size=3), st.sampled_from(["", ".>"])).map(
        lambda each: ".".join(each[0]) + each[1]
    )
    | st.just(">")
    | st.just("$a.*")
)


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [
        ("log.a", True),
        ("log.>", True),
        ("log.*.x", True),
        ("log", False),
        ("news.a", False),
        (">", False),
        ("*.a", False),
        ("log.debug", False),
    ],
)
def test_patterns_under_policies(pattern: str, kept: bool) -> None:
    """Only what lies wholly under policies with history is kept; an earlier policy wins."""
    policies = [TopicPolicy("log.debug"), TopicPolicy("log.>", history=5)]
    expected = kept and pattern != "log.>"
    assert keeps_all(policies, pattern) is expected
    assert keeps_all(policies[1:], pattern) is (kept or pattern == "log.debug")


@given(PATTERNS, PATTERNS, TOPICS)
def test_containing_and_overlapping_are_about_topics(one: str, other: str, topic: str) -> None:
    """A topic of the narrow pattern is one of the wide; a common topic means an overlap."""
    if contains(one, other) and matches(other, topic):
        assert matches(one, topic)
    if matches(one, topic) and matches(other, topic):
        assert overlaps(one, other)
        assert overlaps(other, one)
    assert contains(one, one)


@given(st.lists(st.tuples(PATTERNS, st.integers(0, 1)), max_size=3), PATTERNS, TOPICS)
def test_nothing_without_history_is_promised(
    given_policies: list[tuple[str, int]], pattern: str, topic: str
) -> None:
    """Where it says yes, each topic that matches has a policy with history."""
    policies = [TopicPolicy(pattern, history=history) for pattern, history in given_policies]
    if keeps_all(policies, pattern) and matches(pattern, topic):
        assert Policies(policies).of(topic).history
