"""`framerpc serve` as a process of its own: where it listens, how it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
COMMAND = [sys.executable, "-m", "framerpc.cli.main"]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_well(number: signal.Signals) -> None:
    """It prints a line for each address, and a signal makes it drain and exit with 0."""
    words = ["serve", "tests.cli.conftest:Demo", "--print-urls", "--bind", "tcp://127.0.0.1:0"]
    with subprocess.Popen(
        [*COMMAND, *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("tcp://127.0.0.1:")
        process.send_signal(number)
        printed, complaints = process.communicate(timeout=15)
    assert (printed, complaints, process.returncode) == ("", "", 0)


def test_reader_may_go_early(url: str) -> None:
    """When nobody reads the output any more, the command ends at once and without a word."""
    with subprocess.Popen(
        [*COMMAND, "call", url, "Demo/count", "1000000"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "0\n"
        process.stdout.close()
        assert (process.stderr.read(), process.wait(15)) == ("", 0)


def test_output_is_json_in_any_encoding(url: str) -> None:
    """Where standard output knows only ASCII, the result is written with JSON's escapes."""
    ended = subprocess.run(
        [*COMMAND, "call", url, "Demo/echo", '"\\u4f60\\u597d"'],
        cwd=ROOT,
        env={"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ('"\\u4f60\\u597d"\n', "", 0)
