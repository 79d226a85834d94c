"""Which policy holds for a topic."""

from __future__ import annotations

import pytest

from framerpc.errors import ConfigurationError, InvalidArgument
from framerpc.pubsub.policies import Policies
from framerpc.topic_config import TopicPolicy


def test_the_first_that_matches_holds() -> None:
    """Order decides, not how exact a pattern is."""
    policies = Policies([TopicPolicy("log.>", history=5), TopicPolicy("log.app", history=9)])
    assert policies.of("log.app").history == 5
    assert policies.of("log.app") is policies.of("log.app")


def test_no_policy_means_no_history() -> None:
    """Anyone may publish to a topic without policy, and nothing is kept of it."""
    policy = Policies().of("anything")
    assert (policy.history, policy.publish) == (0, "anyone")


@pytest.mark.parametrize("topic", ["$sys.x", "$own"])
def test_the_servers_own_topics_are_published_by_it_only(topic: str) -> None:
    """Whatever the policies say."""
    policy = Policies([TopicPolicy("$own", history=5, publish="anyone")]).of(topic)
    assert policy.publish == "server"


def test_a_bad_pattern_is_found_when_the_server_is_made() -> None:
    """It is an error of the configuration, and says which pattern."""
    with pytest.raises(ConfigurationError, match=r"a\.\.b"):
        Policies([TopicPolicy("a..b")])


def test_a_pattern_is_not_a_topic() -> None:
    """Nobody publishes to a pattern."""
    with pytest.raises(InvalidArgument):
        Policies().of("a.*")


def test_what_is_remembered_is_bounded() -> None:
    """A flood of topics does not fill the memory."""
    policies = Policies(remembered=10)
    for number in range(100):
        policies.of(f"t{number}")
    assert len(policies._cache) <= 10
