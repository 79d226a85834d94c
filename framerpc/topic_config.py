"""Options of topics: what is kept of each, and what those who use them may cost.

Frozen and validated when they are made, as those in `config`. Durations are seconds, sizes are
bytes (protocol.md, "Limits of topics").
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Literal

from framerpc.config import KIB, MIB, check_positive
from framerpc.errors import ConfigurationError

__all__ = ["TopicLimits", "TopicPolicy"]


@dataclass(frozen=True, slots=True)
class TopicPolicy:
    """What a server keeps of some topics, and who may publish to them.

    The first policy whose pattern matches a topic holds for it; a topic that none matches has
    no history, and anyone may publish to it.

    Attributes:
        pattern: Topics that it is about: tokens separated by dots, `*` is any one token, `>` one
            or more at the end.
        history: Messages kept for each topic; 0 keeps none, and its messages have no positions.
        ttl: Seconds that a message is kept, in the time that the server runs; None keeps it
            until it makes room for others.
        history_bytes: Bytes kept for each topic, each message counted with 64 bytes on top.
        latest: Keep only the newest message of each conflation key (a topic whose publishers
            name none keeps one message). What such a history leaves out was replaced, not lost.
        publish: "server" reserves publishing for the server's own handlers.
        presence: Keep count of who subscribes to each topic.
    """

    pattern: str
    history: int = field(default=0, kw_only=True)
    ttl: float | None = field(default=None, kw_only=True)
    history_bytes: int = field(default=16 * MIB, kw_only=True)
    latest: bool = field(default=False, kw_only=True)
    publish: Literal["anyone", "server"] = field(default="anyone", kw_only=True)
    presence: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        _check_count("history", self.history, 0)
        _check_count("history_bytes", self.history_bytes, 1)
        if self.ttl is not None and not 0 < self.ttl < math.inf:
            raise ConfigurationError(f"ttl must be finite and > 0 s, got {self.ttl!r}")
        if self.publish not in {"anyone", "server"}:
            raise ConfigurationError(f'publish must be "anyone" or "server": {self.publish!r}')
        if self.latest and not self.history:
            raise ConfigurationError("latest needs a history: say how many keys, history=1 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicLimits:
    """What a server grants to those who publish and subscribe, and what it keeps in all.

    Attributes:
        max_subscriptions: Subscriptions of one connection. 128 as in centrifuge.
        max_all_subscriptions: Subscriptions of one server.
        subscribe_rate: Subscriptions a second of one connection, for long; those of one second,
            and twice as many as it may have at once, may come at any speed.
        max_queue: Bytes that wait for one subscriber without credit, each message counted with
            64 bytes on top; beyond it its policy for slow consumers decides. 1 MiB as in
            centrifuge.
        max_topics: Topics with a history (or one that was not forgotten yet). Beyond it, a
            new one is refused when no topic without messages can be forgotten.
        max_history_messages: Messages kept in all; beyond it the topics that were silent for the
            longest lose their oldest ones.
        max_history_bytes: The same in bytes.
        max_keys: Idempotency keys remembered; beyond it the oldest is forgotten.
        key_ttl: Seconds that an idempotency key is remembered. 5 minutes as in centrifuge.
        max_positions: Topics in the position of a subscription to a pattern; one that matches
            more cannot resume.
        max_page: Messages read from a history at once, and in one answer about it.
        max_page_bytes: The same in bytes; one message may be larger.
        max_presence: Members of all topics together, a connection counted once for each topic.
        max_presence_page: Members in one answer about a topic.
        max_routes: Topics whose subscribers are remembered, so that they need not be looked up.
    """

    max_subscriptions: int = 128
    max_all_subscriptions: int = 100_000
    subscribe_rate: float = 32.0
    max_queue: int = MIB
    max_topics: int = 100_000
    max_history_messages: int = 1_000_000
    max_history_bytes: int = 256 * MIB
    max_keys: int = 100_000
    key_ttl: float = 300.0
    max_positions: int = 1000
    max_page: int = 300
    max_page_bytes: int = 256 * KIB
    max_presence: int = 100_000
    max_presence_page: int = 1000
    max_routes: int = 10_000

    def __post_init__(self) -> None:
        check_positive(self)
        for option in dataclasses.fields(self):
            if option.name not in {"key_ttl", "subscribe_rate"}:
                _check_count(option.name, getattr(self, option.name), 1)


def _check_count(name: str, value: object, least: int) -> None:
    """Refuse what is not a whole number, or too small a one."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigurationError(f"{name} must be a whole number >= {least}, got {value!r}")
