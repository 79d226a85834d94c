"""The checker: a good history passes, and each rule refuses what it is there for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.simulation.checker import RULES, check
from tests.simulation.history import Call, Execution, History, Stop, Trouble
from tests.simulation.scenario import CallPlan, ClientPlan, Scenario
from tests.simulation.spoiling import complaints, each_of

CLIENT = ClientPlan(
    servers=(0,), balance="random", cap=1.0, attempts=2, share=0.0, floor=0.0, hedge=None,
    hedge_share=0.0, intercepted=False,
)  # fmt: skip
PLAN = CallPlan(
    at=1.0, client=0, deed="write", timeout=1.0, seconds=0.5, items=0, size=0, failures=0,
    cancel=None, leave=None, key="k",
)  # fmt: skip
STREAM = replace(PLAN, deed="both", timeout=None, items=3)


def good() -> History:
    """Two single calls and a stream in both directions, on a calm day."""
    plans = (PLAN, replace(PLAN, deed="read"), STREAM)
    scenario = Scenario(seed=0, servers=1, clients=(CLIENT,), calls=plans, faults=())
    calls = [
        Call(
            id=number, plan=plan, idempotent=plan.deed == "read", began=1.0,
            deadline=None if plan.timeout is None else 2.0,
            ended=1.5, outcome="ok", receipt=number, whole=True,
        )
        for number, plan in enumerate(plans)
    ]  # fmt: skip
    executions = [
        Execution(
            id=number, call=number, server=0, life=1, attempt=1, began=1.0, ended=1.5,
            how="returned", whole=True,
        )
        for number in range(len(plans))
    ]  # fmt: skip
    calls[2].items, calls[2].sent, executions[2].items = [0, 1, 2], [0, 1, 2], [0, 1, 2]
    return History(
        scenario=scenario, calls=calls, executions=executions, healed=3.0, returned={0: 3.5},
        closing=4.5, ended=5.0, states={0: [(0.0, "connecting"), (0.5, "ready")]},
    )  # fmt: skip


def failed(history: History, number: int, executed: str = "maybe") -> Call:
    """Let a call end with an error."""
    call = history.calls[number]
    call.outcome, call.receipt, call.executed = "error", None, executed  # type: ignore[assignment]
    return call


def again(history: History, number: int) -> Execution:
    """Let a call be executed once more."""
    one = replace(history.executions[number], id=len(history.executions), items=[])
    history.executions.append(one)
    return one


def test_good_history_passes() -> None:
    """Where every promise was kept, nothing is said."""
    assert check(good()) == []


def _late(history: History) -> None:
    history.calls[0].ended = 2.11


def _late_by_a_little(history: History) -> None:
    history.calls[0].ended = 2.1


def _unending(history: History) -> None:
    history.calls[0].ended = history.calls[0].outcome = None


def _deaf(history: History) -> None:
    history.calls[0].cancelled, history.calls[0].ended = 1.2, 1.4


def _untyped(history: History) -> None:
    failed(history, 0).outcome = "untyped"


def _cancelled_by_nobody(history: History) -> None:
    history.calls[0].outcome = "cancelled"


def _twice(history: History) -> None:
    again(history, 0)
    history.calls[0].retries = 1


def _denied(history: History) -> None:
    failed(history, 0, "no")


def _claimed(history: History) -> None:
    failed(history, 0, "yes")
    history.executions[0].call = 1


def _claimed_early(history: History) -> None:
    failed(history, 0, "yes")
    history.executions[0].began = 1.6


def _misdelivered(history: History) -> None:
    history.calls[0].receipt, history.calls[1].receipt = 1, 0


def _invented(history: History) -> None:
    history.calls[0].receipt = None


def _cancelled_and_answered(history: History) -> None:
    history.executions[0].how = "cancelled"


def _answered_before(history: History) -> None:
    history.executions[0].ended = 1.6


def _abandoned(history: History) -> None:
    history.returned[0] = None


def _slow_to_return(history: History) -> None:
    history.returned[0] = 5.1


def _left(history: History) -> None:
    history.left.append("a task")


def _running_on(history: History) -> None:
    history.executions[0].ended = None
    failed(history, 0)


def _gap(history: History) -> None:
    history.calls[2].items = [0, 2, 3]


def _repeated(history: History) -> None:
    history.calls[2].items = [0, 1, 1]


def _swapped(history: History) -> None:
    history.executions[2].items = [0, 2, 1]


def _cut_short(history: History) -> None:
    history.calls[2].items = [0, 1]


def _upload_cut_short(history: History) -> None:
    history.executions[2].items = [0, 1]


def _without_an_end(history: History) -> None:
    history.executions[2].whole = False


def _over_budget(history: History) -> None:
    history.calls[1].retries = 1


def _beyond_stop(history: History) -> None:
    client = replace(CLIENT, floor=10.0)
    history.scenario = replace(history.scenario, clients=(client,))
    history.calls[1].retries = 2


def _out_of_nowhere(history: History) -> None:
    again(history, 1)


def _over_share(history: History) -> None:
    client = replace(CLIENT, hedge=0.1, hedge_share=0.1)
    history.scenario = replace(history.scenario, clients=(client,))
    again(history, 1)
    again(history, 1)


def _lost_answer(history: History) -> None:
    failed(history, 0)
    history.troubles.append(Trouble(name="stop", server=0, client=None, began=1.2, ended=1.5))


def _for_nobody(history: History) -> None:
    failed(history, 0)
    history.executions[0].ended = 1.7


def _once_forgotten(history: History) -> None:
    failed(history, 0).plan = replace(PLAN, deed="once")
    history.calls[0].deadline = None
    history.executions[0].how = "raised"


def _impatient(history: History) -> None:
    failed(history, 0)
    history.executions[0].how = "cancelled"
    history.executions[0].ended = 1.3
    history.stops.append(Stop(server=0, life=1, began=1.2, grace=1.0))
    history.troubles.append(Trouble(name="stop", server=0, client=None, began=1.2, ended=1.3))


def _failed_for_nothing(history: History) -> None:
    failed(history, 0)
    history.executions[0].how = "raised"


WRONG: dict[str, tuple[Callable[[History], None], ...]] = {
    "P1 in time": (_late, _unending, _deaf),
    "P1 typed": (_untyped, _cancelled_by_nobody),
    "P2 at most once": (_twice,),
    "P2 claims": (_denied, _claimed, _claimed_early),
    "P2 answers": (_misdelivered, _invented, _cancelled_and_answered, _answered_before),
    "P5 service returns": (_abandoned, _slow_to_return),
    "P6 nothing left": (_left, _running_on),
    "streams": (_gap, _repeated, _swapped, _cut_short, _upload_cut_short, _without_an_end),
    "retries": (_over_budget, _beyond_stop),
    "executions": (_out_of_nowhere, _over_share),
    "answers arrive": (_lost_answer,),
    "stopping": (_for_nobody,),
    "once": (_once_forgotten,),
    "drain": (_impatient,),
    "calm": (_failed_for_nothing,),
}


def test_every_rule_is_tested() -> None:
    """No rule stands in the list that has not refused anything yet."""
    assert list(WRONG) == list(RULES)


@each_of(WRONG)
def test_broken_promise_is_found(rule: str, spoil: Callable[[History], None]) -> None:
    """Of a history with one thing wrong, the rule for it says so."""
    assert complaints(rule, good(), spoil)


def test_the_tolerance_is_what_is_promised() -> None:
    """A call that ends 100 ms after its deadline is in time."""
    history = good()
    _late_by_a_little(history)
    assert check(history) == []


@pytest.mark.parametrize("name", ["cut", "drop", "kill"])
def test_trouble_excuses_a_lost_call(name: str) -> None:
    """A call may fail whose server was disturbed, but not while another server was."""
    history = good()
    failed(history, 0)
    history.troubles.append(Trouble(name=name, server=0, client=None, began=1.2, ended=1.3))
    history.states[0] += [(1.2, "connecting"), (1.3, "ready")]
    assert check(history) == []
    history.troubles[0].server = 1
    assert [sentence for sentence in check(history) if sentence.startswith("answers arrive: ")]


def test_request_that_was_held_back_is_excused() -> None:
    """What comes late to its server runs late, however long ago the trouble began and ended."""
    history = good()
    failed(history, 0)
    history.executions[0].began, history.executions[0].ended = 4.5, 4.6
    assert check(history)
    history.troubles.append(Trouble(name="slow", server=0, client=None, began=0.9, ended=1.1))
    assert check(history) == []
