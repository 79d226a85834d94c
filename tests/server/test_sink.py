"""The sink of a subscription: first things first, and nothing where there is no room."""

from __future__ import annotations

from typing import Any, cast

from framerpc.connection.feeder import ItemFeeder
from framerpc.protocol.topics import Started, decode_item
from framerpc.pubsub.events import Check, Gap, Publication
from framerpc.pubsub.feed import Feed
from framerpc.pubsub.positions import Position
from framerpc.server.sink import StreamSink

STARTED = Started(True, "e", {}, True, True)


class FakeFeeder:
    """Takes as many items as it is told to."""

    longest = 1000

    def __init__(self, room: int) -> None:
        self.room = room
        self.sent: list[Any] = []
        self.on_room: Any = None

    def try_send(self, item: bytes) -> bool:
        if not self.room:
            return False
        self.room -= 1
        self.sent.append(type(decode_item(item)).__name__)
        return True


class FakeFeed:
    """Is told when there is room."""

    resumed = 0
    ended = False

    def resume(self) -> None:
        self.resumed += 1

    def end(self) -> None:
        self.ended = True


def attached(room: int) -> tuple[StreamSink, FakeFeeder, FakeFeed, list[Any]]:
    sink, feeder, feed = StreamSink(), FakeFeeder(room), FakeFeed()
    gone: list[Any] = []
    sink.announce(cast("Feed", feed), STARTED)
    assert sink.write(Publication("t", b"1")) is False  # not attached yet
    sink.attach(cast("ItemFeeder", feeder), gone.append)
    return sink, feeder, feed, gone


def test_the_first_item_goes_before_every_event() -> None:
    """While STARTED finds no room, no event passes it; then the feed is told to go on."""
    sink, feeder, feed, _ = attached(room=0)
    feeder.room = 1
    assert sink.write(Publication("t", b"1")) is False
    feeder.on_room()
    assert (feeder.sent, feed.resumed) == (["Started"], 1)
    feeder.room = 3
    assert sink.write(Publication("t", b"1"))
    assert sink.write(Gap(2, {"t": 2}))
    assert sink.write(Check({"t": Position("e", 2)}))
    assert not sink.write(Publication("t", b"1"))
    assert feeder.sent == ["Started", "MessageItem", "GapItem", "CheckItem"]


def test_a_publication_is_encoded_once() -> None:
    """The body that the first subscriber sends is the one that all others send."""
    publication = Publication("t", b"1", epoch="e", offset=1)
    bodies: list[bytes | None] = []
    for _ in range(3):
        sink, *_ = attached(room=2)
        assert sink.write(publication)
        bodies.append(publication.wire)
    assert bodies[0] is not None
    assert bodies[0] is bodies[1] is bodies[2]


def test_an_end_is_told_once_and_to_the_connection_only_while_it_listens() -> None:
    """When the broker ends it, the connection is told; when the connection does, the feed is."""
    sink, _, feed, gone = attached(room=1)
    ends: list[int] = []
    sink.on_end = lambda: ends.append(1)
    sink.end(None)
    assert (gone, ends, feed.ended) == ([None], [1], False)
    sink, _, feed, gone = attached(room=1)
    sink.close()
    assert (gone, feed.ended) == ([], True)
