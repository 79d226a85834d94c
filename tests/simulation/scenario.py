"""The plan of a run, made of nothing but its seed: who there is, what they do, what goes wrong.

A value, which can be printed, and changed by hand for a test of its own.
"""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.simulation.faults import Fault, schedule

if TYPE_CHECKING:
    from framerpc.client.topics import Policy

__all__ = ["TOPICS", "CallPlan", "ClientPlan", "ReadPlan", "Scenario", "scenario_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientPlan:
    """How a client is set up.

    Attributes:
        servers: The numbers of the servers that it knows.
        balance: How it spreads its calls.
        cap: Longest pause between two dials, in seconds.
        attempts: How often a call is sent at most.
        share: Retries for each of its calls.
        floor: Retries per second besides.
        hedge: Seconds until a slow call goes to a second server; None for never.
        hedge_share: Second calls for each of its calls.
        intercepted: Its calls pass an interceptor, and so go the long way.
    """

    servers: tuple[int, ...]
    balance: str
    cap: float
    attempts: int
    share: float
    floor: float
    hedge: float | None
    hedge_share: float
    intercepted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPlan:
    """One call.

    Attributes:
        at: Seconds from the start of the run.
        client: Who makes it.
        deed: What it is, a key of `deeds.DEEDS`.
        timeout: Seconds that it has, or None.
        seconds: What the method takes, or the pause between two items.
        items: Of its streams, or messages that it publishes one after another.
        size: Bytes of what travels with it.
        failures: Executions that refuse it before one does not.
        cancel: Seconds after which its caller gives it up, or None.
        leave: Items after which its caller leaves the stream, or None.
        key: Its routing key.
        topic: Where it publishes.
    """

    at: float
    client: int
    deed: str
    timeout: float | None
    seconds: float
    items: int
    size: int
    failures: int
    cancel: float | None
    leave: int | None
    key: str
    topic: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPlan:
    """One who subscribes.

    Attributes:
        at: Seconds from the start of the run.
        client: Who it is.
        pattern: What to.
        since: Where it begins, the first time.
        policy: What becomes of it when it is slow; None for what the server takes.
        max_queue: Bytes that may wait for it then.
        pause: Seconds that it takes for each message, until all faults are over.
        patience: Seconds after which it gives up a wait, and waits again; None for never.
        leaves: Seconds after which it unsubscribes, or None.
        returns: Seconds after which it comes back then, from its positions; None for never.
        timeout: Seconds that the server has to confirm.
    """

    at: float
    client: int
    pattern: str
    since: str | int | None
    policy: Policy | None
    max_queue: int | None
    pause: float
    patience: float | None
    leaves: float | None
    returns: float | None
    timeout: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The plan of one run.

    Attributes:
        seed: What it was made of, and where all chance in the run begins.
        servers: How many addresses there are.
        clients: Who calls.
        calls: What they call, the earliest first.
        faults: What goes wrong.
        max_calls: Calls in flight that a server takes on one connection.
        window: Bytes of a stream that may be under way.
        interval: Seconds of silence before a PING.
        patience: Seconds to wait for its answer.
        handshake: Seconds that a handshake may take.
        readers: Who subscribes.
        kept: Messages that a topic with history keeps.
        durable: What topics keep outlives their server, as in a file.
    """

    seed: int
    servers: int
    clients: tuple[ClientPlan, ...]
    calls: tuple[CallPlan, ...]
    faults: tuple[Fault, ...]
    max_calls: int = 1024
    window: int = 256 * 1024
    interval: float = 1.0
    patience: float = 1.0
    handshake: float = 2.0
    readers: tuple[ReadPlan, ...] = ()
    kept: int = 100
    durable: bool = False

    @property
    def crowded(self) -> bool:
        """Whether calls may have to wait for one another; a subscription is a call as well."""
        return self.max_calls <= len(self.calls) + len(self.readers)

    def __str__(self) -> str:
        lines = [
            f"seed {self.seed}: {self.servers} servers, {len(self.clients)} clients",
            f"  max_calls {self.max_calls}, window {self.window}, handshake {self.handshake} s",
            f"  keepalive {self.interval} s + {self.patience} s",
            *(f"  client {number}: {plan}" for number, plan in enumerate(self.clients)),
            *(f"  call {number}: {plan}" for number, plan in enumerate(self.calls)),
            f"  topics keep {self.kept}, durable: {self.durable}",
            *(f"  reader {number}: {plan}" for number, plan in enumerate(self.readers)),
            *(f"  fault at {fault.at:.3f}: {fault}" for fault in self.faults),
        ]
        return "\n".join(lines)


_TOPICAL: Final = 0.4
"""How many of all worlds have topics."""

_BALANCES: Final = (
    "round_robin", "random", "weighted_round_robin", "least_loaded", "latency", "consistent_hash",
)  # fmt: skip

_SINGLE: Final = {"write": 6, "read": 6, "once": 4}
_STREAMS: Final = {"down": 2, "resume": 2, "up": 2, "both": 1}
_DEEDS: Final = _SINGLE | _STREAMS
"""What is done, and how often."""

_PUBLISHES: Final = ("publish", "publish_with_key")

TOPICS: Final = ("log.a", "log.b", "live")
"""Where is published; those that begin with "log" have a history."""

_PATTERNS: Final = ("log.a", "log.a", "log.b", "log.*", "live", ">")


def scenario_of(seed: int) -> Scenario:
    """Return the plan that a seed stands for; the same in every process."""
    chance = random.Random(f"scenario {seed}")
    servers = chance.choice((1, 1, 2, 2, 3, 4))
    clients = tuple(_client(chance, servers) for _ in range(chance.choice((1, 1, 2, 2, 3, 4))))
    span = chance.uniform(1.0, 10.0)
    calls = [_call(chance, len(clients), span) for _ in range(chance.choice((4, 8, 16, 24)))]
    if chance.random() < 0.3:  # all at once
        calls = [_at(plan, chance.choice((0.0, span / 2))) for plan in calls]
    readers: list[ReadPlan] = []
    if chance.random() < _TOPICAL:
        calls += [_publish(chance, len(clients), span) for _ in range(chance.choice((2, 5, 10)))]
        readers += [_reader(chance, len(clients), span) for _ in range(chance.choice((1, 1, 2, 3)))]
    busy = [plan.at + chance.random() * plan.seconds * max(1, plan.items) for plan in calls]
    faults = schedule(chance, servers, len(clients), span, busy)
    if any(fault.name == "byte_by_byte" for fault in faults):  # each costs an iteration
        calls = [dataclasses.replace(plan, size=min(plan.size, 1000)) for plan in calls]
    return Scenario(
        seed=seed,
        servers=servers,
        clients=clients,
        calls=tuple(sorted(calls, key=lambda plan: plan.at)),
        faults=faults,
        max_calls=chance.choice((1, 3, 1024, 1024)) + len(readers),
        window=chance.choice((1024, 1024, 256 * 1024)),
        interval=chance.choice((0.3, 1.0, 3.0)),
        patience=chance.choice((0.3, 1.0)),
        handshake=chance.choice((1.0, 2.0)),
        readers=tuple(readers),
        kept=chance.choice((3, 20, 1000)),
        durable=chance.random() < 0.5,
    )


def _client(chance: random.Random, servers: int) -> ClientPlan:
    known = tuple(chance.sample(range(servers), chance.randint(1, servers)))
    return ClientPlan(
        servers=known,
        balance=chance.choice(_BALANCES),
        cap=chance.choice((0.5, 1.0, 2.0)),
        attempts=chance.choice((1, 2, 5, 5)),
        share=chance.choice((0.0, 0.2, 1.0)),
        floor=chance.choice((0.0, 0.2, 10.0)),
        hedge=chance.choice((None, None, 0.0, 0.1)),
        hedge_share=chance.choice((0.05, 0.3, 1.0)),
        intercepted=chance.random() < 0.25,
    )


def _call(chance: random.Random, clients: int, span: float) -> CallPlan:
    (deed,) = chance.choices(tuple(_DEEDS), tuple(_DEEDS.values()))
    streams = deed in _STREAMS
    short, long = ((0.0, 0.01), (0.05, 0.3)) if streams else ((0.0, 0.0, 0.05), (0.5, 3.0))
    return CallPlan(
        at=chance.uniform(0.0, span),
        client=chance.randrange(clients),
        deed=deed,
        timeout=None if streams and chance.random() < 0.3 else chance.choice((0.2, 1.0, 5.0)),
        seconds=chance.choice(short if chance.random() < 0.6 else long) * chance.random(),
        items=chance.choice((0, 1, 5, 20)) if streams else 0,
        size=chance.choice((0, 0, 0, 10, 1000, 1000, 100_000 if not streams else 10)),
        failures=chance.choice((0, 0, 0, 0, 1, 3)),
        cancel=chance.choice((0.0, 0.1, 1.0)) * chance.random() if chance.random() < 0.15 else None,
        leave=chance.randrange(1, 6)
        if deed in {"down", "resume"} and chance.random() < 0.3
        else None,
        key=f"key-{chance.randrange(4)}",
    )


def _publish(chance: random.Random, clients: int, span: float) -> CallPlan:
    items = chance.choice((1, 1, 1, 2, 2, 5, 5, 20, 120))
    return CallPlan(
        at=chance.uniform(0.0, span),
        client=chance.randrange(clients),
        deed=chance.choice(_PUBLISHES),
        timeout=chance.choice((0.2, 1.0, 5.0)),
        seconds=0.0,
        items=items,
        size=chance.choice((0, 10, 1000 if items < 20 else 10)),
        failures=0,
        cancel=chance.choice((0.0, 0.1, 1.0)) * chance.random() if chance.random() < 0.15 else None,
        leave=None,
        key=f"key-{chance.randrange(4)}",
        topic=chance.choice(TOPICS),
    )


def _reader(chance: random.Random, clients: int, span: float) -> ReadPlan:
    returns = chance.random() < 0.2
    return ReadPlan(
        at=chance.choice((0.0, chance.uniform(0.0, span))),
        client=chance.randrange(clients),
        pattern=chance.choice(_PATTERNS),
        since=chance.choice((None, None, "start", 5)),
        policy=chance.choice((None, "disconnect", "drop_oldest", "drop_newest", "latest")),
        max_queue=chance.choice((None, 300, 300, 1000)),
        pause=chance.choice((0.0, 0.0, 0.05, 0.5)) * chance.random(),
        patience=chance.choice((None, None, 0.5)),
        leaves=chance.uniform(0.0, span) if returns or chance.random() < 0.1 else None,
        returns=chance.choice((0.0, 1.0)) if returns else None,
        timeout=chance.choice((1.0, 5.0)),
    )


def _at(plan: CallPlan, when: float) -> CallPlan:
    return dataclasses.replace(plan, at=when)
