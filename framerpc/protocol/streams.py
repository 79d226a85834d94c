"""The streams of one call: which directions are open, and how much credit each has.

Credit is counted in bytes; an item costs its body and `ITEM_COST` on top. The tables
`CONSUMER` and `PRODUCER` of `states` decide what a frame does to a direction; this module
only applies them. It does not know which call it belongs to.

Spec: protocol.md, "Streams".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from framerpc.errors import RemoteProtocolError
from framerpc.protocol.frames import MAX_CREDIT, Kind
from framerpc.protocol.states import CONSUMER, PRODUCER, Effect, Flow, Step

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ITEM_COST", "NO_STREAMS", "Streams"]

ITEM_COST: Final = 64
"""What an item costs in credit on top of its bytes, so that empty ones are not free."""

_CLOSE: Final = Step(Effect.CLOSE, Flow.NONE)


class Streams:
    """Both directions of one call.

    Args:
        producing: We send a stream.
        consuming: We receive one.
        may_send: Credit that the peer grants to begin with, in bytes.
        window: Credit that we grant to begin with, in bytes.

    Attributes:
        producing: Where the direction is in which we send.
        consuming: Where the direction is in which we receive.
        may_send: Our credit; below zero after an item that was larger than the rest.
        may_receive: The peer's credit.
    """

    __slots__ = ("_taken", "_window", "consuming", "may_receive", "may_send", "producing")

    def __init__(self, *, producing: bool, consuming: bool, may_send: int, window: int) -> None:
        self.producing = Flow.OPEN if producing else Flow.NONE
        self.consuming = Flow.OPEN if consuming else Flow.NONE
        self.may_send = may_send
        self.may_receive = self._window = window
        self._taken = 0  # consumed, and not yet told to the producer

    def granted(self, count: int) -> bool:
        """Apply a CREDIT; return whether anybody needs to know.

        Raises:
            RemoteProtocolError: We send no stream, or it is more credit than there can be.
        """
        deliver = self._step(PRODUCER[self.producing], Kind.CREDIT)[0]
        if deliver:
            self.may_send += count
            if self.may_send > MAX_CREDIT:
                raise RemoteProtocolError(f"a stream has more than {MAX_CREDIT} bytes of credit")
        return deliver

    def arrived(self, kind: Kind, size: int = 0) -> bool:
        """Apply an ITEM of `size` bytes, an END or the ERROR of an upload.

        Returns:
            Whether to deliver it.

        Raises:
            RemoteProtocolError: We receive no stream, it has ended, or has no credit.
        """
        deliver, self.consuming = self._step(CONSUMER[self.consuming], kind)
        if kind is Kind.ITEM:
            if self.may_receive <= 0:
                raise RemoteProtocolError("an item was sent without credit")
            self.may_receive -= ITEM_COST + size
        return deliver

    @staticmethod
    def _step(row: Mapping[Kind, Step], kind: Kind) -> tuple[bool, Flow]:
        effect, flow = row.get(kind, _CLOSE)
        if effect is Effect.CLOSE:
            raise RemoteProtocolError(f"{kind.name} does not fit the streams of its call")
        return effect is Effect.DELIVER, cast("Flow", flow)

    def consumed(self, size: int) -> int:
        """Note that the application took an item of `size` bytes.

        Returns:
            The credit to grant for it; 0 until half a window has been taken.
        """
        self._taken += ITEM_COST + size
        if self._taken * 2 < self._window:
            return 0
        granted = min(self._taken, MAX_CREDIT)
        self._taken -= granted
        self.may_receive += granted
        return granted

    def given_up(self) -> None:
        """Send nothing more."""
        if self.producing is Flow.OPEN:
            self.producing = Flow.ENDED


NO_STREAMS: Final = Streams(producing=False, consuming=False, may_send=0, window=0)
"""Of a call without any: every frame about a stream breaks the rules, and nothing changes."""
