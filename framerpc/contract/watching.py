"""Watches: a state and what changes it, as one result of one method.

This module owns the three names that both sides use: `Watch`, which a method returns, and
`Snapshot` and `Change`, which its caller iterates over. How changes travel is not known here.

Spec: protocol.md, "Watching".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeAlias, TypeVar

from framerpc.contract.topic import Topic
from framerpc.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

__all__ = ["Change", "Snapshot", "Update", "Watch"]

_S = TypeVar("_S")
_C = TypeVar("_C")


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[_S]):
    """The whole state: what came before does not matter any more.

    Attributes:
        value: The state.
    """

    value: _S


@dataclass(frozen=True, slots=True)
class Change(Generic[_C]):
    """One change of the state; the next one, with none left out.

    Attributes:
        value: The message that was published.
    """

    value: _C


Update: TypeAlias = Snapshot[_S] | Change[_C]
"""What the caller of a watch gets."""


class Watch(Generic[_S, _C]):
    """What a method returns whose caller is to see a state and then every change of it.

    Declare it as `def follow(self) -> Watch[State, Message]`. Such a method runs on the event
    loop. Its caller iterates over `Snapshot` and `Change`: a snapshot first, then each message
    of the topic. After a lost connection the caller continues where it was, or begins again with
    a new snapshot if the topic's history no longer reaches back that far.

    Args:
        topic: The topic on which the changes are published.
        snapshot: Returns the state; may be `async`. It is called after the subscription to the
            topic has begun, so that nothing is lost in between; a change that is in the state
            already, but published after this, comes all the same.
        publish: Who may publish to the topic: the server only, or clients as well.
        authorize: Called each time when the watch is begun or resumed, before the subscription
            to the topic; raises to refuse it, usually `PermissionDenied` or a declared error. May
            be `async`. The snapshot is no place for that: one who resumes gets none. The error
            ends the watch for its caller, also in the middle; after `Unavailable` or
            `ResourceExhausted` it would come again by itself. See `Server.recheck` for a right
            that is taken away while the watch goes on.

    Raises:
        ConfigurationError: The snapshot, or `authorize`, cannot be called.
    """

    __slots__ = ("authorize", "publish", "snapshot", "topic")

    def __init__(
        self,
        topic: str | Topic[_C],
        snapshot: Callable[[], _S | Awaitable[_S]],
        *,
        publish: Literal["server", "anyone"] = "server",
        authorize: Callable[[], Awaitable[None] | None] | None = None,
    ) -> None:
        if not callable(snapshot):
            raise ConfigurationError(
                f"snapshot is a function that returns the state, got {snapshot!r}"
            )
        if publish not in ("server", "anyone"):
            raise ConfigurationError(f'publish is "server" or "anyone", got {publish!r}')
        if authorize is not None and not callable(authorize):
            raise ConfigurationError(
                f"authorize is a function that raises to refuse the watch, got {authorize!r}"
            )
        self.topic = topic.name if isinstance(topic, Topic) else topic
        self.snapshot: Callable[[], Any] = snapshot
        self.publish: Literal["server", "anyone"] = publish
        self.authorize: Callable[[], Awaitable[None] | None] | None = authorize

    def __repr__(self) -> str:
        return f"<Watch of {self.topic}>"

    # What its caller has in its place, a `WatchStream`, is iterated over: type checkers, to which
    # a stub is the service itself, are told so here.

    def __aiter__(self) -> AsyncIterator[Update[_S, _C]]:
        raise ConfigurationError(_NOT_HERE)

    def __anext__(self) -> Awaitable[Update[_S, _C]]:
        raise ConfigurationError(_NOT_HERE)


_NOT_HERE: Final = (
    "a Watch is what a method returns; its caller iterates: "
    "`async for update in client.stub(Service).method():`"
)
