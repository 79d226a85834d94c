"""The interface of what knows where a service is.

A resolver is asked once, by a client that goes on listening. It never takes endpoints away
because it failed: then it repeats the last good set, and says what is wrong.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from framerpc.balancing.endpoint import Endpoint
    from framerpc.errors import FrameRPCError

__all__ = ["Resolution", "Resolver"]


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a resolver knows at one time.

    Attributes:
        endpoints: The last good set, whole, in the resolver's order. Empty only as long as
            there has been none.
        problem: Why the last look found nothing, if it did not. The endpoints are then those of
            the last look that did.
    """

    endpoints: tuple[Endpoint, ...]
    problem: FrameRPCError | None = None


class Resolver(ABC):
    """Knows where a service is, and goes on knowing it. Several clients may share one.

    What it guarantees, and an implementation must keep:

    - The first resolution comes as soon as something is known, even if that is only a problem;
      then one for each change of endpoints or problem, and none without a change.
    - A failure is a resolution with a problem and the last good endpoints. Only a bug raises.
    - A set of endpoints is never empty: a source that names none has a problem.
    - The iteration ends when nothing can change any more.
    - Cancelling the iteration, or closing it (`aclose`), leaves nothing behind.
    """

    @property
    def initial(self) -> tuple[Endpoint, ...]:
        """The endpoints that are known without waiting; empty if there are none."""
        return ()

    @property
    def fixed(self) -> bool:
        """Whether `initial` is all that there will ever be: nobody has to watch."""
        return False

    @abstractmethod
    def watch(self) -> AsyncGenerator[Resolution, None]:
        """Yield what is known now, and then each change, on the running event loop.

        Close it with `aclose` (`contextlib.aclosing`) after leaving it early.
        """

    def refresh(self) -> None:  # noqa: B027 - a source that tells of changes itself needs none
        """Ask for a look soon, because a connection was lost or could not be made.

        Cheap, and harmless however often it is called. To be called on the event loop of those
        who watch.
        """
