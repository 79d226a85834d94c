"""The store in a file, when its process is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from framerpc.backplane.sqlite import SqliteStore
from framerpc.pubsub.positions import Position
from tests.backplane.store_suite import bench
from tests.backplane.victim import POLICY

ROOT = Path(__file__).parent.parent.parent


def run_and_kill(path: Path, receipts: int) -> list[tuple[str, Position, str]]:
    """Start a publisher, kill it at its n-th receipt, and return all that it has printed."""
    command = [sys.executable, "-m", "tests.backplane.victim", str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(receipts)]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
    assert process.returncode == -signal.SIGKILL
    parts = [line.split() for line in lines]
    return [(topic, Position.parse(position), data) for topic, position, data in parts]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    """After each of five kills, every receipt is true: same epoch, same offset, same message."""
    path = tmp_path / "topics.db"
    receipts: list[tuple[str, Position, str]] = []
    for round_ in range(5):
        receipts += run_and_kill(path, 20 + 37 * round_)
        async with bench(SqliteStore(path)) as b:
            kept: dict[tuple[str, int], str] = {}
            epochs = set()
            for topic in "abc":
                found = await b.store.find(topic, "start", POLICY, b.now)
                data, recovered = await b.read("start", topic, POLICY)
                assert recovered
                epochs.add(found.top.epoch)
                # Dense: no offset is missing, and none has two messages.
                assert found.base.offset == 0
                assert found.top.offset == len(data)
                kept |= {(topic, n): each.decode() for n, each in enumerate(data, 1)}
            assert len(epochs) == 1
            for topic, position, text in receipts:
                assert position.epoch in epochs
                assert kept[topic, position.offset] == text
            # No message is there twice.
            assert len({(topic, text) for (topic, _), text in kept.items()}) == len(kept)
            # A publisher that never saw its receipt asks again, and gets the one that there was.
            topic, position, text = receipts[-1]
            again = await b.publish(topic, text.encode(), POLICY, key=text)
            assert (again.position, again.duplicate) == (position, True)
