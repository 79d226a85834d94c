"""What a server counts from its beginning. What there is at the moment is in its statistics."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Counters"]


@dataclass(slots=True)
class Counters:
    """What a server counted since it was made.

    Attributes:
        connections: Connections accepted, strangers included.
        turned_away: Strangers over the bounds, closed without a word.
        refused_clients: Clients whose credentials were refused (`Unauthenticated`).
        accept_pauses: Times that no connection could be accepted, for want of descriptors.
        calls: Calls that ended, one-way ones included.
        failed_calls: Calls that were answered with an error after they had started.
        refused_calls: Calls that were answered with an error and not started.
        dropped_notifications: One-way calls that could not run.
        violations: Connections closed because the client broke the protocol.
        resumed_sessions: Connections that went on with the session of an earlier one.
        evicted_sessions: Sessions dropped early because there were too many.
        answered_again: `once` calls that were sent again, and got the answer of the first.
        complaints: Warnings about clients: violations, floods, silence, slowness, one-way calls
            that could not run, credentials that were refused or could not be looked at.
        unlogged_complaints: Those of them that the log only gives the number of.
    """

    connections: int = 0
    turned_away: int = 0
    refused_clients: int = 0
    accept_pauses: int = 0
    calls: int = 0
    failed_calls: int = 0
    refused_calls: int = 0
    dropped_notifications: int = 0
    violations: int = 0
    resumed_sessions: int = 0
    evicted_sessions: int = 0
    answered_again: int = 0
    complaints: int = 0
    unlogged_complaints: int = 0
