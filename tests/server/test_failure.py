"""Which error a caller gets for what a handler raised."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import pytest

import framerpc
from framerpc import CallError, RemoteError
from framerpc.call import Body, CallContext, Handler
from framerpc.contract import declared
from framerpc.testing import ScriptedPeer, virtual_time
from tests.services import Work, pair


@framerpc.error
@dataclass(eq=False)
class GoneForever(CallError):
    """Declared, with fields."""

    item: str
    left: int = 0


class Undeclared(CallError):
    """A CallError without a declaration, whose author forgot `super().__init__`."""

    def __init__(self) -> None:
        pass


def raising(error: BaseException, **options: Any) -> framerpc.Server:
    server = framerpc.Server(Work(), **options)

    @server.method(name="raise")
    async def raise_() -> None:
        raise error

    @server.method
    def in_thread() -> None:
        raise error

    return server


async def outcome(server: framerpc.Server, method: str = "raise") -> Any:
    async with pair(server) as client:
        with pytest.raises(framerpc.FrameRPCError) as caught:
            await client.call(method)
        assert await client.call("Work/echo", 1) == 1, "the connection lives on"
        return caught.value


@pytest.mark.parametrize("method", ["raise", "in_thread"])
def test_declared_error_crosses_by_name_and_fields(method: str) -> None:
    """The caller gets the same class with the same fields."""

    @virtual_time
    async def run() -> None:
        error = await outcome(raising(GoneForever("tea", left=2)), method)
        assert type(error) is GoneForever
        assert (error.item, error.left) == ("tea", 2)
        assert (error.method, error.executed, error.retry) == (method, "yes", "no")

    run()


async def answered(details: dict[str, Any], status: int = 10) -> Any:
    """Return what a client makes of an ERROR frame."""
    async with ScriptedPeer() as peer:
        url = await peer.listen("memory://scripted")
        async with framerpc.connect(url) as client:
            call = asyncio.create_task(client.call("any"))
            await peer.accept()
            await peer.expect([1, ...])
            peer.preamble()
            peer.welcome()
            request = await peer.receive_frame()
            peer.send_frame([10, request[1], status, 2, "detail", details])
            with pytest.raises(CallError) as caught:
                await call
            return caught.value


@virtual_time
async def test_unknown_declared_error_keeps_its_name_and_fields() -> None:
    """An error that this process has not declared arrives as RemoteError."""
    error = await answered({"name": "shop/Broken", "fields": b"\x81\xa1a\x01"})
    assert type(error) is RemoteError
    assert (error.name, error.fields) == ("shop/Broken", {"a": 1})
    assert "shop/Broken(a=1)" in str(error)


@virtual_time
@pytest.mark.parametrize(
    "name",
    ["os.system", "builtins.SystemExit", "framerpc.errors.ConnectionLost", "Unavailable", "", 5],
)
async def test_nothing_is_built_by_importing_a_name(name: Any) -> None:
    """Whatever name the wire says, only errors declared here are ever constructed."""
    error = await answered({"name": name, "fields": b"\x81\xa6detail\xa1x"})
    assert type(error) is RemoteError


@virtual_time
@pytest.mark.parametrize("fields", [b"\x81\xa4item\x01", b"\x80", b"\xc1", b"", 7, None])
async def test_fields_that_do_not_fit_make_no_declared_error(fields: Any) -> None:
    """A known name with fields of the wrong type arrives as RemoteError."""
    name = declared.declared_name(GoneForever("x"))
    error = await answered({"name": name, "fields": fields})
    assert type(error) is RemoteError
    assert error.name == name


@virtual_time
async def test_status_that_nobody_knows_is_a_remote_error() -> None:
    """A status from a later version is not an exception in the client's machinery."""
    assert type(await answered({}, status=99)) is RemoteError


def test_undeclared_error_is_an_id_that_stands_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A stranger gets an error id only; the log has it with the traceback."""

    @virtual_time
    async def run() -> None:
        with caplog.at_level(logging.ERROR, "framerpc.server"):
            error = await outcome(raising(KeyError("a secret")))
        assert type(error) is RemoteError
        assert "secret" not in str(error)
        assert error.remote_traceback is None
        assert error.executed == "yes"
        (record,) = caplog.records
        assert error.error_id in record.getMessage()
        assert record.exc_info is not None
        assert isinstance(record.exc_info[1], KeyError)

    run()


@virtual_time
@pytest.mark.parametrize("trusted", [True, lambda context: context.method == "raise"])
async def test_trusted_caller_gets_the_traceback(trusted: Any) -> None:
    """`trusted` shows the traceback to whoever it says."""
    error = await outcome(raising(KeyError("a secret"), trusted=trusted))
    assert "KeyError: 'a secret'" in error.remote_traceback
    assert "a secret" in str(error)


@virtual_time
async def test_broken_trust_shows_nothing() -> None:
    """A `trusted` that raises trusts nobody, and the call is answered all the same."""
    error = await outcome(raising(KeyError("a secret"), trusted=lambda _: 1 / 0))
    assert error.error_id
    assert error.remote_traceback is None


@virtual_time
@pytest.mark.parametrize(
    "error",
    [
        CallError("bare"),
        Undeclared(),
        RemoteError("raised by hand"),
        framerpc.ConnectionLost("x", "y"),
        ValueError("\udcff"),
        SystemExit(3),
        KeyboardInterrupt(),
    ],
    ids=repr,
)
async def test_any_other_exception_ends_its_call_only(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a handler raises, its caller gets a RemoteError, and others are not concerned."""
    caplog.set_level(logging.CRITICAL, "framerpc.server")  # no report can hold a lone surrogate
    result = await outcome(raising(error, trusted=True))
    assert type(result) is RemoteError
    assert (result.executed, len(result.error_id)) == ("yes", 16)


@virtual_time
@pytest.mark.parametrize("detail", ["\udc80", 123, "x" * 100_000, None])
async def test_odd_text_of_a_refusal_crosses(detail: Any) -> None:
    """A text that UTF-8 cannot carry, that is too long or none at all breaks nothing."""
    error = await outcome(raising(framerpc.PermissionDenied(detail)))
    assert type(error) is framerpc.PermissionDenied
    assert len(error.detail) <= 4096


@virtual_time
async def test_refusal_by_the_handler_crosses_as_itself() -> None:
    """A framework error that the handler raises freshly is meant for the caller."""
    error = framerpc.ResourceExhausted("no more tea", retry_after=2.5)
    result = await outcome(raising(error))
    assert type(result) is framerpc.ResourceExhausted
    assert (result.detail, result.executed, result.retry_after) == ("no more tea", "yes", 2.5)
    assert result.retry == "idempotent"


@virtual_time
@pytest.mark.parametrize("kind", [framerpc.Unavailable, framerpc.ResourceExhausted])
async def test_handler_may_forbid_another_try(kind: type[CallError]) -> None:
    """`may_retry=False` crosses, and then nothing says that the call may be sent again."""
    result = await outcome(raising(kind("closed for good", may_retry=False)))
    assert type(result) is kind
    assert (result.may_retry, result.retry, result.retry_after) == (False, "no", None)


@virtual_time
async def test_pushback_crosses_with_a_text_that_is_too_long() -> None:
    """What must be cut of an error is its text, never what it says about trying again."""
    server = raising(framerpc.Unavailable("\u20ac" * 4096, retry_after=0.0005, may_retry=False))
    async with pair(server, limits=framerpc.Limits(max_frame=65_600)) as client:
        with pytest.raises(framerpc.Unavailable) as caught:
            await client.call("raise")
        assert (caught.value.retry_after, caught.value.may_retry) == (0.001, False)


@virtual_time
@pytest.mark.parametrize(
    "details",
    [
        {"retry_after_ms": -1},
        {"retry_after_ms": "soon", "may_retry": 0},
        {"retry_after_ms": float("inf"), "may_retry": None},
        {"retry_after_ms": float("nan"), "may_retry": "no"},
        {"retry_after_ms": 1e300},
    ],
    ids=repr,
)
async def test_pushback_of_another_type_or_range_counts_as_absent(details: dict[str, Any]) -> None:
    """A server cannot make a client wait for ever, nor stop it by accident."""
    error = await answered(details, status=8)
    assert (error.retry_after, error.may_retry) == (None, True)


@pytest.mark.parametrize("seconds", [-1, float("inf"), float("nan")])
def test_impossible_pause_is_refused_when_it_is_raised(seconds: float) -> None:
    """`retry_after` is a number of seconds, 0 or more."""
    with pytest.raises(framerpc.ConfigurationError, match="retry_after must be seconds >= 0"):
        framerpc.Unavailable("x", retry_after=seconds)


@virtual_time
async def test_refusal_before_the_handler_did_not_execute() -> None:
    """What `authorize` or an interceptor raises crosses with executed="no"."""

    async def full(context: CallContext, body: Body, proceed: Handler) -> Body:
        if context.method == "raise":
            raise framerpc.ResourceExhausted("too busy")
        return await proceed(context, body)

    result = await outcome(raising(KeyError(), interceptors=[full]))
    assert (type(result), result.executed) == (framerpc.ResourceExhausted, "no")
    assert result.retry == "yes"


@virtual_time
async def test_error_of_a_call_made_while_authorizing_is_not_the_callers() -> None:
    """What another server says to `authorize` is never taken for an answer to the caller."""
    async with (
        framerpc.Server(Work()).listen("memory://rules"),
        framerpc.connect("memory://rules") as rules,
    ):

        async def authorize(context: CallContext) -> None:
            if context.method == "raise":
                await rules.call("Work/fail", "Unavailable")

        result = await outcome(raising(KeyError(), authorize=authorize))
        assert type(result) is RemoteError


@virtual_time
async def test_arguments_that_do_not_fit_name_the_field() -> None:
    """InvalidArgument says which argument, and the handler did not run."""
    work = Work()
    async with pair(framerpc.Server(work)) as client:
        with pytest.raises(framerpc.InvalidArgument, match="seconds") as caught:
            await client.call("Work/sleep", "soon")
        assert caught.value.executed == "no"
        assert work.started == 0


@virtual_time
async def test_result_that_does_not_fit_the_wire_is_the_services_bug() -> None:
    """A result that cannot be encoded is InvalidResult, executed."""
    server = framerpc.Server(Work())

    @server.method(name="raise")
    async def wrong() -> Any:
        return object()

    error = await outcome(server)
    assert type(error) is framerpc.InvalidResult
    assert error.executed == "yes"


@virtual_time
async def test_handler_that_cancels_itself_is_told_as_cancelled() -> None:
    """A CancelledError from nowhere does not leave the caller waiting."""
    error = await outcome(raising(asyncio.CancelledError()))
    assert type(error) is framerpc.Cancelled


@virtual_time
async def test_timeout_of_the_handlers_own_is_not_a_deadline() -> None:
    """A TimeoutError in the handler is undeclared, like any other."""
    error = await outcome(raising(TimeoutError("disk")))
    assert type(error) is RemoteError


@virtual_time
async def test_forgotten_return_is_found_at_the_server(caplog: pytest.LogCaptureFixture) -> None:
    """A result that plainly is not what was declared is logged where the mistake is."""
    server = framerpc.Server()

    @server.method
    async def greet() -> str:
        return None  # type: ignore[return-value]

    @server.method
    async def letters() -> AsyncGenerator[str, None]:
        yield "a"
        yield None  # type: ignore[misc]

    async with pair(server) as client:
        with pytest.raises(framerpc.InvalidResult, match=r"greet: .* Expected `str`") as caught:
            await client.call("greet")
        assert caught.value.executed == "yes"
        stream = client.stream("letters")
        assert await anext(stream) == "a"
        with pytest.raises(framerpc.InvalidResult, match=r"letters: the item .* Expected `str`"):
            await anext(stream)
    assert "greet returned what it does not declare" in caplog.text
