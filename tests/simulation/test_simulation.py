"""Thousands of seeds, each a world of its own in which all promises must be kept.

`make simulate SEEDS=20000` goes on for longer, and elsewhere each time.
"""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulation import __main__ as command
from tests.simulation.deeds import DEEDS
from tests.simulation.faults import NAMES
from tests.simulation.history import History
from tests.simulation.scenario import scenario_of
from tests.simulation.trial import judge, quiet, try_seeds

pytestmark = pytest.mark.timeout(120)  # the first that asks for the histories makes them all

BLOCKS = 36
"""Tests that the fixed seeds are spread over, so that they can run side by side."""

BLOCK = 50
"""Seeds of one test, well under a second on an idle machine."""


def run(seeds: range) -> None:
    """Simulate all of them; fail with what was found and how to repeat it."""
    findings = [str(finding) for finding in try_seeds(seeds)]
    if findings:
        pytest.fail("\n".join(findings), pytrace=False)


@pytest.mark.parametrize("block", range(BLOCKS))
def test_promises_are_kept(block: int) -> None:
    """Whatever goes wrong in these worlds, the checker finds nothing."""
    run(range(block * BLOCK, (block + 1) * BLOCK))


@pytest.mark.parametrize("block", range(4))
def test_promises_are_kept_in_new_worlds(block: int) -> None:
    """The same for worlds that nobody has seen; in CI for those of always."""
    first = (
        2**31 + block * BLOCK if os.environ.get("CI") else random.SystemRandom().randrange(2**31)
    )
    print(f"seeds {first} to {first + BLOCK - 1}")
    run(range(first, first + BLOCK))


@pytest.fixture(scope="module")
def histories() -> list[History]:
    """What happened in some worlds."""
    with quiet():
        return list(_histories(range(150)))


def _histories(seeds: range) -> Iterator[History]:
    for seed in seeds:
        history, _ = judge(scenario_of(seed))
        assert history is not None
        gc.freeze()  # what is kept need not be looked through each time
        yield history


def test_worlds_are_wild(histories: list[History]) -> None:
    """Every deed and fault happens, and calls end in every way that they may end in."""
    calls = [call for history in histories for call in history.calls]
    troubles = {trouble.name for history in histories for trouble in history.troubles}
    assert troubles == set(NAMES)
    assert {call.plan.deed for call in calls} == set(DEEDS)
    assert {call.outcome for call in calls} == {"ok", "left", "cancelled", "error"}
    assert {call.executed for call in calls} == {None, "no", "maybe", "yes"}
    hows = {one.how for history in histories for one in history.executions}
    assert hows == {"returned", "raised", "cancelled"}


def test_worlds_put_retries_hedges_and_drains_to_the_test(histories: list[History]) -> None:
    """Idempotent calls run again, two at a time, and methods run while their server drains."""
    assert sum(call.retries > 0 for history in histories for call in history.calls) > 30
    hedged = [
        one
        for history in histories
        for one in history.executions
        if one.attempt > 1 and history.calls[one.call].retries == 0
    ]
    assert len(hedged) > 10
    drained = [
        one
        for history in histories
        for stop in history.stops
        for one in history.executions
        if (one.server, one.life) == (stop.server, stop.life)
        and one.ended is not None
        and one.began < stop.began < one.ended
    ]
    assert len(drained) > 10


def test_worlds_put_topics_to_the_test(histories: list[History]) -> None:
    """Readers are disturbed, come back, are too slow and lose; some get all that they missed."""
    readers = [reader for history in histories for reader in history.readers]
    resumes = [recovered for reader in readers for _, recovered in reader.resumes]
    gaps = [sight.gap for reader in readers for sight in reader.sights if sight.gap is not None]
    assert {reader.outcome for reader in readers} == {"left", "over", "error"}
    assert {True, False} == set(resumes)
    assert sum(isinstance(reader.since, dict) for reader in readers) > 10
    assert {gap.dropped is None for gap in gaps} == {True, False}
    publishes = [one for history in histories for one in history.publishes]
    assert {one.acknowledged is None for one in publishes} == {True, False}
    assert any(one.denied for one in publishes)


def test_worlds_put_states_to_the_test(histories: list[History]) -> None:
    """Clients are in every state, and more often than once in that which is hardest to reach."""
    told = [state for history in histories for each in history.states.values() for _, state in each]
    assert set(told) == {"connecting", "ready", "degraded", "closed"}
    assert told.count("degraded") > 10


def test_seed_makes_the_same_history_again(histories: list[History]) -> None:
    """All chance comes from the seed, and no order from where objects lie in memory."""
    with quiet():
        for history in histories[:40]:
            assert judge(history.scenario)[0] == history


def test_replay_in_another_process_shows_the_same() -> None:
    """`python -m tests.simulation --seed N -v` prints the plan, and the same timeline each time."""
    shown = set()
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-m", "tests.simulation", "--seed", "7", "-v"],
            check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        )  # fmt: skip
        shown.add(done.stdout)
    (text,) = shown
    assert text.startswith("seed 7: ")
    assert text.endswith("seed 7: all promises were kept\n")
    assert all(f"call {number} " in text for number in range(len(scenario_of(7).calls)))


def test_findings_are_printed_with_the_command_that_repeats_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each failing seed has a line of its own, and the exit status says that there was one."""
    monkeypatch.setattr("tests.simulation.trial.check", lambda history: ["P0: it is Monday"])
    monkeypatch.setattr(sys, "argv", ["simulation", "--first", "5", "--seeds", "2"])
    assert command.main() == 1
    printed = capsys.readouterr().out
    for seed in (5, 6):
        repeat = f"`python -m tests.simulation --seed {seed} -v`"
        assert f"seed {seed}, repeat with {repeat}:\n  P0: it is Monday" in printed
    assert "2 with findings" in printed
