"""Which promises a history breaks: a list of rules, each from a history to sentences about it.

Here are the promises P1, P2, P5 and P6, and what else can be told of calls from a history alone;
P3 is in `delivery`, and P4 in `states`. A rule demands only what follows for sure, so that each
sentence is a bug, in the product or in the simulation. A further promise is a further rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from tests.simulation import delivery, states

if TYPE_CHECKING:
    from tests.simulation.history import Call, Execution, History, Stop
    from tests.simulation.scenario import CallPlan

__all__ = ["RULES", "check"]

_LATE: Final = 0.1
"""Seconds past its deadline by which every call has ended (P1)."""

_ROUNDING: Final = 1e-6
"""Seconds: times are sums of floats."""

_AFTERMATH: Final = 3.0
"""Seconds for which a trouble that is over may still be felt: what was delayed arrives, a
handshake that it held up times out."""

_DOWN: Final = frozenset({"down", "resume", "both"})
_UP: Final = frozenset({"up", "both"})
"""Deeds whose result, or whose argument, is a stream."""


def check(history: History) -> list[str]:
    """Return what is wrong, one sentence each; nothing if all promises were kept."""
    rules = RULES | delivery.RULES | states.RULES
    return [f"{name}: {wrong}" for name, rule in rules.items() for wrong in rule(history)]


def _ends_in_time(history: History) -> Iterator[str]:
    """Every call ends, by its deadline and 100 ms; one that is given up ends at once."""
    for call in history.calls:
        if call.ended is None:
            yield f"{call} never ended"
            continue
        for what, when in (("was due", call.deadline), ("was given up", call.cancelled)):
            if when is not None and call.ended > when + _LATE + _ROUNDING:
                yield f"{call} {what} at {when:.3f} and ended at {call.ended:.3f}"


def _ends_well_or_typed(history: History) -> Iterator[str]:
    """A call ends with its result, with an error of framerpc's, or because it was given up."""
    for call in history.calls:
        if call.outcome == "untyped":
            yield f"{call} raised {call.error}"
        elif call.outcome == "cancelled" and call.cancelled is None and call.ended is not None:
            yield f"{call} was cancelled, and not by its caller"


def _at_most_once(history: History) -> Iterator[str]:
    """What is not idempotent is executed at most once."""
    times = Counter(one.call for one in history.executions)
    for call in history.calls:
        if not call.idempotent and times[call.id] > 1:
            yield f"{call} is not idempotent, and was executed {times[call.id]} times"


def _claims_are_true(history: History) -> Iterator[str]:
    """What an error says of the work is so: "no" for ever, "yes" from the start."""
    for call in history.calls:
        ran = history.executions_of(call)
        if call.executed == "no" and ran:
            yield f"{call} claims executed=no, and execution {ran[0].id} began"
        if (
            call.executed == "yes"
            and not call.plan.topic
            and not any(_is_before(one.began, call.ended) for one in ran)
        ):
            yield f"{call} claims executed=yes, and nothing was executed"


def _answers_are_ones_own(history: History) -> Iterator[str]:
    """A result is that of an execution of this very call, which came to its end before."""
    for call in history.calls:
        receipt = call.receipt
        if call.plan.topic:
            continue  # a message: see `delivery`
        if receipt is None:
            if call.outcome == "ok" and (call.items or call.plan.deed not in _DOWN):
                yield f"{call} has no execution behind its result"
            continue
        one = history.executions[receipt]
        if one.call != call.id:
            yield f"{call} was given the result of call {one.call}"
        elif call.plan.deed == "resume":
            continue  # the last item may be of an execution that was cut, and the end of another
        elif call.outcome == "ok" and one.how != "returned":
            yield f"{call} has a result of execution {one.id}, which {one.how}"
        elif call.outcome == "ok" and not _is_before(one.ended, call.ended):
            yield f"{call} has a result of execution {one.id} before that ended"


def _streams_are_whole(history: History) -> Iterator[str]:
    """Items come in order, none is missing or repeated, and a stream that ended is complete."""
    for call in history.calls:
        ran = history.executions_of(call)
        if call.items != list(range(len(call.items))):
            yield f"{call} was given the items {call.items}"
        for one in ran:
            if one.items != call.sent[: len(one.items)]:
                yield f"{call} uploaded {call.sent}, and {one.items} arrived"
            if one.whole and one.items != call.sent:
                yield f"{call} uploaded {len(call.sent)} items, {len(one.items)} count as all"
        if call.outcome == "ok":
            items = call.plan.items
            if call.plan.deed in _DOWN and len(call.items) != items:
                yield f"{call} ended after {len(call.items)} of {items} items"
            if call.plan.deed in _UP and not any(one.whole for one in ran):
                yield f"{call} has a result, and its upload never came to an end"


def _retries_stay_within_budget(history: History) -> Iterator[str]:
    """A client's retries stay below its floor and its share, and each call's below its stop."""
    for number, plan in enumerate(history.scenario.clients):
        calls = [call for call in history.calls if call.plan.client == number]
        retries = sum(call.retries for call in calls)
        readers = [one for one in history.readers if one.plan.client == number]
        made = history.probes[number] + sum(map(_made, calls))
        made += sum(1 + len(one.resumes) for one in readers)
        allowed = plan.floor * (10 + history.ended) + plan.share * made
        if retries > allowed + _ROUNDING:
            yield f"client {number} made {retries} retries, {allowed:.1f} were allowed"
        for call in calls:
            if call.retries > (plan.attempts - 1) * _made(call):
                yield f"{call} was announced {call.retries} times, stop {plan.attempts}"


def _executions_are_accounted_for(history: History) -> Iterator[str]:
    """An execution beyond the first has a retry or a hedge behind it, and hedges their share."""
    for number, plan in enumerate(history.scenario.clients):
        calls = [call for call in history.calls if call.plan.client == number]
        hedged = 0
        for call in calls:
            if call.plan.deed == "resume":
                continue
            more = len(history.executions_of(call)) - 1 - call.retries
            if more > 0 and plan.hedge is None:
                yield f"{call} was executed {more} times more than it was sent"
            hedged += max(more, 0)
        made = history.probes[number] + sum(map(_made, calls))
        if plan.hedge is not None and hedged > plan.hedge_share * made + 1:
            yield f"client {number} hedged {hedged} of {len(calls)} calls"


def _answers_arrive(history: History) -> Iterator[str]:
    """What a server has answered over an undisturbed connection, its caller gets."""
    for one in history.executions:
        call = history.calls[one.call]
        if one.ended is None or one.how != "returned" or call.outcome in {"ok", "left"}:
            continue
        if not _undisturbed(history, one, call):
            continue
        if _ends_of_grace(history, one):
            continue
        yield f"{call} was answered by execution {one.id}, and ended otherwise"


def _nothing_runs_for_nobody(history: History) -> Iterator[str]:
    """What nobody waits for any more is stopped, where the server can be told."""
    for one in history.executions:
        call = history.calls[one.call]
        if call.ended is None or _felt(history, one, call, call.ended):
            continue
        if not _is_before(one.ended, call.ended + _LATE):
            yield f"execution {one.id} ran on after {call} had ended at {call.ended:.3f}"


def _once_survives(history: History) -> Iterator[str]:
    """A `once` call that was executed is answered, if its server stays and there is time."""
    for one in history.executions:
        call = history.calls[one.call]
        if call.plan.deed != "once" or one.how == "cancelled" or call.cancelled is not None:
            continue
        felt = [
            trouble
            for trouble in history.troubles
            if trouble.server in {None, one.server} and trouble.client in {None, call.plan.client}
        ]
        if any(trouble.name in _FATAL for trouble in felt):
            continue
        over = max((trouble.ended or 0.0 for trouble in felt), default=0.0)
        cap = history.scenario.clients[call.plan.client].cap
        needed = max(one.began, over) + call.plan.seconds + 2 * cap + _AFTERMATH
        late = call.deadline is not None and call.deadline < needed
        if not late and call.outcome != "ok" and call.executed != "yes":
            yield f"{call} was executed by a server that stayed, and ended: {call.error}"


def _drains_are_patient(history: History) -> Iterator[str]:
    """A server that drains cancels nothing within its grace."""
    for stop in history.stops:
        for one in history.executions:
            if (one.server, one.life) != (stop.server, stop.life) or one.ended is None:
                continue
            call = history.calls[one.call]
            within = stop.began <= one.ended < stop.began + stop.grace - _ROUNDING
            if not within or one.how != "cancelled" or stop.cut is not None:
                continue
            if call.outcome != "left" and _undisturbed(history, one, call):
                yield f"execution {one.id} of call {call.id} was cancelled by a drain, {stop}"


def _calm_is_served(history: History) -> Iterator[str]:
    """Where nothing goes wrong, no call fails that had the time, waiting for others included."""
    crowded = history.scenario.crowded
    for call in history.calls if not history.troubles else ():
        plan = call.plan
        before = [other.plan for other in history.calls if other.plan.client == plan.client]
        needed = sum(map(_duration, before if crowded else [plan]))
        had_time = plan.timeout is None or plan.timeout > needed + _LATE
        wanted = plan.cancel is None and plan.failures == 0
        early = crowded and call.error.startswith("ResourceExhausted")  # before the welcome
        if wanted and had_time and not early and call.outcome not in {"ok", "left"}:
            yield f"{call} failed, and nothing had gone wrong: {call.error}"


def _made(call: Call) -> int:
    """Return how many calls it was on the wire, sent once: each message is one."""
    return max(1, len(call.publishes))


def _duration(plan: CallPlan) -> float:
    return plan.seconds * max(1, plan.items)


def _service_returns(history: History) -> Iterator[str]:
    """After the last fault each client is served within twice its cap (P5)."""
    if history.scenario.crowded:
        return  # it may have to wait for calls of its own
    for number, when in history.returned.items():
        promised = 2 * history.scenario.clients[number].cap
        if when is None:
            yield f"client {number} was not served any more"
        elif when > history.healed + promised + _ROUNDING:
            late = when - history.healed
            yield f"client {number} was served again after {late:.3f} s, promised: {promised} s"


def _nothing_is_left(history: History) -> Iterator[str]:
    """At the end there is nothing left, and no method runs (P6)."""
    yield from history.left
    for one in history.executions:
        if not _is_before(one.ended, history.ended):
            yield f"execution {one.id} of call {one.call} runs on"


RULES: Final[dict[str, Callable[[History], Iterator[str]]]] = {
    "P1 in time": _ends_in_time,
    "P1 typed": _ends_well_or_typed,
    "P2 at most once": _at_most_once,
    "P2 claims": _claims_are_true,
    "P2 answers": _answers_are_ones_own,
    "P5 service returns": _service_returns,
    "P6 nothing left": _nothing_is_left,
    "streams": _streams_are_whole,
    "retries": _retries_stay_within_budget,
    "executions": _executions_are_accounted_for,
    "answers arrive": _answers_arrive,
    "stopping": _nothing_runs_for_nobody,
    "once": _once_survives,
    "drain": _drains_are_patient,
    "calm": _calm_is_served,
}
"""Each rule under the name that its sentences begin with."""


def _is_before(when: float | None, until: float | None) -> bool:
    return when is not None and until is not None and when <= until + _ROUNDING


def _undisturbed(history: History, one: Execution, call: Call) -> bool:
    """Return whether nothing but its server decided what became of an execution."""
    assert one.ended is not None
    plan = history.scenario.clients[call.plan.client]
    if plan.hedge is not None or call.cancelled is not None:
        return False
    if call.deadline is not None and call.deadline <= one.ended + _LATE:
        return False
    return not _felt(history, one, call, one.ended, but=_GENTLE)


def _felt(
    history: History, one: Execution, call: Call, until: float, but: frozenset[str] = frozenset()
) -> bool:
    """Return whether an execution, or its request, may have felt a trouble before `until`."""
    return any(
        trouble.name not in but
        and trouble.server in {None, one.server}
        and trouble.client in {None, call.plan.client}
        and trouble.began <= until + _LATE
        and (trouble.ended is None or trouble.ended + _AFTERMATH >= call.began)
        for trouble in history.troubles
    )


_FATAL: Final = frozenset({"stop", "overlap", "kill", "vanish", "leave"})
"""Troubles that end what a server or a client knows of its sessions."""

_GENTLE: Final = frozenset({"stop", "overlap"})
"""Troubles that cost no call that could be answered."""


def _ends_of_grace(history: History, one: Execution) -> bool:
    """Return whether it ended when the grace of its server did, or later: then it may be cut."""
    assert one.ended is not None
    ended = one.ended

    def is_over(stop: Stop) -> bool:
        same = (stop.server, stop.life) == (one.server, one.life)
        return same and (stop.cut is not None or ended >= stop.began + stop.grace - _LATE)

    return any(is_over(stop) for stop in history.stops)
