"""What can go wrong: the statuses of the wire and the tree of exceptions.

Every error says what happened and whose fault it is, and answers two questions as
data: `executed` (did the work happen: "no", "maybe", "yes") and `retry` (may the same
call be sent again: "yes", "idempotent", "no"). Retrying therefore needs no list of
its own. Only the framework fills in `executed`.

FrameRPCError
├── ConfigurationError (ValueError)
├── ProtocolError
│   ├── LocalProtocolError
│   └── RemoteProtocolError
│       └── FrameTooLarge
├── MessageTooLarge
├── ConnectionFailed (OSError)
├── ConnectionLost
└── CallError
    ├── Cancelled, DeadlineExceeded (TimeoutError), InvalidArgument, InvalidResult
    ├── MethodNotFound, Unimplemented, ResourceExhausted, Unavailable
    ├── Unauthenticated, PermissionDenied
    └── RemoteError, and the errors declared with `framerpc.error`

Spec: protocol.md, "Errors".
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CLOSE_CODES",
    "STATUSES",
    "CallError",
    "Cancelled",
    "CloseCode",
    "ConfigurationError",
    "ConnectionFailed",
    "ConnectionLost",
    "DeadlineExceeded",
    "Executed",
    "FrameRPCError",
    "FrameTooLarge",
    "InvalidArgument",
    "InvalidResult",
    "LocalProtocolError",
    "MessageTooLarge",
    "MethodNotFound",
    "PermissionDenied",
    "ProtocolError",
    "RemoteError",
    "RemoteProtocolError",
    "ResourceExhausted",
    "Retry",
    "Status",
    "StatusRow",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
]

Executed = Literal["no", "maybe", "yes"]
"""Did the work of a call happen?"""

Retry = Literal["yes", "idempotent", "no"]
"""May the same call be sent again: always, only if it is idempotent, or never?"""


class Status(enum.IntEnum):
    """How a call ended badly, as the number that an ERROR frame carries."""

    CANCELLED = 1
    INVALID_ARGUMENT = 2
    METHOD_NOT_FOUND = 3
    DEADLINE_EXCEEDED = 4
    UNAUTHENTICATED = 5
    PERMISSION_DENIED = 6
    RESOURCE_EXHAUSTED = 7
    UNAVAILABLE = 8
    INTERNAL = 9
    APPLICATION = 10
    MESSAGE_TOO_LARGE = 11
    UNIMPLEMENTED = 12
    INVALID_RESULT = 13
    FORGOTTEN = 14


class StatusRow(NamedTuple):
    """One line of the table in protocol.md, "Errors".

    Attributes:
        executed: The answers that an ERROR frame with this status may carry; the first
            is the one to assume when a peer sends a number that we do not know.
        retry: May the same call be sent again?
    """

    executed: tuple[Executed, ...]
    retry: Retry


STATUSES: Final[Mapping[Status, StatusRow]] = {
    Status.CANCELLED: StatusRow(("maybe", "no"), "no"),
    Status.INVALID_ARGUMENT: StatusRow(("no", "yes"), "no"),
    Status.METHOD_NOT_FOUND: StatusRow(("no",), "no"),
    Status.DEADLINE_EXCEEDED: StatusRow(("maybe", "no"), "no"),
    Status.UNAUTHENTICATED: StatusRow(("no", "yes"), "no"),
    Status.PERMISSION_DENIED: StatusRow(("no", "yes"), "no"),
    Status.RESOURCE_EXHAUSTED: StatusRow(("no", "maybe", "yes"), "yes"),
    Status.UNAVAILABLE: StatusRow(("no", "maybe", "yes"), "yes"),
    Status.INTERNAL: StatusRow(("yes", "maybe"), "no"),
    Status.APPLICATION: StatusRow(("yes",), "no"),
    Status.MESSAGE_TOO_LARGE: StatusRow(("no", "yes"), "no"),
    Status.UNIMPLEMENTED: StatusRow(("no",), "no"),
    Status.INVALID_RESULT: StatusRow(("yes",), "no"),
    Status.FORGOTTEN: StatusRow(("maybe",), "yes"),
}


class CloseCode(enum.IntEnum):
    """Why a connection was ended, as the number that a CLOSE frame carries."""

    NORMAL = 0
    PROTOCOL_ERROR = 1
    VERSION = 2
    UNAUTHENTICATED = 3
    BUSY = 4
    HANDSHAKE_TIMEOUT = 5
    FRAME_TOO_LARGE = 6
    SLOW = 7
    SILENT = 8
    FLOOD = 9
    SHUTDOWN = 10
    INTERNAL = 11


CLOSE_CODES: Final[Mapping[CloseCode, bool]] = {
    CloseCode.NORMAL: True,
    CloseCode.PROTOCOL_ERROR: False,
    CloseCode.VERSION: False,
    CloseCode.UNAUTHENTICATED: False,
    CloseCode.BUSY: True,
    CloseCode.HANDSHAKE_TIMEOUT: True,
    CloseCode.FRAME_TOO_LARGE: False,
    CloseCode.SLOW: True,
    CloseCode.SILENT: True,
    CloseCode.FLOOD: True,
    CloseCode.SHUTDOWN: True,
    CloseCode.INTERNAL: True,
}
"""For each code: may the same client dial again with the same greeting?

(protocol.md, "Close codes".)
"""


class FrameRPCError(Exception):
    """Base class of every exception that framerpc raises on purpose.

    Attributes:
        executed: Did the work of the call happen?
        attempts: How often the call was sent before it ended with this.
    """

    executed: Executed = "no"
    attempts: int = 1

    @property
    def retry(self) -> Retry:
        """May the same call be sent again?"""
        return "no"


class ConfigurationError(FrameRPCError, ValueError):
    """An option, a declaration or a use of the API is impossible; the text says how to mend it."""


class ProtocolError(FrameRPCError):
    """The wire rules were broken. Never raised itself: a subclass says by whom."""


class LocalProtocolError(ProtocolError):
    """We asked for something illegal: a bug on our side, and nothing was sent."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something illegal: the connection is closed.

    Attributes:
        reason: Which rule was broken, in words.
        close_code: The code of the CLOSE frame that answers it.
    """

    executed: Executed = "maybe"

    def __init__(self, reason: str, close_code: CloseCode = CloseCode.PROTOCOL_ERROR) -> None:
        super().__init__(reason, close_code)
        self.reason = reason
        self.close_code = close_code

    def __str__(self) -> str:
        return self.reason


class FrameTooLarge(RemoteProtocolError):
    """The peer announced a frame longer than we accept.

    Attributes:
        size: Announced length of the frame without its prefix, in bytes.
        limit: The limit that it breaks, in bytes.
    """

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"the peer announced a frame of {size} bytes, the limit is {limit} bytes",
            CloseCode.FRAME_TOO_LARGE,
        )
        self.size = size
        self.limit = limit

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.size, self.limit)


class MessageTooLarge(FrameRPCError):
    """An argument list, a result or an item is longer than one of the two sides accepts.

    Attributes:
        size: Length of the encoded body, in bytes.
        limit: The limit that it breaks, in bytes.
        whose: "local" if our own `Limits.max_message` forbids it, "remote" if the peer's does.
        method: The method called, if one was.
    """

    def __init__(
        self,
        size: int,
        limit: int,
        whose: Literal["local", "remote"],
        method: str = "",
        executed: Executed = "no",
    ) -> None:
        super().__init__(size, limit, whose, method, executed)
        self.size = size
        self.limit = limit
        self.whose = whose
        self.method = method
        self.executed = executed

    def __str__(self) -> str:
        owner = "our own" if self.whose == "local" else "the peer's"
        where = f"{self.method}: " if self.method else ""
        return (
            f"{where}a body of {self.size} bytes is over {owner} limit of {self.limit} bytes; "
            "raise Limits.max_message there, or send it as a stream"
        )


class ConnectionFailed(FrameRPCError, OSError):
    """No connection could be made.

    Attributes:
        endpoint: The address that was dialled.
        attempts: How many times it was dialled.
        cause: What went wrong the last time, in words.
        final: Dialling again cannot help (an untrusted certificate, no common version).
    """

    def __init__(self, endpoint: str, attempts: int, cause: str, *, final: bool = False) -> None:
        super().__init__(endpoint, attempts, cause)
        self.endpoint = endpoint
        self.attempts = attempts
        self.cause = cause
        self.final = final

    def __str__(self) -> str:
        times = "once" if self.attempts == 1 else f"{self.attempts} times"
        return f"could not connect to {self.endpoint} (tried {times}): {self.cause}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_connection_failed, (self.endpoint, self.attempts, self.cause, self.final)

    @property
    def retry(self) -> Retry:
        """Nothing was sent, so the call may go elsewhere, unless the refusal is final."""
        return "no" if self.final else "yes"


def _rebuild_connection_failed(
    endpoint: str,
    attempts: int,
    cause: str,
    final: bool,  # noqa: FBT001 - pickle passes no keywords
) -> ConnectionFailed:
    """Unpickle a ConnectionFailed: its `final` is a keyword, which pickle cannot pass."""
    return ConnectionFailed(endpoint, attempts, cause, final=final)


class ConnectionLost(FrameRPCError):
    """The connection died with the call in flight.

    Attributes:
        endpoint: The address that it was connected to.
        cause: What ended it, in words.
        executed: "maybe" if the call had been sent, otherwise "no".
        method: The method called, if one was.
    """

    def __init__(
        self, endpoint: str, cause: str, executed: Executed = "maybe", method: str = ""
    ) -> None:
        super().__init__(endpoint, cause, executed, method)
        self.endpoint = endpoint
        self.cause = cause
        self.executed = executed
        self.method = method

    def __str__(self) -> str:
        what = {
            "no": "the call was not sent",
            "maybe": "the call may have been executed",
            "yes": "the call was executed",
        }[self.executed]
        where = f"{self.method}: " if self.method else ""
        return f"{where}the connection to {self.endpoint} was lost ({self.cause}); {what}"

    @property
    def retry(self) -> Retry:
        """A call that never left is safe to send again, any other only if it is idempotent."""
        return "yes" if self.executed == "no" else "idempotent"


class CallError(FrameRPCError):
    """One call ended badly; the connection lives on.

    Raise a subclass from `authenticate`, `authorize`, an interceptor or a handler to
    refuse a call. Base class of the errors declared with `framerpc.error`.

    Attributes:
        status: The number on the wire.
        detail: What happened, in words.
        method: The method called; empty until the framework has filled it in.
        executed: Did the work happen? Filled in by the framework, never by the application.
        retry_after: Seconds to wait before trying again, if the server asked for it.
        may_retry: False if the server asked not to send this call again.
    """

    status: ClassVar[Status] = Status.APPLICATION
    method: str = ""
    executed: Executed = "no"
    retry_after: float | None = None
    may_retry: bool = True

    def __init__(
        self, detail: str = "", *, retry_after: float | None = None, may_retry: bool = True
    ) -> None:
        super().__init__(detail)
        if retry_after is not None and not 0 <= retry_after < float("inf"):
            raise ConfigurationError(f"retry_after must be seconds >= 0, got {retry_after!r}")
        self.detail, self.retry_after, self.may_retry = detail, retry_after, may_retry

    def __str__(self) -> str:
        what = self.detail or type(self).__name__
        return f"{self.method}: {what}" if self.method else what

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args, self.__dict__

    @property
    def retry(self) -> Retry:
        """May the same call be sent again? (protocol.md, "Errors")."""
        allowed = STATUSES[self.status].retry if self.may_retry else "no"
        if allowed == "yes" and self.executed != "no":
            return "idempotent"
        return allowed


class Cancelled(CallError):
    """The peer gave the call up: a stream's other end stopped it, or a server shut down."""

    status = Status.CANCELLED


class InvalidArgument(CallError):
    """The arguments do not fit the method; the detail names the field. The handler did not run."""

    status = Status.INVALID_ARGUMENT


class InvalidResult(CallError):
    """The method ran, and what it returned is not what it declares: a bug in the service."""

    status = Status.INVALID_RESULT
    executed: Executed = "yes"


class MethodNotFound(CallError):
    """The server has no such method."""

    status = Status.METHOD_NOT_FOUND


class Unimplemented(CallError):
    """The peer does not know a feature that the call asks for."""

    status = Status.UNIMPLEMENTED


class ResourceExhausted(CallError):
    """A limit is reached; the detail says which one. The call did not start."""

    status = Status.RESOURCE_EXHAUSTED


class Unavailable(CallError):
    """Nobody can take the call now: the server is stopping, or no connection is to be had."""

    status = Status.UNAVAILABLE


class Unauthenticated(CallError):
    """The credentials were refused. Final: the same credentials are not tried again."""

    status = Status.UNAUTHENTICATED


class PermissionDenied(CallError):
    """The caller is known, and may not do this."""

    status = Status.PERMISSION_DENIED


class DeadlineExceeded(CallError, TimeoutError):
    """The call was not answered by its deadline.

    Attributes:
        timeout: The seconds that the call was given, or None if unknown.
        where: The stations of the call and the seconds spent at each, in order
            ("connection", "wire", "queue", "handler", and the calls it made in turn).
    """

    status = Status.DEADLINE_EXCEEDED
    executed: Executed = "maybe"

    def __init__(
        self,
        detail: str = "",
        timeout: float | None = None,
        where: tuple[tuple[str, float], ...] = (),
    ) -> None:
        super().__init__(detail)
        self.timeout = timeout
        self.where = where

    def __str__(self) -> str:
        what = self.detail or "the deadline passed"
        if self.timeout is not None:
            what += f" after {self.timeout:.3g} s"
        if self.where:
            what += " (" + ", ".join(f"{name} {spent:.3g} s" for name, spent in self.where) + ")"
        return f"{self.method}: {what}" if self.method else what


class RemoteError(CallError):
    """The handler raised something that is not declared, or that we do not know.

    Attributes:
        error_id: The id under which the server logged it with its traceback; empty for
            a declared error that is merely unknown here.
        name: Name of the declared error, or None.
        fields: Fields of the declared error, as plain values.
        remote_traceback: The traceback, if the server trusts us.
    """

    status = Status.INTERNAL
    executed: Executed = "yes"

    def __init__(
        self,
        detail: str = "",
        error_id: str = "",
        name: str | None = None,
        fields: Mapping[str, Any] | None = None,
        remote_traceback: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.error_id = error_id
        self.name = name
        self.fields: Mapping[str, Any] = fields or {}
        self.remote_traceback = remote_traceback

    def __str__(self) -> str:
        text = super().__str__()
        if self.error_id:
            text += f" (error id {self.error_id}; the server's log has the rest)"
        if self.remote_traceback:
            text += f"\n\nOn the server:\n{self.remote_traceback}"
        return text
