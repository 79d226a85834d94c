"""All clients of one server: who may stay, who they are, and how they leave.

Strangers are bounded before they cost anything: in number, by address, and in time, with one
timer for all of them. Only then does the application decide, once per connection, who it is.

Spec: protocol.md, "Handshake" and "Drain".
"""

from __future__ import annotations

import asyncio
import inspect
import secrets
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from framerpc.connection.connection import Connection
from framerpc.connection.sockets import describe_peer
from framerpc.connection.timers import CATCH_UP, was_blocked
from framerpc.errors import CloseCode, ConfigurationError, Unauthenticated
from framerpc.protocol.handshake import VERSION, Reply
from framerpc.protocol.sessions import SESSIONS
from framerpc.protocol.states import Role
from framerpc.protocol.topics import TOPICS
from framerpc.protocol.wire import Wire, announce
from framerpc.server.peer import Peer
from framerpc.version import AGENT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from framerpc.protocol.handshake import Greeting
    from framerpc.server.ageing import Ageing
    from framerpc.server.server import Server

__all__ = ["Credentials", "Peers"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client shows to prove who it is; the argument of `authenticate`.

    Attributes:
        token: The token it sent, or None. Compare it with `hmac.compare_digest`.
        address: Where it connects from, for example "tcp://127.0.0.1:50412".
        scheme: "tcp", "tls", "unix" or "memory".
        certificate: Its TLS certificate as `ssl.SSLSocket.getpeercert` returns it, if the
            server asked for one and trusts it.
        agent: Name and version of its software, as it says.
    """

    token: str | None = field(repr=False)
    address: str
    scheme: str
    certificate: dict[str, Any] | None
    agent: str


class Peers:
    """The clients of one server.

    Args:
        server: Whose.
        authenticate: Returns the identity of a caller, or raises; None lets everybody in.
        ageing: Counts how old the connections are, if they may not become as old as they like.
    """

    def __init__(
        self,
        server: Server,
        authenticate: Callable[[Credentials], Awaitable[Any] | Any] | None,
        ageing: Ageing | None = None,
    ) -> None:
        # In the order in which they came, so that a simulated drain is the same each time.
        self.welcome: dict[Peer, None] = {}
        self.strangers: dict[Peer, float] = {}  # until when each may stay, the oldest first
        self.instance = secrets.token_hex(8)
        self._server = server
        self._authenticate = authenticate
        self._ageing = ageing
        self._by_host: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None
        self._deciding: dict[Peer, asyncio.Task[None]] = {}
        self._changed: asyncio.Event | None = None

    def factory(self, scheme: str) -> Callable[[], Connection]:
        """Return what makes a connection of everybody who comes to an address."""
        loop = asyncio.get_running_loop()
        server = self._server

        def make() -> Connection:
            peer = Peer(server, loop)
            connection = Connection(
                Wire(Role.SERVER, server.limits),
                peer,
                limits=server.limits,
                keepalive=server.keepalive,
                endpoint=f"{scheme}://",
                loop=loop,
            )
            peer.connection = connection
            return connection

        return make

    def decide_by(self, authenticate: Callable[[Credentials], Awaitable[Any] | Any]) -> None:
        """Set who decides about strangers, once."""
        if self._authenticate is not None:
            raise ConfigurationError(
                "the server has an `authenticate` of its own; a token given from outside would "
                "replace it"
            )
        self._authenticate = authenticate

    # ------------------------------------------------------------------ arriving

    def opened(self, peer: Peer, connection: Connection, transport: asyncio.BaseTransport) -> None:
        """Count a stranger, or turn it away without a word."""
        server = self._server
        scheme = connection.endpoint.partition(":")[0]
        peer.address = connection.endpoint = describe_peer(transport, scheme)
        peer.host = _host(transport)
        limits = server.limits
        if len(self.strangers) >= limits.max_unauthenticated or (
            peer.host and self._by_host[peer.host] >= limits.max_unauthenticated_per_address
        ):
            server.counters.turned_away += 1
            connection.abort("too many strangers")
            return
        self._watch(peer)
        self._by_host[peer.host] += 1
        server.counters.connections += 1
        if peer.address == f"{scheme}://":  # a Unix socket has no name of its own
            peer.address = connection.endpoint = f"{scheme}://#{server.counters.connections}"

    def _watch(self, peer: Peer) -> None:
        """Give a stranger its time: all get the same, so a queue and one timer do."""
        loop = asyncio.get_running_loop()
        due = self.strangers[peer] = loop.time() + self._server.limits.handshake_timeout
        if self._timer is None:
            self._timer = loop.call_at(due, self._look, due)

    def _look(self, expected: float) -> None:
        """Send away those who have not said in time who they are."""
        loop = asyncio.get_running_loop()
        if was_blocked(loop, expected):  # what they said may be unread
            self._timer = loop.call_later(CATCH_UP, self._look, float("inf"))
            return
        self._timer = None
        now = loop.time()
        reason = f"the handshake took longer than {self._server.limits.handshake_timeout:.3g} s"
        for peer, due in list(self.strangers.items()):
            # Timers may fire one clock resolution early.
            if due > now + 0.001:
                self._timer = loop.call_at(due, self._look, due)
                return
            peer.connection.close(CloseCode.HANDSHAKE_TIMEOUT, reason)

    def greeted(self, peer: Peer, connection: Connection, greeting: Greeting) -> None:
        """Decide about a client that introduced itself."""
        if self._is_full(connection):
            return
        if self._server.draining:
            connection.close(CloseCode.SHUTDOWN, _STOPPING)
        elif self._authenticate is None:
            self._let_in(peer)
        else:
            task = asyncio.get_running_loop().create_task(self._decide(peer, greeting))
            self._deciding[peer] = task
            task.add_done_callback(lambda _: self._deciding.pop(peer, None))

    def _is_full(self, connection: Connection) -> bool:
        """Turn a client away if there are too many; return whether there are."""
        most = self._server.limits.max_connections
        if len(self.welcome) < most:
            return False
        connection.close(CloseCode.BUSY, f"the server has {most} connections already")
        return True

    async def _decide(self, peer: Peer, greeting: Greeting) -> None:
        """Ask the application who this is. Whatever it raises is a refusal."""
        assert self._authenticate is not None
        connection = peer.connection
        try:
            identity = self._authenticate(self._credentials(connection, greeting))
            if inspect.isawaitable(identity):
                identity = await identity
        except Unauthenticated as exc:
            reason = exc.detail or "unknown credentials"
            complaint = f"{peer.address}: refused credentials: {reason[:_LONGEST_REASON]!r}"
            self._server.counters.refused_clients += 1
            self._server.complaints.say("refused credentials", complaint)
            connection.close(CloseCode.UNAUTHENTICATED, reason)
            return
        except asyncio.CancelledError:
            raise
        except BaseException as exc:  # noqa: BLE001 - SystemExit ends nobody but this client
            # Only `Unauthenticated` says why: anything else may hold a secret.
            complaint = f"{peer.address}: authenticate() failed"
            self._server.complaints.say("authenticate()", complaint, exc)
            connection.close(CloseCode.UNAUTHENTICATED, "the credentials were refused")
            return
        peer.identity = identity
        self._let_in(peer)

    def _credentials(self, connection: Connection, greeting: Greeting) -> Credentials:
        ssl_object = connection.transport_info("ssl_object")
        certificate: dict[str, Any] | None = None
        if ssl_object is not None:
            certificate = ssl_object.getpeercert() or None
        return Credentials(
            token=greeting.token,
            address=connection.endpoint,
            scheme=connection.endpoint.partition(":")[0],
            certificate=certificate,
            agent=greeting.agent,
        )

    def _let_in(self, peer: Peer) -> None:
        if peer not in self.strangers or self._is_full(peer.connection):
            return  # it did not wait for us, or others were faster
        self._no_stranger(peer)
        self.welcome[peer] = None
        if self._ageing is not None:
            self._ageing.watch(peer)
        server = self._server
        greeting = peer.connection.wire.greeting
        assert greeting is not None  # it is what we decided about
        session = peer.session = server.sessions.open(peer, greeting)
        agreed = {SESSIONS: session is not None, TOPICS: TOPICS in greeting.features}
        peer.connection.welcome(
            Reply(
                version=VERSION,
                agent=AGENT,
                limits=announce(server.limits),
                ping_ms=server.keepalive.ping_ms,
                lag_ms=server.keepalive.lag_ms,
                features=[name for name, yes in agreed.items() if yes],
                instance=self.instance,
                peer=peer.address[:255],
                session=None if session is None else session.token,
            )
        )

    # ------------------------------------------------------------------- leaving

    def lost(self, peer: Peer) -> None:
        """Forget a client whose connection is gone."""
        if peer in self.strangers:
            self._no_stranger(peer)
        self.welcome.pop(peer, None)
        task = self._deciding.get(peer)
        if task is not None:
            task.cancel()
        if self._ageing is not None:
            self._ageing.forget(peer)
        self.note()

    def _no_stranger(self, peer: Peer) -> None:
        del self.strangers[peer]
        self._by_host[peer.host] -= 1
        if self._by_host[peer.host] <= 0:
            del self._by_host[peer.host]

    def note(self) -> None:
        """Wake who waits for the end of calls and connections."""
        if self._changed is not None:
            self._changed.set()

    async def drain(self, grace: float) -> None:
        """Ask all to go, and wait until they have gone, at most `grace` seconds.

        Strangers have a moment to introduce themselves: then they can be told that nothing of
        what they sent was done. Without a greeting they would not understand.
        """
        for peer in [peer for peer in self.strangers if peer.connection.wire.greeting is not None]:
            peer.connection.close(CloseCode.SHUTDOWN, _STOPPING)
        loop = asyncio.get_running_loop()
        patience = loop.call_later(min(grace, _GREETING_GRACE), self._dismiss)
        spread = min(len(self.welcome) / _DIALS_PER_SECOND, _LONGEST_SPREAD)
        for peer in list(self.welcome):
            peer.leave(CloseCode.SHUTDOWN, _STOPPING, grace, spread)
        try:
            await self._until(self._is_quiet, grace)
        finally:
            patience.cancel()

    def _dismiss(self) -> None:
        for peer in list(self.strangers):
            peer.connection.close(CloseCode.SHUTDOWN, _STOPPING)

    def _is_quiet(self) -> bool:
        """Return whether nobody is here, and no call goes on for who may come back."""
        return not self.welcome and not self.strangers and not self._server.sessions.runs.alive

    async def close(self) -> None:
        """End all connections and wait until nothing is left of them."""
        handlers = [task for peer in self.welcome for task in peer.cut()]
        if handlers:
            await asyncio.wait(handlers, timeout=self._server.limits.cancel_grace)
        for peer in [*self.welcome, *self.strangers]:
            peer.connection.close(CloseCode.SHUTDOWN, _STOPPING)
        gone = await self._until(lambda: not self.welcome and not self.strangers, _CLOSE_GRACE)
        if not gone:
            for peer in [*self.welcome, *self.strangers]:
                peer.connection.abort(_STOPPING)
            await self._until(lambda: not self.welcome and not self.strangers, _CLOSE_GRACE)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._deciding:  # cancelled when their connections were lost
            await asyncio.wait(self._deciding.values(), timeout=_CLOSE_GRACE)
        for _ in range(_LAST_TURNS):
            await asyncio.sleep(0)

    async def _until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait for a condition that `note` announces; return whether it came true in time."""
        self._changed = changed = asyncio.Event()
        try:
            async with asyncio.timeout(timeout):
                while not condition():
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            return condition()
        finally:
            self._changed = None
        return True


_STOPPING: Final = "the server is stopping"

_LONGEST_REASON: Final = 200
"""Characters of a refusal that are logged: it may hold what a stranger has written."""

_GREETING_GRACE: Final = 0.5
"""Seconds for the greeting of those who have just connected, when a server stops."""

_DIALS_PER_SECOND: Final = 1000
"""Clients that a successor can well welcome in a second; over so many seconds they spread."""

_LONGEST_SPREAD: Final = 5.0
"""Seconds that a client of a server that stops may be without one, at most, for others' sake."""

_LAST_TURNS: Final = 8
"""Turns of the loop after the last connection. asyncio tells that a connection is gone before it
closes the socket; and what stands between us and a client, if it runs on this very loop, needs
some turns to see the end before the loop may be stopped."""

_CLOSE_GRACE: Final = 1.0
"""Seconds for the last bytes of all connections when a server stops."""


def _host(transport: asyncio.BaseTransport) -> str:
    name: object = transport.get_extra_info("peername")
    return str(cast("tuple[object, ...]", name)[0]) if isinstance(name, tuple) and name else ""
