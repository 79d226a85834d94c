"""What is said of messages: a good history passes, and each rule refuses what it is there for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from framerpc import Gap
from tests.simulation import delivery
from tests.simulation.checker import check
from tests.simulation.history import Call, History, Publish, Reader, Sight, Trouble
from tests.simulation.scenario import ReadPlan
from tests.simulation.spoiling import complaints, each_of
from tests.simulation.test_checker import PLAN
from tests.simulation.test_checker import good as without_topics

READ = ReadPlan(
    at=1.0, client=0, pattern="log.a", since=None, policy="drop_oldest", max_queue=None, pause=0.0,
    patience=None, leaves=None, returns=None, timeout=1.0,
)  # fmt: skip
UNKNOWN = Gap(None)


def good() -> History:
    """Four messages with offsets, two without, and a reader of each topic, on a calm day."""
    history = without_topics()
    history.scenario = replace(history.scenario, readers=(READ,), kept=3)
    for topic, items in (("log.a", 4), ("live", 2)):
        plan = replace(PLAN, deed="publish", topic=topic, items=items)
        call = Call(
            id=len(history.calls), plan=plan, idempotent=False, began=1.0, deadline=4.0, ended=2.0,
            outcome="ok", whole=True,
        )  # fmt: skip
        history.calls.append(call)
        reader = Reader(
            id=len(history.readers), plan=replace(READ, pattern=topic), since=None, began=0.5,
            opened=0.5, recovered=True, ended=4.5, outcome="over",
        )  # fmt: skip
        history.readers.append(reader)
        messages = [_message(call.id, n, topic, 1.0 + 0.1 * n) for n in range(items)]
        call.publishes += messages
        last = _message(-1, items, topic, 3.0)
        history.finale.append(last)
        for one in [*messages, last]:
            sight = Sight(at=one.began, id=one.id, topic=topic, place=one.place)
            reader.sights.append(sight)
    history.readers[0].places = {"log.a": ("e", 0)}
    return history


def _message(call: int, n: int, topic: str, at: float) -> Publish:
    place = ("e", n + 1) if topic == "log.a" else None
    return Publish(id=(call, n), topic=topic, keyed=False, began=at, acknowledged=at, place=place)


def test_good_history_passes() -> None:
    """Where every promise was kept, nothing is said."""
    assert check(good()) == []


def _invented(history: History) -> None:
    history.readers[0].sights[0].id = (7, 7)


def _seen_too_early(history: History) -> None:
    history.readers[0].sights[0].at = 0.9


def _of_another_topic(history: History) -> None:
    history.readers[1].sights[0].topic = "log.b"


def _denied(history: History) -> None:
    history.calls[3].publishes[0].denied = True


def _not_subscribed(history: History) -> None:
    history.readers[0].plan = replace(READ, pattern="log.b")


def _one_place_for_two(history: History) -> None:
    history.calls[3].publishes[1].place = ("e", 1)


def _kept_twice(history: History) -> None:
    history.calls[3].publishes[1].place = ("e", 9)


def _kept_twice_with_key(history: History) -> None:
    _kept_twice(history)
    history.calls[3].publishes[1].keyed = True


def _repeated(history: History) -> None:
    history.readers[1].sights.insert(1, replace(history.readers[1].sights[0]))


def _recovered_twice(history: History) -> None:
    history.readers[0].sights.insert(4, replace(history.readers[0].sights[0]))


def _swapped(history: History) -> None:
    sights = history.readers[0].sights
    sights[0], sights[1] = sights[1], sights[0]


def _swapped_without_offsets(history: History) -> None:
    history.calls[4].publishes[0].acknowledged = 1.05
    sights = history.readers[1].sights
    sights[0], sights[1] = sights[1], sights[0]


def _hole(history: History) -> None:
    del history.readers[0].sights[1]


def _hole_at_the_beginning(history: History) -> None:
    del history.readers[0].sights[0]


def _hole_of_which_too_little_is_told(history: History) -> None:
    del history.readers[0].sights[1:3]
    history.readers[0].sights[1].gap = Gap(1, {"log.a": 1})


def _hole_of_which_too_much_is_told(history: History) -> None:
    del history.readers[0].sights[1]
    history.readers[0].sights[1].gap = Gap(2, {"log.a": 2})


def _another_epoch(history: History) -> None:
    history.readers[0].sights[-1].place = ("f", 1)


def _not_told(history: History) -> None:
    history.readers[0].resumes.append((2.0, False))


def _told_for_nothing(history: History) -> None:
    history.readers[0].sights[2].gap = UNKNOWN


def _told_too_often(history: History) -> None:
    history.readers[0].resumes.append((1.15, False))
    for sight in history.readers[0].sights[2:4]:
        sight.gap = UNKNOWN


def _given_up_too_early(history: History) -> None:
    history.readers[0].resumes.append((1.15, False))
    history.readers[0].sights[3].gap = UNKNOWN
    del history.readers[0].sights[2]


def _window_cut_short(history: History) -> None:
    history.readers[0].since, history.readers[0].began = "start", 1.35
    history.readers[0].opened, history.readers[0].places = 1.35, {"log.a": ("e", 3)}


def _old_ones_unasked_for(history: History) -> None:
    history.readers[0].began = history.readers[0].opened = 1.15


def _start_not_recovered(history: History) -> None:
    history.readers[0].recovered = False


def _came_back_elsewhere(history: History) -> None:
    history.readers[0].since = {"log.a": ("e", 2)}


def _skipped(history: History) -> None:
    del history.readers[1].sights[1]


def _again_for_nothing(history: History) -> None:
    history.readers[0].resumes.append((2.0, True))


def _deaf(history: History) -> None:
    del history.readers[1].sights[-1]


def _confirmed_late(history: History) -> None:
    history.readers[0].opened, history.readers[0].outcome = 1.7, "left"


def _ended_by_itself(history: History) -> None:
    history.readers[0].outcome, history.readers[0].error = "error", "Unavailable()"


def _untyped(history: History) -> None:
    history.readers[0].outcome = "untyped"


WRONG: dict[str, tuple[Callable[[History], None], ...]] = {
    "P3 made up": (_invented, _seen_too_early, _of_another_topic, _denied, _not_subscribed),
    "P3 places": (_one_place_for_two, _kept_twice, _kept_twice_with_key),
    "P3 once": (_repeated, _recovered_twice),
    "P3 order": (_swapped, _swapped_without_offsets),
    "P3 holes": (_hole, _hole_at_the_beginning, _hole_of_which_too_little_is_told, _another_epoch),
    "P3 gaps": (_hole_of_which_too_much_is_told,),
    "P3 told": (_not_told, _told_for_nothing, _told_too_often),
    "P3 window": (_given_up_too_early,),
    "P3 beginning": (
        _window_cut_short, _old_ones_unasked_for, _start_not_recovered, _came_back_elsewhere,
    ),
    "P3 skipped": (_skipped,),
    "P3 calm": (_again_for_nothing,),
    "P3 served": (_deaf,),
    "P3 lasting": (_confirmed_late, _ended_by_itself, _untyped),
}  # fmt: skip


def test_every_rule_is_tested() -> None:
    """No rule stands in the list that has not refused anything yet."""
    assert list(WRONG) == list(delivery.RULES)


@each_of(WRONG)
def test_broken_promise_is_found(rule: str, spoil: Callable[[History], None]) -> None:
    """Of a history with one thing wrong, the rule for it says so."""
    assert complaints(rule, good(), spoil)


def test_gap_excuses_what_it_tells_of() -> None:
    """A slow reader may miss as many messages as it was told of."""
    history = good()
    del history.readers[0].sights[1:3]
    history.readers[0].sights[1].gap = Gap(2, {"log.a": 2})
    assert check(history) == []


def test_loss_beyond_the_window_is_excused() -> None:
    """A reader that was away may miss what the topic did not keep, if it is told."""
    history = good()
    history.scenario = replace(history.scenario, kept=1)
    history.troubles.append(Trouble(name="cut", server=0, client=None, began=1.05, ended=1.05))
    history.states[0] += [(1.05, "connecting"), (1.06, "ready")]
    history.readers[0].resumes.append((1.25, False))
    del history.readers[0].sights[1:3]
    history.readers[0].sights[1].gap = UNKNOWN
    assert check(history) == []
