"""What can be said of a server in numbers: what it counted, and what is there now.

Spec: protocol.md, "Methods": `framerpc/health` tells them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from framerpc.server.counters import Counters

if TYPE_CHECKING:
    from framerpc.server.ageing import Ageing
    from framerpc.server.server import Server

__all__ = ["statistics_of"]


def statistics_of(server: Server, ageing: Ageing | None) -> dict[str, int]:
    """Return what was counted, and what is there now, by name."""
    now = {
        "clients": len(server.peers.welcome),
        "blocks": server.blocks.count,
        "overdue": sum(peer.connection.overdue for peer in server.peers.welcome),
        "strangers": len(server.peers.strangers),
        "calls_in_flight": sum(len(peer.calls) for peer in server.peers.welcome),
        "shed_calls": sum(each.refused for each in server.dispatcher.limiters.values()),
        "retired_connections": 0 if ageing is None else ageing.retired,
    }
    names = Counters.__dataclass_fields__
    counted = {name: int(getattr(server.counters, name)) for name in names}
    return counted | now | server.sessions.statistics() | server.topics.statistics()
