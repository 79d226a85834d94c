"""What a server counts, whatever it logs.

Spec: none; the names are those of `Server.statistics`.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Counters"]


@dataclass(slots=True)
class Counters:
    """What a server counted since it was made.

    Attributes:
        connections: Connections accepted, strangers included.
        turned_away: Strangers over the bounds, closed without a word.
        accept_pauses: Times that no connection could be accepted, for want of descriptors.
        calls: Calls that ended, one-way ones included.
        failed_calls: Calls that were answered with an error after they had started.
        refused_calls: Calls that were answered with an error and not started.
        dropped_notifications: One-way calls that could not run.
        violations: Connections closed because the client broke the protocol.
    """

    connections: int = 0
    turned_away: int = 0
    accept_pauses: int = 0
    calls: int = 0
    failed_calls: int = 0
    refused_calls: int = 0
    dropped_notifications: int = 0
    violations: int = 0
