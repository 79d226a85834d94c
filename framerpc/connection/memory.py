"""Connections inside one process: `memory://name` addresses and pairs for tests.

This module owns the registry of names and the way two ends are joined. It knows nothing of
frames; the two ends may live on different event loops in different threads.

Strategy: an end hands what is written to a `Link`, and the link brings it to the other end,
which queues it and gives it to its protocol from a callback of its own loop. A link is the
network of one direction, and the only thing to replace in order to have a bad one: an active
`Policy` chooses the links of each new connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import threading
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from framerpc.connection.memory_link import Link
from framerpc.connection.memory_transport import MemoryTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = [
    "Link",
    "MemoryListener",
    "MemoryTransport",
    "Policy",
    "connect",
    "listen",
    "pair",
    "use",
]

_ProtocolT = TypeVar("_ProtocolT", bound=asyncio.BaseProtocol)


class Policy(Protocol):
    """The network between clients and `memory://` listeners. May be asked from several threads."""

    async def admit(self, name: str) -> None:
        """Let a new connection to `name` through: at once, later or never.

        Raises:
            OSError: It is refused.
        """
        ...

    def links(
        self, name: str, client: asyncio.AbstractEventLoop, server: asyncio.AbstractEventLoop
    ) -> tuple[Link, Link]:
        """Return the links of a new connection: the one to the server, the one to the client.

        Args:
            name: The name that was dialled.
            client: The loop of the client, on which the link to the server is used.
            server: The loop of the listener, on which the link to the client is used.
        """
        ...


class MemoryListener:
    """The owner of one name: makes a protocol for each connection to it.

    Attributes:
        name: What stands behind `memory://`.
        loop: The loop that its connections live on.
    """

    def __init__(
        self,
        name: str,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.name = name
        self.loop = loop
        self._protocol_factory = protocol_factory
        self._numbers = itertools.count(1)

    def __repr__(self) -> str:
        return f"<MemoryListener memory://{self.name}, {'open' if self.is_serving() else 'closed'}>"

    def is_serving(self) -> bool:
        """Say whether the name is still ours."""
        return _listeners.get(self.name) is self

    def close(self) -> None:
        """Give the name up. Connections that are already made live on. Idempotent."""
        with _lock:
            if self.is_serving():
                del _listeners[self.name]

    def accept(
        self, loop: asyncio.AbstractEventLoop, to_server: Link, to_client: Link
    ) -> MemoryTransport:
        """Make a connection with a client on `loop`, and return the client's end of it.

        Raises:
            ConnectionRefusedError: The loop of this listener is closed.
        """
        address = f"{self.name}#{next(self._numbers)}"
        client = MemoryTransport(loop, to_server, sockname=address, peername=self.name)
        server = MemoryTransport(self.loop, to_client, sockname=self.name, peername=address)
        client.join(server)
        server.join(client)
        try:
            self.loop.call_soon_threadsafe(server.begin, self._protocol_factory)
        except RuntimeError as exc:
            raise _refused(self.name) from exc
        return client


_lock: Final = threading.Lock()
_listeners: Final[dict[str, MemoryListener]] = {}
_policies: Final[list[Policy]] = []


def listen(
    name: str,
    protocol_factory: Callable[[], asyncio.BaseProtocol],
    loop: asyncio.AbstractEventLoop,
) -> MemoryListener:
    """Take `name`, and make a protocol for each connection to `memory://name`.

    Args:
        name: Any text that is not taken in this process.
        protocol_factory: Called on `loop` for each connection.
        loop: The loop that the connections shall live on. A name whose loop was closed is free.

    Raises:
        OSError: EADDRINUSE, the name is taken.
    """
    listener = MemoryListener(name, protocol_factory, loop)
    with _lock:
        taken = _listeners.get(name)
        if taken is not None and not taken.loop.is_closed():
            raise OSError(errno.EADDRINUSE, f"memory://{name} is already taken in this process")
        _listeners[name] = listener
    return listener


async def connect(
    name: str, protocol_factory: Callable[[], _ProtocolT]
) -> tuple[MemoryTransport, _ProtocolT]:
    """Connect to the listener of `name`; return once our `connection_made` has run.

    Cancelling it aborts the connection.

    Raises:
        ConnectionRefusedError: Nobody listens there.
    """
    policy = _policies[-1] if _policies else None
    if policy is not None:
        await policy.admit(name)
    loop = asyncio.get_running_loop()
    listener = _listeners.get(name)
    if listener is None:
        raise _refused(name)
    links = policy.links(name, loop, listener.loop) if policy is not None else (Link(), Link())
    protocol = protocol_factory()
    transport = listener.accept(loop, *links)
    transport.begin(lambda: protocol)
    try:
        await asyncio.sleep(0)  # `connection_made` stands before us in the loop's queue
    except asyncio.CancelledError:
        transport.abort()
        raise
    return transport, protocol


def pair(
    client: asyncio.BaseProtocol,
    server: asyncio.BaseProtocol,
    links: tuple[Link, Link] | None = None,
) -> tuple[MemoryTransport, MemoryTransport]:
    """Join two protocols on the running loop, without a name.

    Args:
        client: One protocol.
        server: The other one.
        links: The link to the server and the link to the client; perfect ones if None.

    Returns:
        The transports of `client` and of `server`; `connection_made` is called soon.
    """
    loop = asyncio.get_running_loop()
    to_server, to_client = links if links is not None else (Link(), Link())
    ours = MemoryTransport(loop, to_server, sockname="client", peername="server")
    theirs = MemoryTransport(loop, to_client, sockname="server", peername="client")
    ours.join(theirs)
    theirs.join(ours)
    theirs.begin(lambda: server)
    ours.begin(lambda: client)
    return ours, theirs


@contextlib.contextmanager
def use(policy: Policy) -> Generator[None]:
    """Let `policy` be the network of every connection made meanwhile in this process.

    The innermost one counts, in all threads, because the names are the process's too.
    """
    _policies.append(policy)
    try:
        yield
    finally:
        _policies.remove(policy)


def _refused(name: str) -> ConnectionRefusedError:
    return ConnectionRefusedError(errno.ECONNREFUSED, f"nobody listens at memory://{name}")
