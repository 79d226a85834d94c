"""One subscription as the broker sees it: history first, then what is published, within bounds.

A feed that keeps up costs one call for a message: it is written at once. Only what cannot be
written waits, in the queue; what the subscriber asked for of the past is read from the
store, a page at a time, before it. When the subscription began is fixed, so there is neither a
hole nor a repetition between the two.

It does not know how events travel: a `Sink` writes them, and says when it can write again.

Spec: protocol.md, "Positions and history".
"""

from __future__ import annotations

import enum
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from framerpc.errors import ResourceExhausted
from framerpc.pubsub.events import Check, Gap
from framerpc.pubsub.positions import Position
from framerpc.pubsub.queues import Overflow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from framerpc.errors import CallError
    from framerpc.pubsub.events import Event, Publication
    from framerpc.pubsub.queues import Queue
    from framerpc.pubsub.store import Page

__all__ = ["TRANSITIONS", "Feed", "FeedState", "Segment", "Sink"]


class FeedState(enum.Enum):
    """Where one subscription is in its life."""

    OPENING = "opening"  # it is not known yet where it begins; what is published waits
    REPLAYING = "replaying"  # it is given what it asked for of the past; what is published waits
    LIVE = "live"  # it is given what is published
    ENDED = "ended"


TRANSITIONS: Final[Mapping[FeedState, tuple[FeedState, ...]]] = {
    FeedState.OPENING: (FeedState.REPLAYING, FeedState.ENDED),
    FeedState.REPLAYING: (FeedState.LIVE, FeedState.ENDED),
    FeedState.LIVE: (FeedState.ENDED,),
    FeedState.ENDED: (),
}
"""Where a feed may go from each state."""


class Segment(NamedTuple):
    """A part of the history of one topic, still to be read.

    Attributes:
        topic: The topic.
        after: Behind which position.
        upto: Last offset.
    """

    topic: str
    after: Position
    upto: int


class Sink(Protocol):
    """Takes events to a subscriber. Its methods never wait and never raise."""

    def write(self, event: Event, /) -> bool:
        """Send an event at once, or return False if it cannot be sent now.

        After False, call `Feed.resume` as soon as it can.
        """
        ...

    def end(self, error: CallError | None, /) -> None:
        """Say that nothing more comes; called once. None: the subscription was given up."""
        ...


class Feed:
    """A subscription; made by `Broker.subscribe`.

    Attributes:
        pattern: What it is subscribed to.
        group: The name of its queue group, or None.
        owner: To whom it is counted.
        state: Where it is in its life.
        recovered: Whether it is given all that it asked for of the past; None if it did not ask.
        bases: For each topic with a history that matches: the position behind which it begins.
        epoch: The epoch in which topics begin that are not among `bases`.
        complete: Whether `bases` are all of them; if not, the subscription cannot resume.
        exact: Whether each message has its place; False if a topic keeps only the latest.
    """

    __slots__ = (
        "_draining",
        "_flowing",
        "_load",
        "_loading",
        "_on_end",
        "_page",
        "_queue",
        "_segments",
        "_sink",
        "_write",
        "bases",
        "complete",
        "epoch",
        "exact",
        "group",
        "owner",
        "pattern",
        "recovered",
        "state",
    )

    def __init__(
        self,
        pattern: str,
        sink: Sink,
        queue: Queue,
        *,
        load: Callable[[Feed, Segment], None],
        on_end: Callable[[Feed, list[Publication]], None],
        group: str | None = None,
        owner: object = None,
    ) -> None:
        self.pattern = pattern
        self.group = group
        self.owner = owner
        self.state = FeedState.OPENING
        self.recovered: bool | None = None
        self.bases: Mapping[str, Position] = {}
        self.epoch = ""
        self.complete = True
        self.exact = True
        self._sink = sink
        self._write = sink.write
        self._queue = queue
        self._load = load
        self._on_end = on_end
        self._flowing = False  # LIVE, nothing waits, and the last write went through
        self._segments: deque[Segment] = deque()
        self._page: deque[Event] = deque()
        self._loading = False
        self._draining = False

    def __repr__(self) -> str:
        return f"<Feed {self.pattern} {self.state.value} {self._queue!r}>"

    @property
    def waiting(self) -> int:
        """Bytes that wait."""
        return self._queue.size

    @property
    def dropped(self) -> int:
        """Messages left out so far, because the subscriber was too slow."""
        return self._queue.dropped

    # --------------------------------------------------------------- the hot path

    def offer(self, publication: Publication) -> None:
        """Take a message; never waits, never raises."""
        if self._flowing:
            if self._write(publication):
                return
            self._flowing = False
        self._hold(publication)

    def take(self, publication: Publication) -> bool:
        """Take a message only if it can be written at once; return whether it was."""
        if self._flowing:
            if self._write(publication):
                return True
            self._flowing = False
        return False

    def _hold(self, publication: Publication) -> None:
        if self.state is FeedState.ENDED:
            return
        if not self._queue.push(publication):
            self._queue.dropped += 1
            self._give_up(f"more than {self._queue.limit} bytes wait for {self.pattern!r}")

    def _give_up(self, why: str) -> None:
        """End the subscription because it is too slow; what waits is left out."""
        self._queue.dropped += len(self._queue.clear())
        self.end(ResourceExhausted(f"slow consumer: {why}; subscribe again from your position"))

    # ------------------------------------------------------------------ beginning

    def start(self, segments: list[Segment], ends: Mapping[str, Position]) -> None:
        """Begin with these parts of histories, then with what comes behind `ends`."""
        self._go(FeedState.REPLAYING)
        self._segments.extend(segments)
        for topic, end in ends.items():
            self._queue.discard(topic, end)
        self.resume()

    def loaded(self, page: Page) -> None:
        """Take what was read of the first segment."""
        self._loading = False
        if self.state is FeedState.ENDED:
            return
        topic, after, upto = self._segments.popleft()
        if page.lost:
            if self._queue.overflow is Overflow.DISCONNECT:
                self._give_up(f"{page.lost} messages of {topic!r} left its history unread")
                return
            self._queue.dropped += page.lost
            self._page.append(Gap(page.lost, {topic: page.lost}))
        self._page.extend(page.messages)
        if page.upto < upto:
            self._segments.appendleft(Segment(topic, Position(after.epoch, page.upto), upto))
        self.resume()

    # -------------------------------------------------------------------- going on

    def resume(self) -> None:
        """Write what waits, as far as the sink takes it; call it when it can take more."""
        if self._draining or self.state not in {FeedState.REPLAYING, FeedState.LIVE}:
            return
        self._draining = True
        try:
            self._drain()
        finally:
            self._draining = False

    def _drain(self) -> None:
        while self._replay() and not self._ended():
            event = self._queue.peek()
            if event is None:
                if self.state is FeedState.REPLAYING:
                    self._go(FeedState.LIVE)
                self._flowing = True
                return
            if not self._write(event):
                return
            if not self._ended():  # writing may have closed the connection
                self._queue.pop()

    def _ended(self) -> bool:
        return self.state is FeedState.ENDED

    def _replay(self) -> bool:
        """Write what was read of the past, read on; return whether all of it is written."""
        while True:
            while self._page:
                if not self._write(self._page[0]):
                    return False
                if self._page:  # writing may have closed the connection
                    self._page.popleft()
            if not self._segments or self._loading:
                return not self._segments
            self._loading = True
            self._load(self, self._segments[0])

    def check(self, tops: Mapping[str, Position]) -> None:
        """Tell the subscriber how far it has come, behind all that was offered before.

        Ignored unless the feed is live: until then, nothing can be missing.
        """
        if self.state is not FeedState.LIVE:
            return
        check = Check(tops)
        if not (self._flowing and self._write(check)):
            self._flowing = False
            self._queue.push_check(check)

    # ------------------------------------------------------------------------ ending

    def end(self, error: CallError | None = None) -> None:
        """End the subscription; may be called again.

        Args:
            error: What to tell the subscriber; None if it gave up itself.
        """
        if self.state is FeedState.ENDED:
            return
        self._go(FeedState.ENDED)
        self._flowing = False
        self._segments.clear()
        self._page.clear()
        waiting = self._queue.clear()
        self._on_end(self, waiting)
        self._sink.end(error)

    def _go(self, state: FeedState) -> None:
        assert state in TRANSITIONS[self.state], f"{self.state} -> {state}"
        self.state = state
