"""Where a client is, as it can tell its user."""

from __future__ import annotations

import enum

__all__ = ["State"]


class State(enum.Enum):
    """What a client can say of its connection."""

    CONNECTING = "connecting"  # no connection; dialling, or pausing before the next attempt
    READY = "ready"
    CLOSED = "closed"  # by us, or refused for good
