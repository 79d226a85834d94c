"""The catalogue of frames: what each kind carries, and how it is written.

A frame is a msgpack array that starts with its kind. The classes below are the catalogue:
their fields, in order, are the frame's fields, and their annotations are what a receiver
checks. Reading goes straight from bytes into the class: types and ranges are checked on the
way, nothing is allocated for a length that is only claimed, and fields that a later version
adds at the end are skipped. Writing is `encoding.encode`.

The numbers of `kinds` and the functions of `encoding` can be had from here as well.

Spec: protocol.md, "Frames"; a test compares its table with this catalogue.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

import msgspec

from framerpc.errors import RemoteProtocolError
from framerpc.protocol.encoding import encode, part_header
from framerpc.protocol.kinds import (
    EXECUTED,
    KNOWN_FLAGS,
    MAX_CREDIT,
    MAX_ID,
    MAX_UINT,
    OPTIONAL_KINDS,
    PART_SIZE,
    REQUIRED_KINDS,
    CancelReason,
    Flag,
    Kind,
    Outcome,
)
from framerpc.protocol.maps import MAX_MAP, check_maps

__all__ = [
    "CATALOGUE",
    "EXECUTED",
    "KNOWN_FLAGS",
    "MAX_CREDIT",
    "MAX_ID",
    "MAX_UINT",
    "OPTIONAL_KINDS",
    "PART_SIZE",
    "REQUIRED_KINDS",
    "Cancel",
    "CancelReason",
    "Close",
    "Credit",
    "End",
    "Error",
    "Flag",
    "Frame",
    "Goaway",
    "Hello",
    "Item",
    "Kind",
    "Notify",
    "Outcome",
    "Part",
    "Ping",
    "Pong",
    "Receipt",
    "Request",
    "Response",
    "Welcome",
    "decode",
    "decode_known",
    "encode",
    "part_header",
]


_Uint: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MAX_UINT)]
_Id: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=MAX_ID)]
_Credit: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=MAX_CREDIT)]
_Options: TypeAlias = dict[str, Any]
_Size: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=MAX_UINT)]
_Body: TypeAlias = bytes | _Size
"""The body itself, or its size if it follows in parts."""


class _Frame(msgspec.Struct, array_like=True, gc=False):
    """What all frames share; `gc=False` because no frame can be part of a cycle."""

    def __repr__(self) -> str:
        """Return the frame in one short line, without what it may have of secrets."""
        fields = (f"{name}={_short(getattr(self, name))}" for name in self.__struct_fields__)
        return f"{type(self).__name__}({', '.join(fields)})"


def _short(value: object) -> str:
    """Show the size of bytes and the keys of a map: their contents may be secrets."""
    if isinstance(value, bytes | bytearray) or type(value) is memoryview:
        return f"<{len(value)} bytes>"
    if isinstance(value, dict):
        value = list(value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    text = repr(value)  # pyright: ignore[reportUnknownArgumentType]
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


_SHOWN: Final = 128


class Hello(_Frame, tag=Kind.HELLO.value):
    """The client's greeting."""

    options: _Options


class Welcome(_Frame, tag=Kind.WELCOME.value):
    """The server's answer to it."""

    options: _Options


class Close(_Frame, tag=Kind.CLOSE.value):
    """The last frame of a connection, and why."""

    code: _Uint
    reason: str
    details: _Options | None


class Goaway(_Frame, tag=Kind.GOAWAY.value):
    """No new calls, please; those in flight may finish."""

    reason: str
    grace_ms: _Uint
    spread_ms: _Uint = 0  # may be left out


class Ping(_Frame, tag=Kind.PING.value):
    """Are you there?"""

    nonce: _Uint
    info: _Options | None


class Pong(_Frame, tag=Kind.PONG.value):
    """Yes."""

    nonce: _Uint
    info: _Options | None


class Request(_Frame, tag=Kind.REQUEST.value):
    """A call that wants an answer."""

    id: _Id
    flags: _Uint
    method: str
    timeout_ms: _Uint | None
    headers: _Options | None
    body: _Body


class Response(_Frame, tag=Kind.RESPONSE.value):
    """The result of a call. Ends it."""

    id: _Id
    body: _Body


class Error(_Frame, tag=Kind.ERROR.value):
    """A call, or the stream that its caller sends, ended badly."""

    id: _Id
    status: _Uint
    executed: Annotated[int, msgspec.Meta(ge=0, le=2)]
    detail: str
    details: _Options | None


class Cancel(_Frame, tag=Kind.CANCEL.value):
    """The caller gives the call up."""

    id: _Id
    reason: _Uint


class Receipt(_Frame, tag=Kind.RECEIPT.value):
    """What became of a call that was given up. Ends it."""

    id: _Id
    outcome: Annotated[int, msgspec.Meta(ge=0, le=2)]


class Item(_Frame, tag=Kind.ITEM.value):
    """One item of a stream."""

    id: _Id
    body: _Body


class End(_Frame, tag=Kind.END.value):
    """No more items. From the callee it ends the call."""

    id: _Id


class Credit(_Frame, tag=Kind.CREDIT.value):
    """The consumer of a stream has room for more."""

    id: _Id
    bytes: _Credit


class Notify(_Frame, tag=Kind.NOTIFY.value):
    """A call that wants no answer."""

    id: _Id
    method: str
    headers: _Options | None
    body: _Body


class Part(_Frame, tag=Kind.PART.value):
    """A piece of a long body."""

    id: _Id
    chunk: bytes


Frame: TypeAlias = (
    Hello
    | Welcome
    | Close
    | Goaway
    | Ping
    | Pong
    | Request
    | Response
    | Error
    | Cancel
    | Receipt
    | Item
    | End
    | Credit
    | Notify
    | Part
)

CATALOGUE: Final[dict[int, type[Frame]]] = {
    Kind.HELLO.value: Hello,
    Kind.WELCOME.value: Welcome,
    Kind.CLOSE.value: Close,
    Kind.GOAWAY.value: Goaway,
    Kind.PING.value: Ping,
    Kind.PONG.value: Pong,
    Kind.REQUEST.value: Request,
    Kind.RESPONSE.value: Response,
    Kind.ERROR.value: Error,
    Kind.CANCEL.value: Cancel,
    Kind.RECEIPT.value: Receipt,
    Kind.ITEM.value: Item,
    Kind.END.value: End,
    Kind.CREDIT.value: Credit,
    Kind.NOTIFY.value: Notify,
    Kind.PART.value: Part,
}


class _AnyFrame(msgspec.Struct, array_like=True):
    """What can be read of every frame, known or not: the rest is checked and skipped."""

    kind: int


decode_known: Final = msgspec.msgpack.Decoder(Frame).decode
"""Return the frame; raises ValueError or RecursionError if it is not one of the catalogue."""

_decode_any: Final = msgspec.msgpack.Decoder(_AnyFrame).decode


def decode(frame: bytes | bytearray | memoryview) -> Frame | None:
    """Return the frame that `frame` holds, or None for an unknown one that may be ignored.

    Raises:
        RemoteProtocolError: It is no frame of this protocol.
    """
    try:
        if len(frame) > MAX_MAP:
            check_maps(frame)
        known: Frame = decode_known(frame)
    except (ValueError, RecursionError) as exc:
        _refuse(frame, exc)
        return None
    return known


def _refuse(frame: bytes | bytearray | memoryview, cause: Exception) -> None:
    """Ignore an unknown optional frame; raise for everything else."""
    try:
        kind = _decode_any(frame).kind
    except (msgspec.ValidationError, OverflowError) as exc:
        raise RemoteProtocolError("a frame is not an array that starts with its kind") from exc
    except (ValueError, RecursionError) as exc:
        raise RemoteProtocolError(f"a frame is not one msgpack value: {exc}") from exc
    if kind in CATALOGUE:
        raise RemoteProtocolError(f"a bad {Kind(kind).name} frame: {cause}") from cause
    if kind not in OPTIONAL_KINDS:
        raise RemoteProtocolError(f"an unknown frame of kind {kind}, which must not be ignored")
