"""An ERROR frame as the exception that it stands for: the client's side of the error table.

Nothing is ever built by importing a name from the wire: a status is looked up in a table, a
declared error in the registry of those that this process has declared itself.

Spec: protocol.md, "Errors".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from framerpc.contract.declared import decode_error
from framerpc.contract.plain import decode_value
from framerpc.errors import (
    STATUSES,
    CallError,
    Cancelled,
    ConnectionLost,
    DeadlineExceeded,
    FrameRPCError,
    InvalidArgument,
    InvalidResult,
    MessageTooLarge,
    MethodNotFound,
    PermissionDenied,
    RemoteError,
    ResourceExhausted,
    Status,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from framerpc.protocol.frames import EXECUTED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from framerpc.protocol.frames import Error

__all__ = ["to_exception"]

_SIMPLE: Final[Mapping[int, type[CallError]]] = {
    Status.CANCELLED.value: Cancelled,
    Status.INVALID_ARGUMENT.value: InvalidArgument,
    Status.METHOD_NOT_FOUND.value: MethodNotFound,
    Status.UNAUTHENTICATED.value: Unauthenticated,
    Status.PERMISSION_DENIED.value: PermissionDenied,
    Status.RESOURCE_EXHAUSTED.value: ResourceExhausted,
    Status.UNAVAILABLE.value: Unavailable,
    Status.UNIMPLEMENTED.value: Unimplemented,
    Status.INVALID_RESULT.value: InvalidResult,
}


def to_exception(frame: Error, method: str) -> FrameRPCError:
    """Return the exception that ends the call of `method` for its caller."""
    details: dict[str, Any] = frame.details or {}
    executed = EXECUTED[frame.executed]
    if frame.status == Status.MESSAGE_TOO_LARGE:
        size, limit = _number(details, "size"), _number(details, "limit")
        return MessageTooLarge(size, limit, "remote", method, executed)
    if frame.status == Status.FORGOTTEN:
        return ConnectionLost("the server", frame.detail, "maybe", method)
    error = _call_error(frame, details)
    error.method = method
    known = frame.status in STATUSES
    allowed = STATUSES[Status(frame.status)].executed if known else EXECUTED
    # A peer that claims what its status cannot mean is not believed.
    error.executed = executed if executed in allowed else allowed[0]
    pause = details.get("retry_after_ms")
    if isinstance(pause, (int, float)) and 0 <= pause <= _LONGEST_PAUSE:
        error.retry_after = pause / 1000
    if details.get("may_retry") is False:
        error.may_retry = False
    return error


_LONGEST_PAUSE: Final = 2**53 - 1
"""Milliseconds: the largest uint. No infinity, and no number that a float cannot take."""


def _call_error(frame: Error, details: dict[str, Any]) -> CallError:
    simple = _SIMPLE.get(frame.status)
    if simple is not None:
        return simple(frame.detail)
    if frame.status == Status.DEADLINE_EXCEEDED:
        return DeadlineExceeded(frame.detail, None, _where(details))
    if frame.status == Status.APPLICATION:
        return _declared(details)
    error_id, trace = details.get("error_id"), details.get("traceback")
    return RemoteError(
        frame.detail,
        error_id=error_id if isinstance(error_id, str) else "",
        remote_traceback=trace if isinstance(trace, str) else None,
    )


def _declared(details: dict[str, Any]) -> CallError:
    name, body = str(details.get("name", "")), details.get("fields")
    if not isinstance(body, bytes):
        return RemoteError(f"the server raised {name}", name=name)
    known = decode_error(name, body)
    if known is not None:
        return known
    try:
        fields = decode_value(body)
    except FrameRPCError:
        fields = None
    if not isinstance(fields, dict):
        return RemoteError(f"the server raised {name}", name=name)
    fields = cast("dict[str, Any]", fields)
    shown = ", ".join(f"{key}={value!r}" for key, value in fields.items())
    return RemoteError(f"the server raised {name}({shown})", name=name, fields=fields)


def _where(details: dict[str, Any]) -> tuple[tuple[str, float], ...]:
    told: object = details.get("where")
    if not isinstance(told, list):
        return ()
    stations = map(_station, cast("list[object]", told)[:_MOST_STATIONS])
    return tuple(station for station in stations if station is not None)


def _station(told: object) -> tuple[str, float] | None:
    """Return a name and seconds, or None if the server sent something else."""
    pair = cast("list[object]", told) if isinstance(told, list) else []
    if len(pair) != 2:  # noqa: PLR2004 - name and milliseconds
        return None
    name, spent = pair
    if not isinstance(name, str) or not isinstance(spent, (int, float)):
        return None
    return name[:200], spent / 1000


_MOST_STATIONS: Final = 64


def _number(details: dict[str, Any], key: str) -> int:
    value = details.get(key)
    return value if isinstance(value, int) else 0
