"""What is said of states: a good history passes, and each rule refuses what it is there for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tests.simulation import states
from tests.simulation.checker import check
from tests.simulation.history import History, Trouble
from tests.simulation.spoiling import complaints, each_of
from tests.simulation.test_checker import good as calm


def good() -> History:
    """A link that falls silent for long enough, and a connection that is reset."""
    history = calm()
    history.healed, history.returned, history.closing = 23.0, {0: 23.5}, 29.0
    history.ended = 30.0
    history.troubles += [
        Trouble(name="drop", server=0, client=None, began=10.0, ended=20.0),
        Trouble(name="cut", server=0, client=None, began=22.0, ended=22.0),
    ]
    history.states = {
        0: [
            (0.0, "connecting"), (0.5, "ready"), (11.5, "degraded"), (12.0, "connecting"),
            (20.0, "ready"), (22.0, "connecting"), (22.1, "ready"), (29.0, "closed"),
        ]
    }  # fmt: skip
    return history


def test_good_history_passes() -> None:
    """Where each state was told in time, nothing is said."""
    assert check(good()) == []


def _silent(history: History) -> None:
    del history.states[0][2:5]


def _degraded_late(history: History) -> None:
    history.states[0][2] = 11.6, "degraded"


def _never_down(history: History) -> None:
    del history.states[0][3]


def _frozen_and_ready(history: History) -> None:
    _silent(history)
    history.troubles[0].name = "freeze"


def _reset_untold(history: History) -> None:
    del history.states[0][5:7]


def _false_alarm(history: History) -> None:
    history.states[0][2:2] = [(5.0, "degraded"), (5.1, "ready")]


def _served_and_untold(history: History) -> None:
    history.states[0][6] = 23.6, "ready"


def _never_ready_again(history: History) -> None:
    history.states[0][6] = 22.1, "degraded"


def _told_twice(history: History) -> None:
    history.states[0].insert(2, (0.6, "ready"))


def _risen(history: History) -> None:
    history.states[0].append((29.0, "connecting"))


WRONG: dict[str, tuple[Callable[[History], None], ...]] = {
    "P4 silence": (_silent, _degraded_late, _never_down, _frozen_and_ready),
    "P4 resets": (_reset_untold,),
    "P4 alarms": (_false_alarm,),
    "P4 service": (_served_and_untold, _never_ready_again),
    "P4 states": (_told_twice, _risen),
}


def test_every_rule_is_tested() -> None:
    """No rule stands in the list that has not refused anything yet."""
    assert list(WRONG) == list(states.RULES)


@each_of(WRONG)
def test_broken_promise_is_found(rule: str, spoil: Callable[[History], None]) -> None:
    """Of a history with one thing wrong, the rule for it says so."""
    assert complaints(rule, good(), spoil)


def test_busy_is_not_down() -> None:
    """A client whose server is frozen may stay degraded for as long as that lasts."""
    history = good()
    _never_down(history)
    history.troubles[0].name = "freeze"
    assert check(history) == []


def test_second_server_keeps_a_client_ready() -> None:
    """While another of its servers can be reached, a client may say that all is well."""
    history = good()
    (client,) = history.scenario.clients
    clients = (replace(client, servers=(0, 1)),)
    history.scenario = replace(history.scenario, clients=clients, servers=2)
    history.states[0] = [(0.0, "connecting"), (0.5, "ready"), (29.0, "closed")]
    assert check(history) == []
