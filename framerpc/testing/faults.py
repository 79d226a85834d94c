"""The names of the faults, the same for one connection, one address and a whole network.

This module does not know what they are laid upon, nor how they are carried out.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import math
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from framerpc.errors import ConfigurationError
from framerpc.testing.faulty import Conditions

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BOTH", "Direction", "Faults"]

Direction: TypeAlias = Literal["to_server", "to_client"]
"""One half of a connection, by where its bytes go."""

BOTH: Final[tuple[Direction, Direction]] = ("to_server", "to_client")


class Faults(abc.ABC):
    """The faults that can be laid upon a connection, a name or a whole network.

    They add up, last until `heal`, and hit bytes that are sent from now on, except for
    `drop`, `half_open`, `freeze` and `cut`, which also hit those that are under way. They may be
    called from any thread.
    """

    def drop(self) -> None:
        """Lose everything in both directions, and tell nobody.

        After `heal` it is sent again, as TCP would, so nothing is missing in the end.
        """
        self.alter(BOTH, functools.partial(dataclasses.replace, blocked=True))

    def half_open(self, direction: Direction) -> None:
        """Lose everything in one direction, as `drop` does in both."""
        self.alter((direction,), functools.partial(dataclasses.replace, blocked=True))

    def freeze(self) -> None:
        """Let both applications stop, as SIGSTOP does: nothing is read, but hosts acknowledge it.

        After `heal` they read what has come meanwhile.
        """
        self.alter(BOTH, functools.partial(dataclasses.replace, frozen=True))

    def delay(
        self, seconds: float, jitter: float = 0.0, *, direction: Direction | None = None
    ) -> None:
        """Let bytes be under way for some time; the order stays.

        Args:
            seconds: At least this long.
            jitter: And at random up to this many seconds longer.
            direction: Only that half of the connection; both if None.
        """
        _check("seconds", seconds, zero=True)
        _check("jitter", jitter, zero=True)
        change = functools.partial(dataclasses.replace, delay=seconds, jitter=jitter)
        self.alter(_chosen(direction), change)

    def byte_by_byte(self, *, direction: Direction | None = None) -> None:
        """Let bytes arrive one by one."""
        self.alter(_chosen(direction), functools.partial(dataclasses.replace, byte_by_byte=True))

    def slow_reader(self, bytes_per_second: float, *, direction: Direction | None = None) -> None:
        """Let no more than so many bytes arrive in a second.

        Args:
            bytes_per_second: More than 0.
            direction: "to_client" for a slow client, "to_server" for a slow server; both if None.
        """
        _check("bytes_per_second", bytes_per_second, zero=False)
        self.alter(
            _chosen(direction), functools.partial(dataclasses.replace, rate=bytes_per_second)
        )

    def heal(self) -> None:
        """Take every fault away; what was held back arrives."""
        self.alter(BOTH, lambda _: Conditions())

    @abc.abstractmethod
    def cut(self) -> None:
        """Reset the connections that exist: both ends get ConnectionResetError at once."""

    @abc.abstractmethod
    def alter(
        self, directions: tuple[Direction, ...], change: Callable[[Conditions], Conditions]
    ) -> None:
        """Replace the conditions of these directions by what `change` makes of them."""


def _chosen(direction: Direction | None) -> tuple[Direction, ...]:
    return BOTH if direction is None else (direction,)


def _check(name: str, value: float, *, zero: bool) -> None:
    """Refuse what no network can do."""
    if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        raise ConfigurationError(
            f"{name} must be finite and {'>= 0' if zero else '> 0'}, got {value!r}"
        )
