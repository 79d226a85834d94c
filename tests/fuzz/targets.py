"""What is fuzzed: each target takes any bytes, and may raise nothing."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Final

from framerpc.codecs import unpackb
from framerpc.config import Limits
from framerpc.contract import plain
from framerpc.errors import CloseCode, InvalidResult, RemoteProtocolError
from framerpc.protocol.events import Violation
from framerpc.protocol.frames import Kind, decode, encode
from framerpc.protocol.handshake import Greeting, Reply
from framerpc.protocol.states import ConnectionState, Role
from framerpc.protocol.wire import Wire
from tests.protocol.vectors import DELIVERIES, VECTORS, meaning, received

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SEEDS", "TARGETS"]

_GREETING: Final = Wire(Role.CLIENT, Limits()).hello(Greeting(versions=[1], agent="fuzz"))

# One good frame of every kind a client or a server may send, as the wire carries it.
_FRAMES: Final = [
    encode(Kind.GOAWAY.value, "restart", 1000),
    encode(Kind.PING.value, 1, None),
    encode(Kind.PONG.value, 1, {"lag_ms": 1, "calls": 2}),
    encode(Kind.REQUEST.value, 1, 0, "Greeter/greet", 1000, {"meta": {"k": "v"}}, b"\x91\xa1a"),
    encode(Kind.REQUEST.value, 3, 3, "Numbers/sum", None, None, 70_000),
    encode(Kind.PART.value, 3, b"x" * 100),
    encode(Kind.RESPONSE.value, 1, b"\xa1a"),
    encode(Kind.ERROR.value, 1, 3, 0, "no", {"retry_after_ms": 5}),
    encode(Kind.CANCEL.value, 1, 1),
    encode(Kind.RECEIPT.value, 1, 0),
    encode(Kind.ITEM.value, 3, b"\x01"),
    encode(Kind.END.value, 3),
    encode(Kind.CREDIT.value, 3, 1000),
    encode(Kind.NOTIFY.value, 5, "Greeter/wave", None, b"\x90"),
    encode(Kind.CLOSE.value, 0, "bye", None),
    encode(100, "unknown, optional"),
]

_VALUES: Final = [
    b"\x83\xa0\x91\x01\xa1k\xc0\xa1n\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00",
    b"\x94\xc4\x01\x00\xd6\xff\x00\x00\x00\x01\xa2\xc3\xbc\xd9\x01a",
    b"\xdd\x00\x00\x00\x02\xc3\xdf\x00\x00\x00\x00",
]


def _ready_server() -> Wire:
    wire = Wire(Role.SERVER, Limits())
    wire.receive(_GREETING)
    wire.welcome(Reply(version=1))
    return wire


def _server(data: bytes) -> None:
    _feed(_ready_server(), data)


def _ready_client() -> Wire:
    """Return a client with a call of every shape, and one that it has given up."""
    server = Wire(Role.SERVER, Limits())
    server.receive(_GREETING)
    wire = Wire(Role.CLIENT, Limits())
    wire.hello(Greeting(versions=[1]))
    wire.receive(server.welcome(Reply(version=1)))
    for call_id, flags in ((1, 0), (3, 3), (5, 1), (7, 2), (9, 0)):
        wire.calls.opened(call_id, flags)
    wire.calls.cancelled(9)
    return wire


def _client(data: bytes) -> None:
    _feed(_ready_client(), data)


def _stranger(data: bytes) -> None:
    for role in Role:
        _feed(Wire(role, Limits()), data)


def _feed(wire: Wire, data: bytes) -> None:
    """Let a wire read; its first byte says how the network chopped the rest."""
    step = (data[0] if data else 0) or len(data)
    for start in range(1, len(data), max(step, 1)):
        events = wire.receive(data[start : start + step])
        repr(events)
        if any(isinstance(event, Violation) for event in events):
            assert wire.state is ConnectionState.CLOSED
            assert isinstance(events[-1], Violation)
    repr(wire)
    wire.close(CloseCode.PROTOCOL_ERROR, "fuzz")


def _cuts(data: bytes) -> None:
    """Compare what two sides make of the same bytes that were cut differently."""
    seen: list[object] = []
    for deliver in DELIVERIES.values():
        wire = _ready_client() if data[:1] >= b"\x80" else _ready_server()
        events = deliver(wire, data[1:])
        calls = wire.calls
        # An unknown extension shows its address, NaN is not equal to itself.
        means = re.sub(" at 0x[0-9a-f]+", "", repr([meaning(event) for event in events]))
        seen.append((means, calls.alive, calls.ignored))
    assert all(each == seen[0] for each in seen)


def _frame(data: bytes) -> None:
    with contextlib.suppress(RemoteProtocolError):
        repr(decode(data))


def _envelope(data: bytes) -> None:
    with contextlib.suppress(RemoteProtocolError):
        unpackb(data)


def _value(data: bytes) -> None:
    with contextlib.suppress(InvalidResult):
        plain.decode_value(data)


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "server": _server,
    "client": _client,
    "stranger": _stranger,
    "cuts": _cuts,
    "frame": _frame,
    "envelope": _envelope,
    "value": _value,
}


def _from_vectors(start: str, first: bytes, receiver: str = "") -> list[bytes]:
    """Return the bytes of the conformance vectors, short enough to be worth changing."""
    found = [
        first + b"".join(received(step.get("receive", [])) for step in vector["steps"])
        for vector in VECTORS.values()
        if vector["start"] == start and receiver in {"", vector["receiver"]}
    ]
    return [data for data in found if len(data) < _LONGEST_SEED]


_LONGEST_SEED: Final = 4096

SEEDS: Final[dict[str, list[bytes]]] = {
    "server": [
        b"\x00" + b"".join(_FRAMES),
        *(b"\x07" + frame for frame in _FRAMES),
        *_from_vectors("ready", b"\x00", "server"),
    ],
    "client": [
        b"\x00" + b"".join(_FRAMES),
        *(b"\x07" + frame for frame in _FRAMES),
        *_from_vectors("ready", b"\x00", "client"),
    ],
    "stranger": [
        b"\x00" + _GREETING,
        b"\x01" + _GREETING + b"".join(_FRAMES),
        *_from_vectors("new", b"\x00"),
    ],
    "cuts": [
        *_from_vectors("ready", b"\x00", "server"),
        *_from_vectors("ready", b"\xff", "client"),
    ],
    "frame": [frame[4:] for frame in _FRAMES],
    "envelope": [frame[4:] for frame in _FRAMES] + _VALUES,
    "value": _VALUES,
}
