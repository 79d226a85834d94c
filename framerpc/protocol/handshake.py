"""The greeting: preamble, what each side announces, what they agree on.

Spec: protocol.md, "Preamble" and "Handshake".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, TypeVar

import msgspec

from framerpc.errors import CloseCode, RemoteProtocolError
from framerpc.protocol.kinds import MAX_CREDIT, MAX_UINT

if TYPE_CHECKING:
    from framerpc.config import Limits

__all__ = [
    "MINIMUM",
    "MINIMUM_EARLY",
    "MINIMUM_GREETING",
    "PREAMBLE",
    "VERSION",
    "Announced",
    "Greeting",
    "Reply",
    "announce",
    "check_preamble",
    "options_of",
    "parse_greeting",
    "parse_reply",
    "speaks_framerpc",
    "window_of",
]

VERSION: Final = 1
PREAMBLE: Final = b"\x89FRPC\r\n" + bytes([VERSION])
"""Cannot be HTTP (no letter first) nor TLS (not 0x16), and shows a link that mangles bytes."""

MINIMUM_EARLY: Final = 16 * 1024
"""Bytes behind its HELLO that a client may send before it is welcomed, at any server."""

MINIMUM_GREETING: Final = 4 * 1024
"""Bytes of a HELLO or WELCOME that every peer reads."""

_Ms: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=MAX_UINT)]
_Session: TypeAlias = Annotated[bytes, msgspec.Meta(min_length=1, max_length=64)]
_Lag: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MAX_UINT)]


_SMALLEST_WINDOW: Final = 1024
_LARGEST_FRAME: Final = 2**32 - 1
_MOST_CALLS: Final = 2**30


class Announced(msgspec.Struct, frozen=True, gc=False):
    """The limits that one side tells the other: what it is ready to receive.

    Attributes:
        frame: Longest frame, in bytes.
        message: Longest body, in bytes.
        calls: Calls in flight.
        window: Bytes of items sent before any were consumed.
    """

    frame: Annotated[int, msgspec.Meta(ge=65_600, le=_LARGEST_FRAME)] = 65_600
    message: Annotated[int, msgspec.Meta(ge=1, le=MAX_UINT)] = 65_536
    calls: Annotated[int, msgspec.Meta(ge=1, le=_MOST_CALLS)] = 16
    window: Annotated[int, msgspec.Meta(ge=_SMALLEST_WINDOW, le=MAX_CREDIT)] = 65_536


MINIMUM: Final = Announced()
"""To be assumed until the peer has announced its own limits."""


def announce(limits: Limits) -> Announced:
    """Return what we tell the peer of our limits."""
    return Announced(
        frame=min(limits.max_frame, _LARGEST_FRAME),
        message=limits.max_message,
        calls=min(limits.max_calls, _MOST_CALLS),
        window=window_of(limits),
    )


def window_of(limits: Limits) -> int:
    """Return the credit that we grant to a new stream, in bytes."""
    return min(max(limits.stream_window, _SMALLEST_WINDOW), MAX_CREDIT)


class Greeting(msgspec.Struct, kw_only=True, frozen=True):
    """Options of HELLO. Keys that a later version adds are ignored.

    Attributes:
        versions: Major versions that the client speaks.
        agent: Name and version of the software, for logs.
        token: Credentials, or None.
        limits: What the client is ready to receive.
        ping_ms: Longest silence that the client wants, in milliseconds.
        lag_ms: How long the client's event loop may be blocked, in milliseconds; 0: not said.
        features: Optional features that the client knows.
        session: The session to go on with, as the server named it, or None.
    """

    versions: Annotated[list[int], msgspec.Meta(min_length=1, max_length=16)]
    agent: Annotated[str, msgspec.Meta(max_length=255)] = ""
    token: str | None = None
    limits: Announced = MINIMUM
    ping_ms: _Ms = 20_000
    lag_ms: _Lag = 0
    features: Annotated[list[str], msgspec.Meta(max_length=64)] = []
    session: _Session | None = None

    def __repr__(self) -> str:
        """Return what a log may show: never the token."""
        token = "none" if self.token is None else "hidden"
        return f"<Greeting of {self.agent!r}, versions {self.versions}, token {token}>"


class Reply(msgspec.Struct, kw_only=True, frozen=True):
    """Options of WELCOME. Keys that a later version adds are ignored.

    Attributes:
        version: The major version to speak.
        agent: Name and version of the software, for logs.
        limits: What the server is ready to receive.
        ping_ms: Longest silence that the server wants, in milliseconds.
        lag_ms: How long the server's event loop may be blocked, in milliseconds; 0: not said.
        features: The optional features that both know.
        instance: Names this run of the server; another one after a restart.
        peer: The client's address as the server sees it.
        session: Names the session of this connection: the one that the client asked for, if
            the server has it still, or a new one. None if there is none.
    """

    version: int
    agent: Annotated[str, msgspec.Meta(max_length=255)] = ""
    limits: Announced = MINIMUM
    ping_ms: _Ms = 20_000
    lag_ms: _Lag = 0
    features: Annotated[list[str], msgspec.Meta(max_length=64)] = []
    instance: Annotated[str, msgspec.Meta(max_length=64)] = ""
    peer: Annotated[str, msgspec.Meta(max_length=255)] = ""
    session: _Session | None = None

    def __repr__(self) -> str:
        """Return what a log may show: never the name of the session."""
        session = "none" if self.session is None else "hidden"
        return f"<Reply of {self.agent!r}, version {self.version}, session {session}>"


def check_preamble(received: bytes) -> None:
    """Refuse a stranger as early as its bytes show that it is one.

    Args:
        received: The first bytes, at most as many as the preamble has.

    Raises:
        RemoteProtocolError: They are not the start of our preamble. With close code VERSION
            if the peer speaks framerpc in a version that we do not know.
    """
    if received == PREAMBLE[: len(received)]:
        return
    if speaks_framerpc(received):
        raise RemoteProtocolError(
            f"the peer speaks framerpc version {received[-1]}, we speak {VERSION}",
            CloseCode.VERSION,
        )
    raise RemoteProtocolError(f"the peer does not speak framerpc{_guess(received)}")


def speaks_framerpc(received: bytes) -> bool:
    """Return whether these first bytes are a whole preamble, in whatever version."""
    return len(received) == len(PREAMBLE) and received[:-1] == PREAMBLE[:-1]


def _guess(received: bytes) -> str:
    """Say what the bytes look like, for the person who dialled the wrong port."""
    if received[:1] == b"\x16":
        return ": this looks like TLS; use a tls:// address on both sides"
    if received[:4] in {b"GET ", b"POST", b"HEAD", b"PUT ", b"HTTP", b"OPTI", b"PRI "}:
        return ": this looks like HTTP"
    if received[:4] == b"SSH-":
        return ": this looks like SSH"
    if received[:2] == b"\x15\x03":
        return ": the peer answered with a TLS alert; use a tls:// address on both sides"
    return f": it began with {received!r}"


def options_of(words: Greeting | Reply) -> dict[str, Any]:
    """Return the options of a HELLO or a WELCOME; what is None is left out."""
    options = msgspec.to_builtins(words, builtin_types=(bytes,))
    return {key: value for key, value in options.items() if value is not None}


_Options = TypeVar("_Options", Greeting, Reply)


def _parse(options: dict[str, Any], into: type[_Options], name: str) -> _Options:
    try:
        return msgspec.convert(options, into, builtin_types=(bytes,))  # no base64
    except (msgspec.ValidationError, RecursionError) as exc:
        raise RemoteProtocolError(f"bad options in {name}: {exc}") from exc


def parse_greeting(options: dict[str, Any]) -> Greeting:
    """Return the options of a HELLO.

    Raises:
        RemoteProtocolError: They are malformed, or no common version is offered.
    """
    greeting = _parse(options, Greeting, "HELLO")
    if VERSION not in greeting.versions:
        offered = ", ".join(map(str, greeting.versions))
        raise RemoteProtocolError(
            f"the client offers the versions {offered}, we speak {VERSION}", CloseCode.VERSION
        )
    return greeting


def parse_reply(options: dict[str, Any]) -> Reply:
    """Return the options of a WELCOME.

    Raises:
        RemoteProtocolError: They are malformed, or name a version that we did not offer.
    """
    reply = _parse(options, Reply, "WELCOME")
    if reply.version != VERSION:
        raise RemoteProtocolError(
            f"the server chose version {reply.version}, we offered {VERSION}", CloseCode.VERSION
        )
    return reply
