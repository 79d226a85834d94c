"""What a history must show of messages (P3): none is lost silently, repeated, or made up.

A reader is judged by what it was given, in order: each message says where it stands, and what is
missing before it. At the end the servers publish to every topic, so that a hole at the end of a
topic shows as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from math import inf
from typing import TYPE_CHECKING, Final

from framerpc.pubsub.topics import matches

if TYPE_CHECKING:
    from tests.simulation.history import History, Place, Publish, Reader, Sight

__all__ = ["RULES"]

_LATE: Final = 0.1
"""Seconds past its timeout by which a subscription is there, or has failed."""

_KEPT: Final = "log."
"""How topics with a history begin."""


def _nothing_is_made_up(history: History) -> Iterator[str]:
    """Nobody sees what nobody published there before, or what the error said was not published."""
    sent = {one.id: one for one in history.publishes}
    for reader in history.readers:
        for sight in reader.sights:
            one = sent.get(sight.id)
            if one is None or one.topic != sight.topic or one.began > sight.at:
                yield f"{reader} saw {sight.id} of {sight.topic}, which nobody had published"
            elif one.denied:
                yield f"{reader} saw {one}, of which its publisher heard that it was not published"
            elif not matches(reader.plan.pattern, sight.topic):
                yield f"{reader} saw {one}, which it has not subscribed to"


def _places_are_unique(history: History) -> Iterator[str]:
    """A place means one message, and a message has one place; with a key, one in each epoch."""
    sent = {one.id: one for one in history.publishes}
    claims = [(one.topic, one.id, one.place) for one in history.publishes if one.place]
    claims += [
        (sight.topic, sight.id, sight.place)
        for reader in history.readers
        for sight in reader.sights
        if sight.place and sight.id in sent
    ]
    messages: dict[tuple[str, Place], tuple[int, int]] = {}
    places: dict[tuple[tuple[int, int], str], Place] = {}
    for topic, id_, place in dict.fromkeys(claims):
        if messages.setdefault((topic, place), id_) != id_:
            yield f"{place} of {topic} is {messages[topic, place]}, and {id_} as well"
        epoch = place[0] if sent[id_].keyed else ""
        if places.setdefault((id_, epoch), place) != place:
            yield f"{sent[id_]} stands at {places[id_, epoch]}, and at {place} as well"


def _each_is_seen_once(history: History) -> Iterator[str]:
    """No reader sees a message twice; one with a key not from the same history."""
    keyed = {one.id for one in history.publishes if one.keyed}
    for reader in history.readers:
        seen = Counter(
            (sight.id, sight.place[0] if sight.place and sight.id in keyed else "")
            for sight in reader.sights
            if sight.place or sight.id not in keyed
        )
        for (id_, _), times in seen.items():
            if times > 1:
                yield f"{reader} saw {id_} {times} times"


def _order_is_kept(history: History) -> Iterator[str]:
    """Offsets only grow; without them, what was acknowledged comes before what began later."""
    sent = {one.id: one for one in history.publishes if not one.keyed}
    for reader in history.readers:
        highest: dict[tuple[str, str], int] = {}
        begun: dict[str, Publish] = {}  # of each topic without offsets, the latest seen
        for sight in reader.sights:
            if sight.place is not None:
                epoch, offset = sight.place
                if offset <= highest.get((sight.topic, epoch), 0):
                    yield f"{reader} saw {sight.place} of {sight.topic} after a later one"
                highest[sight.topic, epoch] = offset
            elif (one := sent.get(sight.id)) is not None:
                last = begun.setdefault(sight.topic, one)
                if one.acknowledged is not None and one.acknowledged < last.began:
                    yield f"{reader} saw {one} after {last}"
                begun[sight.topic] = max(one, last, key=lambda each: each.began)


def _holes_are_told(history: History) -> Iterator[str]:
    """Between two messages of a topic nothing is missing but what gaps have told of.

    The first message stands behind where the server said that the subscription begins.
    """
    for reader in history.readers:
        for before, sight, untold, _ in _steps(reader):
            assert sight.place is not None
            if before[0] != sight.place[0]:
                yield f"{reader} went from {before} to {sight.place} and was told nothing"
            elif untold:
                yield f"{reader} went from {before} to {sight.place}, told of {sight.gap}"


def _gaps_are_true(history: History) -> Iterator[str]:
    """Nobody is told of more missing messages of one topic than do not come.

    Of a pattern it may be: what was told before a message of another topic can still come.
    """
    for reader in history.readers:
        for before, sight, _, left in _steps(reader):
            if left and sight.topic == reader.plan.pattern:
                yield f"{reader} went from {before} to {sight.place}, told of {left} too many"


def _steps(reader: Reader) -> Iterator[tuple[Place, Sight, int, int]]:
    """Return each way from one message of a topic to the next, unless nobody knows what is between.

    With it go how many messages are missing that no gap has told of, and how many more were told
    of than are missing.
    """
    stand, unsure = dict(reader.places), False
    told: Counter[str] = Counter()
    for sight in reader.sights:
        if sight.gap is not None and sight.gap.dropped is None:
            stand, unsure = {}, True  # it may go on anywhere
            told.clear()
        elif sight.gap is not None:
            told.update(sight.gap.topics)
        if sight.place is None:
            continue
        epoch, offset = sight.place
        before = stand.get(sight.topic, None if unsure else (epoch, 0))
        stand[sight.topic] = sight.place
        if before is None:
            continue
        untold = _untold(told, sight.topic, offset - before[1] - 1)
        yield before, sight, untold, told[sight.topic]


def _untold(told: Counter[str], topic: str, missing: int) -> int:
    """Take missing messages off those that gaps have told of; return for how many there was none."""
    missing = max(missing, 0)
    for name in (topic, ""):
        taken = min(told[name], missing)
        told[name] -= taken
        missing -= taken
    return missing


def _unrecovered_is_told(history: History) -> Iterator[str]:
    """Whoever was subscribed again without what it missed is told so before the next message."""
    for reader in history.readers:
        unknown = [one for one in reader.sights if one.gap is not None and one.gap.dropped is None]
        lost = [at for at, recovered in reader.resumes if not recovered]
        if unknown and not lost:
            yield f"{reader} was told of a loss, and was never away"
        if len(unknown) > len(lost):
            yield f"{reader} was told of {len(unknown)} losses, and was lost {len(lost)} times"
        behind = [one for one in reader.sights if lost and one.id[0] == -1 and one.at > lost[-1]]
        if behind and not any(one.at >= lost[0] for one in unknown):
            yield f"{reader} was lost at {lost[0]:.3f}, and was not told before {behind[0].id}"


def _recoverable_is_recovered(history: History) -> Iterator[str]:
    """Nobody is told of a loss who is given the next message of the same history, within the window.

    Judged where that happened once, so that it is known where the reader stood.
    """
    for reader in history.readers:
        lost = [at for at, recovered in reader.resumes if not recovered]
        gaps = [n for n, sight in enumerate(reader.sights) if _is_unknown(sight)]
        if len(lost) != 1 or len(gaps) != 1 or not reader.plan.pattern.startswith(_KEPT):
            continue
        stand = dict(reader.places)
        stand |= {one.topic: one.place for one in reader.sights[: gaps[0]] if one.place}
        after: dict[str, Place] = {}
        for sight in reader.sights[gaps[0] :]:
            if sight.place is not None:
                after.setdefault(sight.topic, sight.place)
        within = [
            after[topic][0] == place[0] and after[topic][1] - place[1] - 1 <= history.scenario.kept
            for topic, place in stand.items()
            if topic in after
        ]
        if after and len(within) == len(after) and all(within):
            yield f"{reader} was not given what follows {stand}, and it was still there"


def _is_unknown(sight: Sight) -> bool:
    return sight.gap is not None and sight.gap.dropped is None


def _beginnings_are_right(history: History) -> Iterator[str]:
    """A subscription begins where it asked to, as far as the window allows.

    What is acknowledged before it is entered is behind it if it asked for nothing, and is given if
    it asked for the past. What it came back from is where it goes on.
    """
    for reader in history.readers:
        if reader.opened is None or reader.recovered is None:
            continue
        if isinstance(reader.since, dict):
            yield from _came_back(reader, reader.since)
            continue
        if not reader.recovered:
            yield f"{reader} asked for {reader.since}, and is said to miss something"
        kept = history.scenario.kept
        wanted = reader.since if isinstance(reader.since, int) else kept if reader.since else 0
        for topic, (epoch, base) in reader.places.items():
            before = _highest(history, topic, epoch, acknowledged=reader.began)
            until = _highest(history, topic, epoch, begun=reader.opened)
            until += _in_doubt(history, topic, epoch, reader.opened)
            given = min(wanted, kept)
            if not max(0, before - given) <= base <= max(0, until - given):
                yield f"{reader} begins behind {base} of {topic}, where {before} were published"


def _came_back(reader: Reader, since: dict[str, Place]) -> Iterator[str]:
    if reader.recovered and any(reader.places.get(topic) != since[topic] for topic in since):
        yield f"{reader} came back from {since}, and goes on from {reader.places}"


def _highest(
    history: History, topic: str, epoch: str, *, acknowledged: float = inf, begun: float = inf
) -> int:
    """Return the highest offset of a topic that was published by then, as far as is known."""
    places = {sight.id: sight.place for reader in history.readers for sight in reader.sights} | {
        one.id: one.place for one in history.publishes if one.place
    }
    counted = [
        places[one.id]
        for one in history.publishes
        if one.topic == topic and one.id in places and one.began <= begun
        if acknowledged == inf or (one.acknowledged or inf) <= acknowledged
    ]
    return max((place[1] for place in counted if place and place[0] == epoch), default=0)


def _in_doubt(history: History, topic: str, epoch: str, begun: float) -> int:
    """Return how many messages may be in a topic besides those of which that is known.

    One with a key may have been taken by two servers, of which only one could say so.
    """
    return sum(
        one.place is None or (one.keyed and one.place[0] != epoch)
        for one in history.publishes
        if one.topic == topic and one.began <= begun
    )


def _nothing_is_skipped(history: History) -> Iterator[str]:
    """Whoever was never away and told of no gap sees all, also where there are no offsets."""
    for reader in history.readers:
        disturbed = reader.resumes or any(sight.gap for sight in reader.sights)
        if disturbed or reader.opened is None or history.scenario.servers > 1:
            continue
        seen = {sight.id for sight in reader.sights}
        last = {one.topic: one.began for one in history.finale if one.id in seen}
        for one in history.publishes:
            before = (one.acknowledged or inf) < last.get(one.topic, 0.0)
            if one.began > reader.opened and before and one.id not in seen:
                yield f"{reader} was not given {one}, which was acknowledged"


def _calm_is_quiet(history: History) -> Iterator[str]:
    """Where nothing goes wrong, nobody is subscribed again, but for being too slow."""
    for reader in history.readers if not history.troubles else ():
        if reader.resumes and reader.plan.policy not in {None, "disconnect"}:
            yield f"{reader} was subscribed again, and nothing had gone wrong"


def _readers_are_served(history: History) -> Iterator[str]:
    """At the end everybody who reads is given what is published, of each topic."""
    finale = {one.id: one for one in history.finale}
    for reader in history.readers:
        if reader.outcome != "over":
            continue
        seen = {finale[sight.id].topic for sight in reader.sights if sight.id in finale}
        topics = {one.topic for one in history.finale if matches(reader.plan.pattern, one.topic)}
        if topics - seen:
            yield f"{reader} was given nothing of {sorted(topics - seen)} at the end"


def _subscriptions_last(history: History) -> Iterator[str]:
    """A subscription is confirmed or fails in time, and ends when it is left, or its client is."""
    gone = {trouble.client for trouble in history.troubles if trouble.name == "leave"}
    for reader in history.readers:
        opened = reader.ended if reader.opened is None else reader.opened
        due = reader.began + reader.plan.timeout + _LATE
        if reader.outcome != "over" and (opened is None or opened > due):
            yield f"{reader} was entered at {reader.began:.3f}, confirmed or not at {opened}"
        if reader.outcome == "untyped":
            yield f"{reader} raised {reader.error}"
        lasts = reader.opened is not None and reader.plan.client not in gone
        if reader.outcome == "error" and lasts:
            yield f"{reader} ended: {reader.error}"


RULES: Final[dict[str, Callable[[History], Iterator[str]]]] = {
    "P3 made up": _nothing_is_made_up,
    "P3 places": _places_are_unique,
    "P3 once": _each_is_seen_once,
    "P3 order": _order_is_kept,
    "P3 holes": _holes_are_told,
    "P3 gaps": _gaps_are_true,
    "P3 told": _unrecovered_is_told,
    "P3 window": _recoverable_is_recovered,
    "P3 beginning": _beginnings_are_right,
    "P3 skipped": _nothing_is_skipped,
    "P3 calm": _calm_is_quiet,
    "P3 served": _readers_are_served,
    "P3 lasting": _subscriptions_last,
}
"""Each rule under the name that its sentences begin with."""
