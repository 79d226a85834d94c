"""What happened in a run: each call as its caller saw it, each execution as its server did.

Written by the world, read by the checker, and by nobody in between: it judges nothing. All times
are loop time, in seconds; None is "not yet", which after the run means "never".
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    from framerpc import Gap
    from framerpc.errors import Executed
    from tests.simulation.scenario import CallPlan, ReadPlan, Scenario

__all__ = [
    "Call", "Event", "Execution", "History", "Outcome", "Place", "Publish", "Reader", "Sight",
    "Stop", "Trouble",
]  # fmt: skip

Outcome: TypeAlias = Literal["ok", "left", "cancelled", "error", "untyped"]
"""How a call ended for its caller: with its result, by leaving its stream early, because the
caller cancelled it, with an error of framerpc's, or with any other exception."""


Place: TypeAlias = tuple[str, int]
"""Where a message stands in its topic: epoch and offset."""


@dataclass(slots=True, kw_only=True)
class Publish:
    """One message, as its publisher saw it.

    Attributes:
        id: The call that published it (-1 for a server), and which one of that: its payload.
        topic: Where.
        keyed: It had an idempotency key.
        began: When it was sent.
        acknowledged: When the receipt came, or None.
        place: What the receipt said; None in a topic without history.
        denied: The error claimed that it was not published.
    """

    id: tuple[int, int]
    topic: str
    keyed: bool
    began: float
    acknowledged: float | None = None
    place: Place | None = None
    denied: bool = False

    def __str__(self) -> str:
        return f"message {self.id[0]}/{self.id[1]} of {self.topic}"


@dataclass(slots=True, kw_only=True)
class Sight:
    """A message that a reader was given.

    Attributes:
        at: When.
        id: What was in it.
        topic: The topic that it came under.
        place: Where it stands, or None.
        gap: What was said to be missing before it.
    """

    at: float
    id: tuple[int, int]
    topic: str
    place: Place | None
    gap: Gap | None = None


@dataclass(slots=True, kw_only=True)
class Reader:
    """One subscription, from entering to leaving it.

    Attributes:
        id: Its number in the run.
        plan: What was planned of it.
        since: Where it asked to begin: positions, if it came back.
        began: When it was entered.
        opened: When the server had confirmed.
        recovered: What it said of itself then.
        places: Where it stood then, in each topic.
        sights: What it was given, in order.
        resumes: When it was made again by itself, and whether nothing was missing then.
        ended: When it was left, or had failed.
        outcome: How: "left" is as planned, "over" is at the end of the run.
        error: The error, in words.
    """

    id: int
    plan: ReadPlan
    since: dict[str, Place] | str | int | None
    began: float
    opened: float | None = None
    recovered: bool | None = None
    places: dict[str, Place] = field(default_factory=dict[str, Place])
    sights: list[Sight] = field(default_factory=list[Sight])
    resumes: list[tuple[float, bool]] = field(default_factory=list[tuple[float, bool]])
    ended: float | None = None
    outcome: Literal["left", "over", "error", "untyped"] | None = None
    error: str = ""

    def __str__(self) -> str:
        return f"reader {self.id} ({self.plan.pattern} by client {self.plan.client})"


@dataclass(slots=True, kw_only=True)
class Call:
    """One call, as its caller saw it.

    Attributes:
        id: Its number in the run, which is also its argument.
        plan: What was planned of it.
        idempotent: Its method may be executed again.
        began: When it was made.
        deadline: When it had to be over, or None for never.
        cancelled: When its caller gave it up, or None.
        ended: When it was over for its caller.
        outcome: How.
        executed: What the error claimed.
        error: The error, in words.
        receipt: The execution whose result came back.
        items: What its result, a stream, brought.
        sent: What it uploaded.
        whole: Its streams came to their end.
        retries: How often it was announced to be sent again.
        publishes: The messages that it published.
    """

    id: int
    plan: CallPlan
    idempotent: bool
    began: float
    deadline: float | None = None
    cancelled: float | None = None
    ended: float | None = None
    outcome: Outcome | None = None
    executed: Executed | None = None
    error: str = ""
    receipt: int | None = None
    items: list[int] = field(default_factory=list[int])
    sent: list[int] = field(default_factory=list[int])
    whole: bool = False
    retries: int = 0
    publishes: list[Publish] = field(default_factory=list[Publish])

    def __str__(self) -> str:
        return f"call {self.id} ({self.plan.deed} of client {self.plan.client})"


@dataclass(slots=True, kw_only=True)
class Execution:
    """One run of a method, as its server saw it.

    Attributes:
        id: Its number in the run, which is also its result.
        call: The call that it belongs to, by what it was told.
        server: The number of its server's address.
        life: Which of the servers that stood there one after another.
        attempt: What the call said of itself.
        began: When the method was entered.
        ended: When it was left.
        how: How.
        items: What it took from the caller's stream.
        whole: The caller's stream came to its end.
    """

    id: int
    call: int
    server: int
    life: int
    attempt: int
    began: float
    ended: float | None = None
    how: Literal["returned", "raised", "cancelled"] | None = None
    items: list[int] = field(default_factory=list[int])
    whole: bool = False


@dataclass(slots=True, kw_only=True)
class Trouble:
    """Something that may disturb calls of some clients at some servers.

    Attributes:
        name: Of the fault.
        server: The number of the server; None for all.
        client: The number of the client; None for all.
        began: When it began.
        ended: When it was over.
    """

    name: str
    server: int | None
    client: int | None
    began: float
    ended: float | None = None


@dataclass(slots=True, kw_only=True)
class Stop:
    """A server that drained.

    Attributes:
        server: The number of its address.
        life: Which of the servers there.
        began: When it was told to stop.
        grace: Seconds that its calls were promised.
        cut: When it was killed while it drained, or None.
    """

    server: int
    life: int
    began: float
    grace: float
    cut: float | None = None


@dataclass(slots=True, kw_only=True)
class Event:
    """A line for who replays a run.

    Attributes:
        at: When.
        text: What.
    """

    at: float
    text: str


@dataclass(slots=True, kw_only=True)
class History:
    """All that happened in one run.

    Attributes:
        scenario: The plan.
        calls: By number.
        executions: By number.
        troubles: What the saboteur did, and clients that left.
        stops: The servers that drained.
        healed: When the last fault was over and all servers stood.
        returned: For each client, when it was served again after that; None if it was not.
        probes: How many calls each client made to find out.
        closing: When the clients began to close.
        ended: When everything was closed.
        left: What was still there then, in words.
        events: What a replay shows besides.
        readers: By number.
        finale: What the servers published at the end, when all was well again.
        states: What each client told of itself, and when.
    """

    scenario: Scenario
    calls: list[Call] = field(default_factory=list[Call])
    executions: list[Execution] = field(default_factory=list[Execution])
    troubles: list[Trouble] = field(default_factory=list[Trouble])
    stops: list[Stop] = field(default_factory=list[Stop])
    healed: float = 0.0
    returned: dict[int, float | None] = field(default_factory=dict[int, "float | None"])
    probes: Counter[int] = field(default_factory=Counter[int])
    closing: float = 0.0
    ended: float = 0.0
    left: list[str] = field(default_factory=list[str])
    events: list[Event] = field(default_factory=list[Event])
    readers: list[Reader] = field(default_factory=list[Reader])
    finale: list[Publish] = field(default_factory=list[Publish])
    states: dict[int, list[tuple[float, str]]] = field(
        default_factory=dict[int, list[tuple[float, str]]]
    )

    @property
    def publishes(self) -> list[Publish]:
        """All messages that somebody published."""
        return [one for call in self.calls for one in call.publishes] + self.finale

    def executions_of(self, call: Call) -> list[Execution]:
        """Return the executions that belong to a call, the first one first."""
        return [one for one in self.executions if one.call == call.id]

    def timeline(self) -> list[str]:
        """Return the run as lines of text, in the order of time."""
        lines = [(event.at, 0, event.text) for event in self.events]
        for call in self.calls:
            until = "" if call.deadline is None else f", due {call.deadline:.3f}"
            lines.append((call.began, 1, f"{call} begins{until}"))
            if call.ended is not None:
                lines.append((call.ended, 4, f"{call} ends: {_ending(call)}"))
        for one in self.executions:
            where = f"server {one.server}.{one.life}"
            name = f"execution {one.id} of call {one.call} at {where}"
            lines.append((one.began, 2, f"  {name} begins, attempt {one.attempt}"))
            if one.ended is not None:
                lines.append((one.ended, 3, f"  {name} {one.how}"))
        for message in self.publishes:
            if message.acknowledged is not None:
                said = f"  {message} is acknowledged: {message.place}"
                lines.append((message.acknowledged, 3, said))
        for reader in self.readers:
            lines += _course(reader)
        return [f"{at:9.3f}  {text}" for at, _, text in sorted(lines, key=lambda line: line[:2])]


def _course(reader: Reader) -> Iterator[tuple[float, int, str]]:
    yield reader.began, 1, f"{reader} begins, since {reader.since}"
    if reader.opened is not None:
        stand = f"recovered={reader.recovered}, {reader.places}"
        yield reader.opened, 2, f"  {reader} is subscribed, {stand}"
    for at, recovered in reader.resumes:
        yield at, 3, f"  {reader} is subscribed again, recovered={recovered}"
    for one in reader.sights:
        gap = "" if one.gap is None else f" after {one.gap}"
        yield one.at, 4, f"  {reader} sees {one.id} of {one.topic} at {one.place}{gap}"
    if reader.ended is not None:
        yield reader.ended, 5, f"{reader} ends: {reader.outcome} {reader.error}"


def _ending(call: Call) -> str:
    parts = [str(call.outcome)]
    if call.receipt is not None:
        parts.append(f"by execution {call.receipt}")
    if call.items:
        parts.append(f"{len(call.items)} items")
    if call.executed is not None:
        parts.append(f"executed={call.executed}")
    if call.error:
        parts.append(call.error)
    return ", ".join(parts)
