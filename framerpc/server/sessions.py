"""The sessions of one server: who may go on with which, and how long each is kept.

A session is found by the token that the server gave out for it, and by who asks: another
identity finds nothing. One connection has it at a time, the newest. Without a connection it is
kept for a while, within a bound; what has to go is what was left longest ago. What its calls do
meanwhile is the business of `runs`.

Spec: protocol.md, "Sessions".
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

from framerpc.protocol.sessions import SESSIONS
from framerpc.server.expiry import Expiry
from framerpc.server.journal import Journal, owner_of
from framerpc.server.once import OnceCalls
from framerpc.server.runs import Runs
from framerpc.server.session import Session

if TYPE_CHECKING:
    from framerpc.protocol.handshake import Greeting
    from framerpc.server.peer import Peer
    from framerpc.server.reply_store import ReplyStore
    from framerpc.server.server import Server

__all__ = ["Sessions"]

_TOKEN_SIZE: Final = 16
"""Bytes of a token: nobody guesses one."""


class Sessions:
    """The sessions of one server.

    Args:
        server: Whose.
        store: Where replies survive the process, or None.

    Attributes:
        runs: What their numbered calls do, or have ended with.
        once: Takes such calls.
    """

    def __init__(self, server: Server, store: ReplyStore | None) -> None:
        self._server = server
        self._journal = None if store is None else Journal(store)
        self.runs = Runs(server, self._journal)
        self.once = OnceCalls(server, self.runs)
        self._by_token: dict[bytes, Session] = {}
        self._detached: Expiry[Session] = Expiry(server.limits.session_ttl, self._drop)

    def __repr__(self) -> str:
        return f"<Sessions: {len(self._by_token)}, {len(self._detached)} of them detached>"

    # ------------------------------------------------------------ arriving, leaving

    def open(self, peer: Peer, greeting: Greeting) -> Session | None:
        """Return the session of a client that is let in, its own or a new one, if it wants one."""
        if SESSIONS not in greeting.features:
            return None
        session = self._find(greeting.session, peer.identity)
        if session is None:
            session = self._new(peer.identity)
        else:
            self._server.counters.resumed_sessions += 1
            self._detached.discard(session)
        if session is not None:
            session.peer = peer
            session.identity = peer.identity
        return session

    def _find(self, token: bytes | None, identity: object) -> Session | None:
        session = None if token is None else self._by_token.get(token)
        return session if session is not None and _belongs(session, identity) else None

    def _new(self, identity: object) -> Session | None:
        """Return a new session; the one left longest ago makes room for it, if one was left."""
        while len(self._by_token) >= self._server.limits.max_sessions:
            oldest = next(iter(self._detached), None)
            if oldest is None:
                return None
            self._server.counters.evicted_sessions += 1
            self._drop(oldest)
        owner = None if self._journal is None else owner_of(identity)
        session = Session(secrets.token_bytes(_TOKEN_SIZE), identity, owner)
        self._by_token[session.token] = session
        return session

    def left(self, peer: Peer) -> None:
        """Keep the session of a connection that is lost, for a while."""
        session = peer.session
        if session is not None and session.peer is peer:
            session.peer = None
            if not session.over:
                self._detached.add(session)

    def ended(self, peer: Peer) -> None:
        """Drop the session of a client that says it needs it no more."""
        session = peer.session
        if session is not None and session.peer is peer:
            self._drop(session)

    def _drop(self, session: Session) -> None:
        self._detached.discard(session)
        self._by_token.pop(session.token, None)
        self.runs.forget(session)

    # -------------------------------------------------------------- beginning, end

    async def start(self) -> None:
        """Take over what an earlier process has written down.

        Raises:
            Exception: The store cannot be used.
        """
        if self._journal is not None:
            for session in await self._journal.load():
                self._by_token[session.token] = session
                self._detached.add(session)
                self.runs.restore(session)

    async def close(self) -> None:
        """Stop what runs, write what is to be written, and forget everything."""
        await self.runs.close()
        self._detached.clear()
        self._by_token.clear()
        if self._journal is not None:
            await self._journal.close()

    def statistics(self) -> dict[str, int]:
        """Return what there is now, by name."""
        failures = 0 if self._journal is None else self._journal.failures
        return {
            "sessions": len(self._by_token),
            "detached_runs": len(self.runs.detached),
            "replies": len(self.runs.replies),
            "reply_bytes": self.runs.replies.size,
            "evicted_replies": self.runs.replies.evicted,
            "store_failures": failures,
        }


def _belongs(session: Session, identity: Any) -> bool:
    """Return whether this is the identity that opened the session."""
    if session.identity is None and session.owner is not None:
        return session.owner == owner_of(identity)  # an earlier process may have opened it
    try:
        return bool(session.identity == identity)
    except Exception:  # noqa: BLE001 - identities that cannot be compared are not equal
        return False
