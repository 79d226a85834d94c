"""What went wrong in a handler, as an ERROR frame says it: the one border for exceptions.

Three kinds cross. A declared error crosses by name and fields. A framework error that was
raised here to refuse the call (in `authorize`, an interceptor, the decoding of arguments, or
freshly by the handler) crosses as its status. Everything else, and a framework error that
belongs to a call which the handler made itself, becomes INTERNAL with an error id that also
stands in the log: an inner failure is never taken for an outer one.

Spec: protocol.md, "Errors".
"""

from __future__ import annotations

import logging
import math
import secrets
import traceback
from typing import TYPE_CHECKING, Any, Final

from framerpc.contract.declared import declared_name, encode_error
from framerpc.errors import (
    CallError,
    DeadlineExceeded,
    FrameRPCError,
    InvalidArgument,
    InvalidResult,
    MessageTooLarge,
    Status,
)
from framerpc.protocol.frames import EXECUTED

if TYPE_CHECKING:
    from framerpc.call import CallContext
    from framerpc.errors import Executed

__all__ = ["REPORT_GRACE", "Described", "Failure", "WorkerFailed", "describe", "times", "too_late"]

_logger: Final = logging.getLogger("framerpc.server")

REPORT_GRACE: Final = 0.025
"""Seconds past its deadline that a handler may wait for the calls it made to say where the time
went. Half of what its own caller waits."""

_LONGEST_DETAIL: Final = 4096
"""Characters of an error's text that cross; a log line, not a document."""


class Failure:
    """The fields of an ERROR frame.

    Attributes:
        status: How the call ended.
        executed: Did the work happen, as its number on the wire.
        detail: In words.
        details: More data, or None.
    """

    __slots__ = ("detail", "details", "executed", "status")

    def __init__(
        self,
        status: Status,
        executed: Executed,
        detail: str,
        details: dict[str, Any] | None = None,
    ) -> None:
        self.status = status
        self.executed = EXECUTED.index(executed)
        self.detail = _presentable(detail[:_LONGEST_DETAIL])
        self.details = details

    def packed(self) -> list[Any]:
        """Return the fields as plain values, for the pipe of a worker process."""
        return [int(self.status), self.executed, self.detail, self.details]

    @classmethod
    def unpacked(cls, fields: list[Any]) -> Failure:
        """Return the failure that `packed` took apart."""
        status, executed, detail, details = fields
        return cls(Status(status), EXECUTED[int(executed)], detail, details)


class Described(FrameRPCError):
    """A call ended with a failure that was described, and logged, before.

    Attributes:
        failure: How it crosses.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure


class WorkerFailed(FrameRPCError):
    """A method failed in its worker process, or the process did.

    Attributes:
        failure: How it crosses, traceback included.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure

    def __str__(self) -> str:
        return self.failure.detail


def describe(exc: BaseException, context: CallContext, *, trusted: bool) -> Failure:
    """Return how `exc`, raised while `context` was handled, crosses.

    It never fails: an exception that cannot even say what it is crosses as INTERNAL.

    Args:
        exc: What the handler, an interceptor or the dispatcher raised.
        context: The call.
        trusted: The caller may see the traceback.
    """
    if isinstance(exc, Described):
        return exc.failure
    try:
        return _described(exc, context, trusted=trusted)
    except Exception:  # noqa: BLE001 - whatever the service put into its exception
        return _internal(exc, context, _executed(context), trusted=trusted)


def _described(exc: BaseException, context: CallContext, *, trusted: bool) -> Failure:
    if isinstance(exc, WorkerFailed):
        return _in_worker(exc.failure, context, trusted=trusted)
    if declared_name(exc) is not None:
        return _declared(exc, context, trusted=trusted)
    if isinstance(exc, (InvalidResult, MessageTooLarge)) and not exc.method:
        return _bad_result(exc, context)
    if isinstance(exc, DeadlineExceeded) and context.remaining() == 0.0:
        return Failure(
            Status.DEADLINE_EXCEEDED,
            "maybe" if context.started is not None else "no",
            "the deadline passed",
            {"where": times(context, exc)},
        )
    if isinstance(exc, CallError) and _refuses(exc, context):
        return Failure(exc.status, _executed(context), str(exc.detail), _pushback(exc))
    return _internal(exc, context, _executed(context), trusted=trusted)


def _bad_result(exc: InvalidResult | MessageTooLarge, context: CallContext) -> Failure:
    """Describe a result, or an item of one, that cannot be sent."""
    if isinstance(exc, InvalidResult):
        _logger.error("%s returned what it does not declare: %s", context.method, exc.detail)
        return Failure(Status.INVALID_RESULT, "yes", exc.detail)
    detail = f"the result is {exc.size} bytes long, the limit is {exc.limit} bytes"
    details = {"size": exc.size, "limit": exc.limit}
    return Failure(Status.MESSAGE_TOO_LARGE, "yes", detail, details)


def _refuses(exc: CallError, context: CallContext) -> bool:
    """Return whether it was raised here, to refuse this very call.

    An error that names a method has crossed a wire: it belongs to a call that was made from
    here. Only arguments that do not fit name ours.
    """
    if exc.status in _UNDECLARED:
        return False
    misfit = isinstance(exc, InvalidArgument) and exc.method == context.method
    return not exc.method or (misfit and context.started is None)


_UNDECLARED: Final = frozenset({Status.APPLICATION, Status.INTERNAL})
"""The statuses of errors that mean nothing to a caller unless they are declared."""


def _executed(context: CallContext) -> Executed:
    return "no" if context.started is None else "yes"


def _presentable(text: str) -> str:
    """Return `text` without what UTF-8 cannot carry (lone surrogates, as in file names)."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _in_worker(failure: Failure, context: CallContext, *, trusted: bool) -> Failure:
    """Log what a worker process described, which keeps no log, and hide what it must not tell."""
    details = failure.details or {}
    if failure.status == Status.INTERNAL:
        _logger.error(
            "%s failed in its worker process, error id %s:\n%s",
            context.method,
            details.get("error_id"),
            details.get("traceback"),
        )
        if not trusted:
            failure.details = {"error_id": details.get("error_id")}
    elif failure.status != Status.APPLICATION:
        _logger.warning("%s failed in its worker process: %s", context.method, failure.detail)
    return failure


def _declared(exc: BaseException, context: CallContext, *, trusted: bool) -> Failure:
    try:
        name, fields = encode_error(exc)
    except Exception as cause:  # noqa: BLE001 - a field that cannot be encoded is the service's bug
        return _internal(cause, context, "yes", trusted=trusted)
    return Failure(Status.APPLICATION, "yes", "", {"name": name, "fields": fields})


def _pushback(exc: CallError) -> dict[str, Any] | None:
    """Return what the caller is told about trying again."""
    details: dict[str, Any] = {}
    if exc.retry_after is not None:
        details["retry_after_ms"] = math.ceil(exc.retry_after * 1000)
    if not exc.may_retry:
        details["may_retry"] = False
    return details or None


def _internal(
    exc: BaseException, context: CallContext, executed: Executed, *, trusted: bool
) -> Failure:
    """Log the exception under a new id, and tell the caller no more than that id."""
    error_id = secrets.token_hex(8)
    _logger.error(
        "%s failed, error id %s: %s", context.method, error_id, type(exc).__name__, exc_info=exc
    )
    details: dict[str, Any] = {"error_id": error_id}
    if trusted:
        lines = "".join(traceback.format_exception(exc))
        details["traceback"] = _presentable(lines[-_LONGEST_TRACEBACK:])
    # INTERNAL knows "maybe" and "yes" only: something of ours ran.
    return Failure(
        Status.INTERNAL,
        "maybe" if executed == "no" else "yes",
        "the handler raised an undeclared error",
        details,
    )


_LONGEST_TRACEBACK: Final = 32 * 1024
"""Characters of a traceback that cross, the last ones."""


def times(context: CallContext, inner: DeadlineExceeded | None = None) -> list[list[Any]]:
    """Return where the time of a call went: [name, milliseconds] in order, inner calls last.

    Args:
        context: The call.
        inner: What a call that its handler made has said of its own time.
    """
    now = context.now()
    if context.started is None:
        return [["queue", _ms(now - context.arrived)], *_blocks(context)]
    where: list[list[Any]] = [
        ["queue", _ms(context.started - context.arrived)],
        ["handler", _ms(now - context.started)],
    ]
    where += [
        [f"in its call {child.method}", _ms(now - child.arrived)]
        for child in context.children or ()
        if not child.finished
    ]
    where += _blocks(context)
    if inner is not None and inner.method:
        own = (spent for name, spent in inner.where if not name.startswith(_NESTED))
        where.append([f"in its call {inner.method}", _ms(sum(own))])
        where += [[f"there {name}", _ms(spent)] for name, spent in inner.where]
    return where


def too_late(context: CallContext) -> Failure:
    """Return how a call ends whose deadline passed while it was handled."""
    return Failure(
        Status.DEADLINE_EXCEEDED,
        "no" if context.started is None else "maybe",
        "the deadline passed",
        {"where": times(context)},
    )


def _blocks(context: CallContext) -> list[list[Any]]:
    """Return what blocked the loop while the call was here; where in the code, if trusted."""
    server = context.server
    if server is None:
        return []
    lost = server.blocks.during(context.arrived).items()
    told = lost and server.trusts(context)
    return [
        [f"{_BLOCKED}{culprit.told(trusted=told)}", _ms(spent)]
        for culprit, spent in list(lost)[-_MOST_BLOCKS:]
        if spent >= _SHORTEST_BLOCK
    ]


_BLOCKED: Final = "in its loop, blocked by "
_MOST_BLOCKS: Final = 4
_SHORTEST_BLOCK: Final = 0.01
"""Seconds of a block that are worth a word: a call may have arrived at its very end."""

_NESTED: Final = ("in its ", "there ")
"""How the stations begin that are part of others: inner calls, and what blocked the loop."""


def _ms(seconds: float) -> float:
    return round(max(seconds, 0.0) * 1000, 3)
