"""Whether each topic that a pattern can match keeps a history, as the policies say.

Only then can a subscriber that was away be told that it missed nothing: a message to a topic
without history leaves no trace. Decided from the patterns alone, and when in doubt with no.

Spec: protocol.md, "Subscribing".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from framerpc.pubsub.topics import ANY, REST, is_reserved

if TYPE_CHECKING:
    from collections.abc import Iterable

    from framerpc.topic_config import TopicPolicy

__all__ = ["contains", "keeps_all", "overlaps"]


def keeps_all(policies: Iterable[TopicPolicy], pattern: str) -> bool:
    """Return whether no topic without history can match a checked pattern.

    Args:
        policies: In order; a topic that none of them matches has no history.
        pattern: What is subscribed to.
    """
    for policy in policies:
        if not policy.history:
            if overlaps(policy.pattern, pattern):
                return False
        elif contains(policy.pattern, pattern):
            return True
    return False


def contains(wide: str, narrow: str) -> bool:
    """Return whether each topic that `narrow` matches is matched by `wide` as well."""
    outer, inner = wide.split("."), narrow.split(".")
    if outer[0] in {ANY, REST} and is_reserved(inner[0]):
        return False
    for place, token in enumerate(outer):
        if token == REST:
            return len(inner) > place
        if place >= len(inner) or inner[place] == REST:
            return False
        if token not in (ANY, inner[place]):
            return False
    return len(inner) == len(outer)


def overlaps(first: str, second: str) -> bool:
    """Return whether a topic can match both."""
    one, other = first.split("."), second.split(".")
    for wild, name in ((one[0], other[0]), (other[0], one[0])):
        if wild in {ANY, REST} and is_reserved(name):
            return False
    for left, right in zip(one, other, strict=False):
        if REST in (left, right):
            return True
        if left != right and ANY not in (left, right):
            return False
    return len(one) == len(other)
