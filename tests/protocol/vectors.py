"""The conformance vectors of tests/vectors/: reading them, and playing one on a Wire.

Spec: protocol.md, "Conformance".
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from framerpc.config import Limits
from framerpc.protocol.events import Event, Refused, Violation
from framerpc.protocol.frames import CATALOGUE, decode
from framerpc.protocol.handshake import Announced, Greeting, Reply
from framerpc.protocol.states import Role
from framerpc.protocol.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["DELIVERIES", "VECTORS", "Vector", "meaning", "play", "ready", "received"]

Vector: TypeAlias = dict[str, Any]

_KINDS: Final = {frame: kind for kind, frame in CATALOGUE.items()}


def _load() -> dict[str, Vector]:
    folder = Path(__file__).parent.parent / "vectors"
    return {
        f"{file.stem}: {vector['name']}": vector
        for file in sorted(folder.glob("*.json"))
        for vector in json.loads(file.read_text(encoding="utf-8"))["vectors"]
    }


VECTORS: Final = _load()


def ready(role: Role, limits: Limits | None = None, peer: Announced | None = None) -> Wire:
    """Return a side that has exchanged greetings with a peer of these limits."""
    wire = Wire(role, limits or Limits())
    announced = peer or Announced()
    if role is Role.CLIENT:
        wire.hello(Greeting(versions=[1]))
        server = Wire(Role.SERVER, Limits())
        server.receive(Wire(Role.CLIENT, Limits()).hello(Greeting(versions=[1])))
        assert len(wire.receive(server.welcome(Reply(version=1, limits=announced)))) == 1
    else:
        client = Wire(Role.CLIENT, Limits())
        assert len(wire.receive(client.hello(Greeting(versions=[1], limits=announced)))) == 1
        wire.welcome(Reply(version=1))
    return wire


def received(segments: list[str]) -> bytes:
    """Return the bytes that the `receive` of a step stands for."""
    pieces = (segment.partition("*") for segment in segments)
    return b"".join(bytes.fromhex(piece) * int(times or 1) for piece, _, times in pieces)


def _plain(value: Any) -> Any:
    """Return a value of a vector with its bytes."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"bin"}:
        return bytes.fromhex(value["bin"])
    if value.keys() == {"bin*"}:
        return b"".join(bytes.fromhex(piece) * times for piece, times in value["bin*"])
    return {key: _plain(item) for key, item in value.items()}


def _means(step: Vector) -> Iterator[Any]:
    for mean in step.get("means", []):
        repeated = isinstance(mean, dict) and "times" in mean
        yield from [_plain(mean["mean"])] * mean["times"] if repeated else [_plain(mean)]


def meaning(event: Event) -> Any:
    """Return an event in the form of the vectors."""
    if isinstance(event, Violation):
        return {"violation": event.error.close_code.name}
    if isinstance(event, Refused):
        frame = event.frame
        return {
            "refused": [type(frame).__name__.upper(), frame.id],
            "size": event.size,
            "limit": event.limit,
            "status": event.status.name,
        }
    fields = (getattr(event, name) for name in event.__struct_fields__)
    # A body that came in parts is a view.
    plain = (bytes(each) if isinstance(each, memoryview) else each for each in fields)
    return [_KINDS[type(event)], *plain]


def _whole(wire: Wire, data: bytes) -> list[Event]:
    return wire.receive(data)


def _bytewise(wire: Wire, data: bytes) -> list[Event]:
    return [event for byte in data for event in wire.receive(bytes([byte]))]


def _into_buffers(wire: Wire, data: bytes, most: int = 1000) -> list[Event]:
    """Write where the wire wants it, as a BufferedProtocol does, into scratch otherwise."""
    events: list[Event] = []
    scratch = bytearray(most)
    view = memoryview(data)
    while view:
        target = wire.buffer()
        place = memoryview(scratch) if target is None else target
        count = min(len(view), len(place), most)
        place[:count] = view[:count]
        events += wire.receive(place[:count]) if target is None else wire.written(count)
        scratch[:] = b"\xa5" * most  # what was read may be overwritten at once
        view = view[count:]
    return events


DELIVERIES: Final[dict[str, Callable[[Wire, bytes], list[Event]]]] = {
    "whole": _whole,
    "byte by byte": _bytewise,
    "into buffers": _into_buffers,
}


def play(vector: Vector, deliver: Callable[[Wire, bytes], list[Event]]) -> Wire:
    """Do the steps of a vector; fail where the outcome is not what it says."""
    limits = Limits(**vector.get("limits", {}))
    role = Role(vector["receiver"])
    if vector["start"] == "ready":
        wire = ready(role, limits, Announced(**vector.get("peer", {})))
    else:
        wire = Wire(role, limits)
        if role is Role.CLIENT:
            wire.hello(Greeting(versions=[1]))
    for step in vector["steps"]:
        said = "receive" in step
        events = deliver(wire, received(step["receive"])) if said else _do(wire, step)
        assert [meaning(event) for event in events] == list(_means(step))
    assert wire.state.value == vector["state"]
    assert wire.calls.ignored == vector.get("ignored", 0)
    return wire


def _do(wire: Wire, step: Vector) -> list[Event]:
    """Let the receiver's own program do something."""
    calls = wire.calls
    call_id: int = step.get("id", 0)
    match step["do"]:
        case "welcome":
            wire.welcome(Reply(version=1))
            return wire.resume()
        case "open":
            calls.opened(call_id, step["flags"])
        case "cancel":
            calls.cancelled(call_id)
        case "respond" | "fail" | "receipt":
            calls.ended(call_id)
        case "take":
            frame = calls.consumed(call_id, step["size"])
            sent = None if frame is None else meaning(cast("Event", decode(frame[4:])))
            assert sent == step["sends"]
        case "end_upload":
            assert calls.sent_end(call_id)
        case "goaway":
            wire.goaway("drain", 1.0)
        case unknown:
            raise ValueError(unknown)
    return []
