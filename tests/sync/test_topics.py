"""Topics through the blocking client: iterate, wait for a time, from any thread."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import framerpc
import framerpc.sync
from framerpc import Snapshot, Topic, TopicPolicy

ADDRESS = "memory://sync-topics"
NUMBERS = Topic[int]("numbers.*")


@framerpc.service
class Board:
    @framerpc.method
    def follow(self) -> framerpc.Watch[str, int]:
        return framerpc.Watch("board", lambda: "state")


def test_messages_are_iterated_and_waited_for() -> None:
    """`next` waits, `get` waits for a time, and the end of the block is the end of the messages."""
    with framerpc.sync.serve(framerpc.Server(), ADDRESS) as server:
        with framerpc.sync.connect(server.url) as client:
            with client.subscribe("numbers.*", type=int) as numbers:
                receipt = client.publish(NUMBERS.at("a"), 1)
                assert receipt is not None
                assert receipt.subscribers == 1
                client.publish("numbers.a", 2, ack=False)
                client.publish("numbers.a", "three")
                client.publish("numbers.a", 4)
                assert [next(numbers).data, numbers.get(timeout=5).data] == [1, 2]
                with pytest.raises(framerpc.InvalidArgument):
                    next(numbers)
                assert numbers.get().data == 4
                with pytest.raises(TimeoutError):
                    numbers.get(timeout=0.01)
                assert (numbers.recovered, numbers.dropped, numbers.positions) == (True, 0, {})
                assert "numbers.*" in repr(numbers)
            assert list(numbers) == []
            with pytest.raises(framerpc.Unavailable):
                numbers.get()


def test_threads_share_a_subscription() -> None:
    """Each message goes to one of the threads that wait; closing lets all of them go."""
    with framerpc.sync.serve(framerpc.Server(), ADDRESS) as server:
        with framerpc.sync.connect(server.url) as client, ThreadPoolExecutor(4) as threads:
            with client.subscribe("a") as messages:
                took = [threads.submit(lambda: [m.data for m in messages]) for _ in range(4)]
                for n in range(40):
                    client.publish("a", n)
                done = threading.Event()
                with client.subscribe("b", on_message=lambda _: done.set()):
                    client.publish("b", "all that was published before has arrived")
                    assert done.wait(10)
            assert len(set().union(*(each.result() for each in took))) <= 40


def test_refusals_history_presence_and_watches() -> None:
    """What the asynchronous client can do with topics, the blocking one can."""
    server = framerpc.Server(
        Board(),
        topics=[TopicPolicy("log", history=10)],
        authenticate=lambda _: "ada",
        authorize_topic=lambda _identity, _action, topic: topic != "secret",
    )
    with framerpc.sync.serve(server, ADDRESS):
        with framerpc.sync.connect(server.url) as client:
            with pytest.raises(framerpc.PermissionDenied), client.subscribe("secret"):
                pass
            for n in range(3):
                client.publish("log", n)
            assert [message.data for message in client.history("log", since=2).messages] == [1, 2]
            with client.subscribe("log", since="start") as log:
                assert [next(log).data for _ in range(3)] == [0, 1, 2]
                assert [member.name for member in client.presence("log").members] == ["ada"]
                with client.watch_presence("log") as presence:
                    assert isinstance(next(presence), Snapshot)
            with client.stub(Board).follow() as updates:
                assert next(updates) == Snapshot("state")
