"""One seed: its run, its judgement, and the command that repeats it."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from framerpc.testing import Deadlock, Unhandled
from tests.simulation.checker import check
from tests.simulation.history import History
from tests.simulation.scenario import Scenario, scenario_of
from tests.simulation.world import carry_out

__all__ = ["Finding", "judge", "quiet", "try_seeds"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with the run of one seed.

    Attributes:
        seed: Which.
        wrong: One sentence each.
    """

    seed: int
    wrong: tuple[str, ...]

    def __str__(self) -> str:
        sentences = "".join(f"\n  {sentence}" for sentence in self.wrong)
        command = f"python -m tests.simulation --seed {self.seed} -v"
        return f"seed {self.seed}, repeat with `{command}`:{sentences}"


def judge(scenario: Scenario) -> tuple[History | None, tuple[str, ...]]:
    """Carry a plan out; return what happened, unless that broke off, and what is wrong with it."""
    try:
        history = carry_out(scenario)
    except (Deadlock, Unhandled) as error:
        return None, (f"{type(error).__name__}: {error}",)
    return history, tuple(check(history))


def try_seeds(seeds: Iterable[int]) -> Iterator[Finding]:
    """Carry out the plan of each seed, and yield those with which something is wrong."""
    with quiet():
        for seed in seeds:
            try:
                _, wrong = judge(scenario_of(seed))
            except BaseException as error:
                error.add_note(f"seed {seed}")  # a bug of the simulation's own, or Ctrl-C
                raise
            if wrong:
                yield Finding(seed, wrong)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the log silent, and what was there before out of each search for leftovers."""
    before = logging.root.manager.disable
    logging.disable()  # lost connections are what this is about
    gc.collect()
    gc.freeze()  # a long test run has gathered much
    try:
        yield
    finally:
        logging.disable(before)
