"""Where a subscription begins: what it asks for of the past, answered whole or not at all.

For one topic the answer is its own. For a pattern, all topics that match must be able
to answer, also those that appeared while the subscriber was away; a single hole in one of them
and the whole subscription begins with what comes next, and says so.

Nothing is lost between asking and reading: the feed that asks is subscribed already, and what
is published meanwhile waits in it.

Spec: protocol.md, "Positions and history".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from framerpc.errors import ResourceExhausted
from framerpc.pubsub.feed import Segment
from framerpc.pubsub.positions import Bookmark, Position
from framerpc.pubsub.topics import is_pattern

if TYPE_CHECKING:
    from framerpc.pubsub.policies import Policies
    from framerpc.pubsub.store import Found, Since, Store

__all__ = ["Beginning", "begin"]


class Beginning(NamedTuple):
    """Where a subscription begins.

    Attributes:
        recovered: Whether it gets all that it asked for of the past; None if it did not ask.
        bases: The position behind which it begins, for each topic with a history.
        segments: What to read.
        ends: The position up to which all was delivered, for each topic with a history.
        epoch: The epoch in which topics begin that are not among `bases`.
        complete: Whether `bases` are all topics that match.
        exact: False if one of the topics keeps only the latest messages.
    """

    recovered: bool | None
    bases: dict[str, Position]
    segments: list[Segment]
    ends: dict[str, Position]
    epoch: str
    complete: bool
    exact: bool


async def begin(
    store: Store,
    policies: Policies,
    pattern: str,
    since: Since | Bookmark,
    *,
    limit: int,
    now: float,
) -> Beginning:
    """Ask the store where a subscription begins.

    Args:
        store: Where the histories are.
        policies: Which topics have one.
        pattern: What is subscribed to; checked.
        since: Where to begin; a bookmark is for patterns and topics, a position for topics.
        limit: Topics that may match.
        now: Loop time.

    Raises:
        ResourceExhausted: It asks for the past of more topics than the limit.
        StoreError: The store cannot answer.
    """
    known = await store.topics(pattern, limit)
    names = known.names
    if not is_pattern(pattern):
        names = (pattern,) if policies.of(pattern).history else ()
    elif not known.complete and since is not None and not isinstance(since, Bookmark):
        raise ResourceExhausted(
            f"{pattern!r} matches more than {limit} topics with a history "
            "(TopicLimits.max_positions): subscribe without `since`"
        )
    found: dict[str, Found] = {}
    for name in names:
        asked = _asked(name, since)
        found[name] = await store.find(name, asked, policies.of(name), now)
    recovered = known.complete and all(each.recovered for each in found.values())
    if isinstance(since, Bookmark):
        recovered = recovered and since.complete and since.positions.keys() <= found.keys()
    elif isinstance(since, Position):
        recovered = recovered and bool(names)
    return Beginning(
        recovered=None if since is None else recovered,
        bases={name: each.base if recovered else each.top for name, each in found.items()},
        segments=[
            Segment(name, each.base, each.top.offset)
            for name, each in found.items()
            if recovered and each.base.offset < each.top.offset
        ],
        ends={name: each.top for name, each in found.items()},
        epoch=known.epoch,
        complete=known.complete,
        exact=not any(policies.of(name).latest for name in names),
    )


def _asked(name: str, since: Since | Bookmark) -> Since:
    """Return what a subscription asks of one topic."""
    if not isinstance(since, Bookmark):
        return since
    # A topic that was not there when the subscription began: all of it, if it began in
    # the epoch that was told then. In another one, it may have been there and gone.
    return since.positions.get(name) or Position(since.mark, 0)
