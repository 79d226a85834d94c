"""What a history must show of the states that clients tell (P4): none is silent, none is made up.

The truth is the schedule of faults: while nothing can reach a client from any of its servers, it
must not say that all is well, and where nothing goes wrong, it must not say anything else.

Spec: protocol.md, "What can be observed".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise, product
from typing import TYPE_CHECKING, Final

from framerpc.connection.liveness import SILENT_CLOSE
from tests.simulation.faults import LONGEST_DELAY

if TYPE_CHECKING:
    from tests.simulation.history import History

__all__ = ["RULES"]

_SLACK: Final = 0.05
"""Seconds: the shortest time from degraded to down is three times as long."""

_AFTERMATH: Final = 3.0
"""Seconds for which a trouble that is over may still be felt."""

_SILENT: Final = frozenset({"drop", "half_open_down", "vanish"})
"""Troubles in which nothing arrives from the server; nor while it is frozen, but its host lives."""

_SLOWING: Final = frozenset({"delay", "slow", "byte_by_byte"})
"""Troubles in which it takes long until what was sent arrives."""

_CONNECTED: Final = frozenset({"ready", "degraded"})

_RESET: Final = frozenset({"cut", "kill"})
"""Troubles in which the connection is reset, so that both ends know."""


def _silence_is_noticed(history: History) -> Iterator[str]:
    """A client that nothing reaches is soon not ready, and then not connected."""
    overdue, down = _overdue(history), _down(history)
    for number in history.states:
        for names, limit, excluded in (
            (_SILENT | {"freeze"}, overdue, {"ready"}),
            (_SILENT, down, {"ready", "degraded"}),
        ):
            for began, ended in _silences(history, number, names):
                since = began + limit + _under_way(history, began)
                told = _told_within(history, number, since, ended)
                if since < ended and told & excluded:
                    yield (
                        f"client {number} was {'/'.join(sorted(told & excluded))} after "
                        f"{since:.3f}, and nothing could reach it from {began:.3f} to {ended:.3f}"
                    )


def _resets_are_noticed(history: History) -> Iterator[str]:
    """A client whose only connection is reset says at once that it is connecting."""
    for trouble in history.troubles:
        for number, plan in enumerate(history.scenario.clients):
            hit = trouble.name in _RESET and plan.servers == (trouble.server,)
            hit = hit or (trouble.name == "disconnect" and trouble.client == number)
            if not hit or _state_before(history, number, trouble.began) not in _CONNECTED:
                continue
            told = _told_within(
                history, number, trouble.began, trouble.began + _SLACK + LONGEST_DELAY
            )
            if not told & {"connecting", "closed"}:
                yield f"client {number} felt a {trouble.name} at {trouble.began:.3f}: {told}"


def _alarms_are_true(history: History) -> Iterator[str]:
    """A client that was ready says something else only if something went wrong with a server."""
    reach = _down(history) + _AFTERMATH
    for number, told in history.states.items():
        servers = history.scenario.clients[number].servers
        for (_, before), (at, state) in pairwise(told):
            if before != "ready" or at >= history.closing:
                continue
            felt = any(
                (trouble.server in servers or trouble.client == number)
                and trouble.began <= at
                and (trouble.ended is None or at <= trouble.ended + reach)
                for trouble in history.troubles
            )
            if not felt:
                yield f"client {number} became {state} at {at:.3f}, and nothing had gone wrong"


def _service_is_told(history: History) -> Iterator[str]:
    """A client that is being served says so, and at the end all are ready."""
    for number, when in history.returned.items():
        if when is None:
            continue
        told = _told_within(history, number, when, when)
        if not told & _CONNECTED:
            yield f"client {number} was served at {when:.3f} and said that it is {told}"
        last = _state_before(history, number, history.closing)
        if last != "ready" and not history.scenario.crowded:
            yield f"client {number} was {last} at the end, when all was well"


def _each_is_new(history: History) -> Iterator[str]:
    """No state is told twice in a row, and nothing comes behind the end."""
    for number, told in history.states.items():
        for (_, before), (at, state) in pairwise(told):
            if before in {state, "closed"}:
                yield f"client {number} went from {before} to {state} at {at:.3f}"


RULES: Final[dict[str, Callable[[History], Iterator[str]]]] = {
    "P4 silence": _silence_is_noticed,
    "P4 resets": _resets_are_noticed,
    "P4 alarms": _alarms_are_true,
    "P4 service": _service_is_told,
    "P4 states": _each_is_new,
}
"""Each rule under the name that its sentences begin with."""


def _overdue(history: History) -> float:
    """Return the seconds of silence after which a client is degraded, as in protocol.md."""
    interval = history.scenario.interval
    return interval + min(history.scenario.patience, interval) / 2


def _down(history: History) -> float:
    """Return the seconds of silence after which a client is connecting.

    What is given up may take a moment more to close, if much was still to be written.
    """
    interval = history.scenario.interval
    return interval + min(history.scenario.patience, interval) + SILENT_CLOSE


def _under_way(history: History, began: float) -> float:
    """Return the seconds in which something may still arrive that was sent before."""
    slowed = any(
        trouble.name in _SLOWING
        and trouble.began <= began
        and (trouble.ended is None or trouble.ended + _AFTERMATH >= began)
        for trouble in history.troubles
    )
    return _SLACK + (_AFTERMATH if slowed else 0.0)


def _silences(
    history: History, number: int, names: frozenset[str]
) -> Iterator[tuple[float, float]]:
    """Yield the times in which each server of a client suffered one of these troubles."""
    each = [
        [
            (trouble.began, history.healed if trouble.ended is None else trouble.ended)
            for trouble in history.troubles
            if trouble.name in names and trouble.server == server
        ]
        for server in history.scenario.clients[number].servers
    ]
    for together in product(*each):
        began, ended = max(one[0] for one in together), min(one[1] for one in together)
        if began < ended:
            yield began, ended


def _state_before(history: History, number: int, when: float) -> str:
    """Return the last state that a client had told before."""
    return [state for at, state in history.states[number] if at < when or not at][-1]


def _told_within(history: History, number: int, since: float, until: float) -> set[str]:
    """Return the states that a client was in, at any time between two."""
    told = {state for at, state in history.states[number] if at == since or since < at < until}
    return told | {_state_before(history, number, since)}
