"""Why a REQUEST or NOTIFY is refused before anything is started for it.

Pure decisions over what the frame says and what the limits are. Who may call what is not
decided here: that is `authorize`.

Spec: protocol.md, "Calls" and "Limits".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from framerpc.errors import Status
from framerpc.protocol.frames import KNOWN_FLAGS, Flag
from framerpc.server.failure import Failure

if TYPE_CHECKING:
    from framerpc.config import Limits
    from framerpc.errors import Executed
    from framerpc.server.dispatcher import Method

__all__ = ["full", "misfit"]


def full(limits: Limits, executed: Executed = "no") -> Failure:
    """Return the refusal of a call beyond those that one connection may have in flight."""
    detail = f"{limits.max_calls} calls of this connection are in flight (Limits.max_calls)"
    return Failure(Status.RESOURCE_EXHAUSTED, executed, detail)


def misfit(
    name: str,
    method: Method | None,
    flags: int,
    headers: dict[str, Any] | None,
    limits: Limits,
) -> Failure | None:
    """Say why a call cannot be one of this method; None if it can."""
    if method is None:
        return Failure(Status.METHOD_NOT_FOUND, "no", _not_found(name, limits.max_method_name))
    if flags & 0xFF & ~KNOWN_FLAGS:
        return Failure(Status.UNIMPLEMENTED, "no", f"unknown flags {flags:#x}")
    if flags & 0xFF != method.flags:
        return Failure(Status.INVALID_ARGUMENT, "no", _wrong_shape(flags, method.flags))
    return _bad_metadata(headers, limits.max_metadata)


def _bad_metadata(headers: dict[str, Any] | None, limit: int) -> Failure | None:
    pairs = headers.get("meta") if headers else None
    if pairs is None:
        return None
    if not isinstance(pairs, dict) or not all(
        isinstance(key, str) and isinstance(value, str)
        for key, value in cast("dict[object, object]", pairs).items()
    ):
        return Failure(Status.INVALID_ARGUMENT, "no", "metadata must be pairs of strings")
    size = sum(
        len(key.encode()) + len(value.encode())
        for key, value in cast("dict[str, str]", pairs).items()
    )
    if size > limit:
        detail = f"the metadata has {size} bytes, the limit is {limit} (Limits.max_metadata)"
        return Failure(Status.RESOURCE_EXHAUSTED, "no", detail)
    return None


def _not_found(name: str, longest: int) -> str:
    if len(name) > longest:
        return f"a method's name has at most {longest} bytes, this one has {len(name.encode())}"
    return f"there is no method {name!r} here (only what @framerpc.method decorates can be called)"


def _wrong_shape(asked: int, declared: int) -> str:
    """Say how the two sides' ideas of a method differ."""
    problems: list[str] = []
    if declared & Flag.WANTS_STREAM and not asked & Flag.WANTS_STREAM:
        problems.append("the result is a stream: use stream() or iterate over the stub's method")
    if asked & Flag.WANTS_STREAM and not declared & Flag.WANTS_STREAM:
        problems.append("the result is a single value: use call()")
    if declared & Flag.SENDS_STREAM and not asked & Flag.SENDS_STREAM:
        problems.append("one argument is a stream: pass an async iterator")
    if asked & Flag.SENDS_STREAM and not declared & Flag.SENDS_STREAM:
        problems.append("no argument is a stream, and one was sent")
    return "; ".join(problems)
