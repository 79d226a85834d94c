"""Simulate many seeds, or replay one: `python -m tests.simulation --seed N -v`."""

from __future__ import annotations

import argparse
import random
import sys
import time

from tests.simulation.scenario import scenario_of
from tests.simulation.trial import Finding, judge, try_seeds


def main() -> int:
    """Return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one")
    parser.add_argument("--seeds", type=int, default=1000, help="how many (1000)")
    parser.add_argument("--first", type=int, help="the first of them (default: somewhere)")
    parser.add_argument("-v", "--verbose", action="store_true", help="print plan and timeline")
    options = parser.parse_args()
    if options.seed is not None:
        return _replay(options.seed, verbose=options.verbose)
    first = random.SystemRandom().randrange(2**31) if options.first is None else options.first
    return _many(range(first, first + options.seeds))


def _replay(seed: int, *, verbose: bool) -> int:
    scenario = scenario_of(seed)
    history, wrong = judge(scenario)
    if verbose:
        print(scenario)
        print("\n".join(history.timeline() if history is not None else ()))
    print(Finding(seed, wrong) if wrong else f"seed {seed}: all promises were kept")
    return int(bool(wrong))


def _many(seeds: range) -> int:
    print(f"seeds {seeds.start} to {seeds.stop - 1}", flush=True)
    began = time.process_time()
    found = 0
    for finding in try_seeds(seeds):
        found += 1
        print(finding, flush=True)
    spent = time.process_time() - began
    print(f"{len(seeds)} seeds in {spent:.1f} s of CPU time, {found} with findings")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
