"""Fuzz every target for a while: guided by coverage where atheris is, else by chance alone.

A finding is printed with the bytes that cause it; run them again with `--target` and `--input`.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import random
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from tests.fuzz.mutation import mutate

__all__: list[str] = []


def main() -> int:
    """Return 1 if a target raised anything."""
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="for all targets together (60)")
    parser.add_argument("--seed", type=int, help="of the unguided mutation (default: a new one)")
    parser.add_argument("--target", help="only this one")
    parser.add_argument("--input", type=bytes.fromhex, help="try these bytes only, in hex")
    parser.add_argument("--unguided", action="store_true", help="do not use atheris")
    parser.add_argument("--corpus", help=argparse.SUPPRESS)  # we are the child of a guided run
    options = parser.parse_args()
    if options.corpus:
        _guide(options.target, options.seconds, options.corpus)
    from tests.fuzz.targets import SEEDS, TARGETS  # noqa: PLC0415 - `_guide` instruments first

    names = [options.target] if options.target else list(TARGETS)
    if options.input is not None:
        return sum(not _try(name, options.input) for name in names)
    share = options.seconds / len(names)
    if importlib.util.find_spec("atheris") and not options.unguided:
        print("guided by atheris")
        results = [_run_guided(name, SEEDS[name], share) for name in names]
        return int(not all(results))
    seed = random.randrange(2**32) if options.seed is None else options.seed
    print(f"unguided, --seed={seed}")
    results = [_run_unguided(name, SEEDS[name], share, seed) for name in names]
    return int(not all(results))


def _try(name: str, data: bytes) -> bool:
    """Return whether a target takes these bytes as it should."""
    from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - as above

    try:
        TARGETS[name](data)
    except Exception:  # noqa: BLE001 - any at all is a finding
        traceback.print_exc(file=sys.stdout)
        print(f"FOUND: --target={name} --input={data.hex()}")
        return False
    return True


def _run_unguided(name: str, seeds: list[bytes], seconds: float, seed: int) -> bool:
    chance = random.Random(f"{seed} {name}")
    if not all(_try(name, data) for data in seeds):
        return False
    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end:
        for _ in range(100):
            if not _try(name, mutate(seeds, chance)):
                return False
        count += 100
    print(f"{name}: {count} inputs, nothing found", flush=True)
    return True


def _run_guided(name: str, seeds: list[bytes], seconds: float) -> bool:
    """Run atheris in a process of its own: it ends the process that it runs in."""
    with tempfile.TemporaryDirectory() as corpus:
        for number, data in enumerate(seeds):
            (Path(corpus) / f"seed-{number}").write_bytes(data)
        command = [sys.executable, "-m", "tests.fuzz", f"--target={name}", f"--corpus={corpus}"]
        ended = subprocess.run(
            [*command, f"--seconds={seconds}"], capture_output=True, text=True, check=False
        )
        found = [file.read_bytes() for file in Path(corpus).glob("[!s]*-*")]  # crash-, timeout-
        grown = sum(file.name[:5] != "seed-" for file in Path(corpus).iterdir())
    if ended.returncode == 0:
        print(f"{name}: {grown} inputs that reach something new, nothing found", flush=True)
        return True
    lines = (ended.stderr + ended.stdout).splitlines()
    print("\n".join(line for line in lines if not line.startswith("INFO: Instrumenting")))
    for data in found:
        print(f"FOUND: --target={name} --input={data.hex()}", flush=True)
    return False


def _guide(name: str, seconds: float, corpus: str) -> None:
    """Fuzz one target with atheris. Does not return."""
    atheris: Any = importlib.import_module("atheris")  # not to be had everywhere
    with atheris.instrument_imports(include=["framerpc"]):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - instrumented on import
    quiet = ["-verbosity=0", "-artifact_prefix=" + corpus + "/"]
    limit = f"-max_total_time={max(1, round(seconds))}"
    atheris.Setup([sys.argv[0], corpus, limit, "-max_len=8192", *quiet], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
