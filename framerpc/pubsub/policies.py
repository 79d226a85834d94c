"""Which policy holds for a topic: the first whose pattern matches.

Spec: protocol.md, "Positions and history".
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from framerpc.errors import ConfigurationError, InvalidArgument
from framerpc.pubsub.topics import check_pattern, check_topic, is_reserved, matches
from framerpc.topic_config import TopicPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Policies"]


class Policies:
    """The policies of one server, in order.

    Args:
        policies: The first that matches holds.
        remembered: Topics whose policy is remembered, at most.

    Raises:
        ConfigurationError: The pattern of one is impossible.
    """

    __slots__ = ("_cache", "_policies", "_remembered")

    def __init__(self, policies: Iterable[TopicPolicy] = (), remembered: int = 10_000) -> None:
        self._policies = (*policies, TopicPolicy(">"))
        self._cache: dict[str, TopicPolicy] = {}
        self._remembered = remembered
        for policy in self._policies:
            try:
                check_pattern(policy.pattern)
            except InvalidArgument as exc:
                raise ConfigurationError(f"TopicPolicy: {exc.detail}") from exc

    def of(self, topic: str) -> TopicPolicy:
        """Return the policy of a topic; those of the server's own are published by it only.

        Raises:
            InvalidArgument: It is not a topic.
        """
        policy = self._cache.get(topic)
        if policy is None:
            policy = self._find(topic)
            if len(self._cache) >= self._remembered:
                self._cache.clear()
            self._cache[topic] = policy
        return policy

    def _find(self, topic: str) -> TopicPolicy:
        check_topic(topic)
        for policy in self._policies:
            if matches(policy.pattern, topic):
                return (
                    dataclasses.replace(policy, publish="server") if is_reserved(topic) else policy
                )
        return dataclasses.replace(self._policies[-1], publish="server")
