"""Idempotency keys."""

from __future__ import annotations

import pytest

from framerpc.errors import InvalidArgument
from framerpc.pubsub.dedupe import Dedupe, check_key
from framerpc.pubsub.events import Published
from framerpc.pubsub.positions import Position
from framerpc.pubsub.store import Message
from framerpc.topic_config import TopicPolicy

POLICY = TopicPolicy(">")
RECEIPT = Published(4, Position("e", 4), 7, duplicate=False)


def message(key: str | None, data: bytes = b"x", topic: str = "t", conflate: str = "") -> Message:
    return Message(topic, data, POLICY, key, conflate)


def test_the_same_key_has_the_same_receipt() -> None:
    """A second publish gets the position of the first, and reached nobody."""
    keys = Dedupe(10, 60.0)
    assert keys.find(message("k"), 0.0) is None
    keys.note(message("k"), RECEIPT, 0.0)
    assert keys.find(message("k"), 59.9) == Published(4, Position("e", 4), 0, duplicate=True)


@pytest.mark.parametrize("other", [message("k", b"y"), message("k", conflate="c")])
def test_the_same_key_for_another_message_is_an_error(other: Message) -> None:
    """A key that is used twice by mistake loses no message silently."""
    keys = Dedupe(10, 60.0)
    keys.note(message("k"), RECEIPT, 0.0)
    with pytest.raises(InvalidArgument, match="used for another message"):
        keys.find(other, 1.0)


def test_a_key_belongs_to_its_topic() -> None:
    """The same key on another topic is another key; no key is never found."""
    keys = Dedupe(10, 60.0)
    keys.note(message("k"), RECEIPT, 0.0)
    keys.note(message(None), RECEIPT, 0.0)
    assert keys.find(message("k", topic="u"), 0.0) is None
    assert keys.find(message(None), 0.0) is None
    assert len(keys) == 1


def test_keys_are_forgotten_after_their_time() -> None:
    """A key counts as new when it is `ttl` old, exactly."""
    keys = Dedupe(10, 60.0)
    keys.note(message("k"), RECEIPT, 0.0)
    assert keys.find(message("k"), 60.0) is None
    assert (len(keys), keys.forgotten) == (0, 0)


def test_keys_are_bounded_and_what_is_forgotten_counted() -> None:
    """The oldest key makes room."""
    keys = Dedupe(2, 60.0)
    for key in "abc":
        keys.note(message(key), RECEIPT, 0.0)
    assert keys.find(message("a"), 0.0) is None
    assert keys.find(message("c"), 0.0) is not None
    assert (len(keys), keys.forgotten) == (2, 1)


@pytest.mark.parametrize("key", ["x" * 256, 7, b"k"])
def test_keys_are_short_text(key: object) -> None:
    """Anything else is refused."""
    check_key("x" * 255, "a key")
    with pytest.raises(InvalidArgument, match="a key must be text"):
        check_key(key, "a key")
