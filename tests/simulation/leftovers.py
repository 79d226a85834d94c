"""What a run leaves behind: tasks, timers, links, names, and objects that nobody lets go of (P6)."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from typing import TYPE_CHECKING, Final

from framerpc.client.channel import Channel
from framerpc.client.client import Client
from framerpc.client.following import Follower
from framerpc.client.pool import Pool
from framerpc.client.subscription import Subscription
from framerpc.connection import memory
from framerpc.connection.connection import Connection
from framerpc.connection.memory_transport import MemoryTransport
from framerpc.connection.outgoing import OutgoingCall
from framerpc.connection.streams import ItemReader, ItemWriter
from framerpc.pubsub.feed import Feed
from framerpc.server.incoming import IncomingCall
from framerpc.server.peer import Peer
from framerpc.server.server import Server
from framerpc.server.sink import StreamSink

if TYPE_CHECKING:
    from framerpc.testing import Network

__all__ = ["counted_left", "network_left", "objects", "tasks_left", "timers_left"]

_COUNTED: Final = (
    Channel, Client, Connection, Feed, Follower, IncomingCall, ItemReader, ItemWriter,
    MemoryTransport, OutgoingCall, Peer, Pool, Server, StreamSink, Subscription, asyncio.Task,
    asyncio.TimerHandle,
)  # fmt: skip
"""What a client or a server consists of."""


def counted_left(clients: list[Client]) -> list[str]:
    """Return the endpoints that count calls as in flight; to be asked when there are none."""
    return [
        f"client {number} counts {report.in_flight} calls at {report.url}"
        for number, client in enumerate(clients)
        for report in client.endpoints()
        if report.in_flight
    ]


def tasks_left() -> list[str]:
    """Return the tasks that are alive besides the one that asks."""
    me = asyncio.current_task()
    return sorted(f"task {task!r}" for task in asyncio.all_tasks() if task is not me)


def timers_left(loop: asyncio.AbstractEventLoop) -> list[str]:
    """Return the timers that are still to fire."""
    handles: list[asyncio.TimerHandle] = getattr(loop, "_scheduled")  # noqa: B009 - not in the stubs
    return sorted(f"timer {handle!r}" for handle in handles if not handle.cancelled())


def network_left(network: Network, names: list[str]) -> list[str]:
    """Return the connections that are not over, who waits to connect, and the names taken."""
    left: list[str] = []
    for name in names:
        link = network.link(name)
        left += [f"connection {connection!r}" for connection in link.connections]
        left += [f"somebody who connects to {name}"] * len(link._waiting)
        if name in memory._listeners:
            left.append(f"the name {name}")
    return left


def objects() -> Counter[str]:
    """Return how many objects of ours there are, by class; garbage counts as well.

    What `gc.freeze` froze is passed over, which is what makes it quick.
    """
    return Counter(type(one).__name__ for one in gc.get_objects() if isinstance(one, _COUNTED))
