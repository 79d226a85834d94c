"""Run the benchmarks: `python -m benchmarks [--rounds N] [--seconds S] [--json]`."""

from __future__ import annotations

import argparse
import json
import platform
import sys

from benchmarks import calls, footprint


def main() -> int:
    """Measure everything; return 1 if a target is missed."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="pairs of runs for each row (5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one run (1)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    rows = calls.measure(options.rounds, options.seconds)
    imports = footprint.import_ratio()
    idle = footprint.idle_connection_kib() if sys.platform == "linux" else None
    missed = [row for row in rows if row.ratio < calls.TARGETS[row.in_flight]]
    if options.json:
        result = {
            "calls": [vars(row) for row in rows],
            "import_ratio": imports,
            "idle_connection_kib": idle,
        }
        sys.stdout.write(json.dumps(result) + "\n")
        return bool(missed)
    sys.stdout.write(
        f"Python {platform.python_version()}; 32-byte calls per second, server and client in "
        "processes of their own, medians\n\n"
        "in flight   bare echo    framerpc   ratio   at least\n"
    )
    for row in rows:
        sys.stdout.write(
            f"{row.in_flight:9}   {row.yardstick:9,.0f}   {row.framerpc:9,.0f}   "
            f"{row.ratio:5.2f}   {calls.TARGETS[row.in_flight]:8}\n"
        )
    sys.stdout.write(f"\nimport framerpc, by its dependencies alone: {imports:.2f} (at most 1.3)\n")
    if idle is not None:
        sys.stdout.write(f"memory per idle connection: {idle:.1f} KiB\n")
    return bool(missed) or imports > 1.3  # noqa: PLR2004 - the target above


if __name__ == "__main__":
    sys.exit(main())
