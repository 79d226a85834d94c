"""Where a client is, as it can tell its user."""

from __future__ import annotations

import enum
from typing import Final

__all__ = ["CONNECTED", "State"]


class State(enum.Enum):
    """What a client can say of its connection."""

    CONNECTING = "connecting"  # no connection; dialling, or pausing before the next attempt
    READY = "ready"
    DEGRADED = "degraded"  # connected, and an answer to a PING is overdue
    CLOSED = "closed"  # by us, or refused for good


CONNECTED: Final = frozenset({State.READY, State.DEGRADED})
"""The states in which a call leaves at once."""
