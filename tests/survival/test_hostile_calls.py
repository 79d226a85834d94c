"""Hostile calls, streams and floods (rows 11, 17 to 31, 37, 38, 40, 42)."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import pickle
import time
import tracemalloc
import uuid
from decimal import Decimal
from typing import Annotated, Any

import msgpack
import msgspec
import pytest

import framerpc
from framerpc import (
    ConnectionLost,
    DeadlineExceeded,
    Keepalive,
    Limits,
    MessageTooLarge,
    RemoteError,
)
from framerpc.codecs import packb
from framerpc.errors import CloseCode, Status
from framerpc.testing import Network, ScriptedPeer, VirtualClockLoop, virtual_time
from tests.survival.siege import besieged, frame, request, settled, trapped

EXT = msgpack.ExtType


async def expect_error(peer: ScriptedPeer, call_id: int, status: Status) -> str:
    _, _, _, _, detail, _ = await peer.expect([10, call_id, status, ..., ..., ...])
    return str(detail)


async def late_and_long() -> str:
    await asyncio.sleep(1)
    return "x" * 60_000


BAD_BODIES: dict[str, bytes] = {
    "row 11: truncated": packb(["x" * 50])[:-3],
    "row 12: trailing bytes": packb([1]) + b"\0",
    "row 13: 2^32-1 elements": b"\xdd\xff\xff\xff\xff",
    "row 14: nested": b"\x91" * 60_000,
    "row 15: 2 GB": b"\x91\xc6\x7f\xff\xff\xff",
    "row 16: 0xC1": b"\x91\xc1",
    "row 17: no UTF-8": b"\x91\xa2\xc3\x28",
    "row 17: lone surrogate": b"\x91\xa3\xed\xa0\x80",
    "row 27: no arguments": b"",
    "row 27: neither array nor map": packb(5),
    "row 27: missing": packb([]),
    "row 27: too many": packb([1, 2, 3]),
    "row 27: unknown name": packb({"what": 1}),
    "row 27: wrongly typed": packb(["text"]),
    "row 27: twice": packb({"": [1], "seconds": 1}),
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
@virtual_time
async def test_bad_arguments_cost_their_call_only(body: bytes) -> None:
    """Rows 11 to 17 and 27: the call is refused in words without a traceback; the next one works."""
    async with besieged() as siege:
        attacker = await siege.guest()
        attacker.send_frame(request(1, "Work/sleep", body=body))
        assert "Traceback" not in await expect_error(attacker, 1, Status.INVALID_ARGUMENT)
        attacker.send_frame(request(1))
        await attacker.expect([9, 1, packb(1)])
        assert siege.work.started == 0


@pytest.mark.parametrize(
    "value", [EXT(5, b"x"), msgpack.Timestamp(2**40, 0), EXT(42, pickle.dumps(print))]
)
@virtual_time
async def test_extensions_are_never_executed(value: Any) -> None:
    """Rows 21 and 22: an unknown extension is an error of its call, or opaque bytes."""
    async with besieged() as siege:
        attacker = await siege.guest()
        attacker.send_frame(request(1, body=msgpack.packb([value])))
        kind, call_id, *_ = await attacker.receive_frame()
        assert call_id == 1
        assert kind in {9, 10}


PRIME = 2**61 - 1
"""What Python reduces numbers by for their hash, so that its multiples all have the hash 0."""

COLLIDING: dict[str, list[Any]] = {
    "the same hash": [n * PRIME % 2**64 for n in range(100_000)],
    "the same low bits": [n << 32 for n in range(100_000)],
    "text": [f"{n:08}" for n in range(100_000)],
}


@pytest.mark.parametrize("keys", COLLIDING.values(), ids=COLLIDING)
@pytest.mark.parametrize("method", ["Work/echo", "counted"])
@virtual_time
async def test_map_of_colliding_keys_takes_linear_time(method: str, keys: list[Any]) -> None:
    """Row 18: a hundred thousand of the worst keys cost no more than some harmless ones do."""

    async def counted(table: dict[int | str, int]) -> int:
        return len(table)

    async def cost(attacker: ScriptedPeer, call_id: int, keys: list[Any]) -> float:
        """CPU seconds of a call with such a map; the least of three."""
        body = packb([dict.fromkeys(keys, 0)])
        head = frame(*request(call_id, method, body=len(body)))
        parts = [frame(17, call_id, body[at : at + 65_536]) for at in range(0, len(body), 65_536)]
        spent: list[float] = []
        for _ in range(3):
            began = time.process_time()
            attacker.send(head + b"".join(parts))
            while (received := await attacker.receive_frame())[:2] != [9, call_id]:
                assert received[0] != 10, received
            if not isinstance(received[2], bytes):  # the map comes back, in parts
                left = received[2]
                while left:
                    left -= len((await attacker.receive_frame())[2])
            spent.append(time.process_time() - began)
        return min(spent)

    async with besieged(limits=Limits(max_message=4 << 20)) as siege:
        siege.server.method(counted)
        attacker = await siege.guest(limits={"message": 4 << 20})
        harmless = await cost(attacker, 1, list(range(100_000)))
        assert await cost(attacker, 3, keys) < 20 * harmless  # quadratic would be a thousand


@virtual_time
async def test_bounded_set_of_colliding_keys_is_refused_before_it_is_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Row 18: UUIDs can be made to collide without end; a declared length is looked at first."""
    compared = 0
    equal = uuid.UUID.__eq__

    def counting(self: uuid.UUID, other: object) -> bool:
        nonlocal compared
        compared += 1
        return equal(self, other)

    async def among(ids: Annotated[set[uuid.UUID], msgspec.Meta(max_length=10)]) -> int:
        return len(ids)

    async with besieged() as siege:
        siege.server.method(among)
        monkeypatch.setattr(uuid.UUID, "__eq__", counting)
        attacker = await siege.guest()
        for count in (10, 1000):
            body = packb([[str(uuid.UUID(int=n * PRIME)) for n in range(count)]])
            attacker.send_frame(request(1, "among", body=body))
            if count == 10:
                await attacker.expect([9, 1, packb(10)])
                assert compared == 45  # they do collide
            else:
                assert "length <= 10" in await expect_error(attacker, 1, Status.INVALID_ARGUMENT)
                assert compared == 45


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Decimal", "9" * 4_000_000),
        ("Decimal", "1e" + "9" * 1_000_000),
        ("int", "9" * 4_000_000),
        ("UUID", "0" * 4_000_000),
        ("datetime", "2026-01-01T00:00:00." + "0" * 4_000_000),
        ("timedelta", "PT" + "1" * 4_000_000 + "S"),
    ],
    ids=lambda value: str(value)[:12],
)
@virtual_time
async def test_long_text_of_a_number_takes_linear_time(name: str, text: str) -> None:
    """Row 46: no type that the wire carries is read by something quadratic."""

    async def take_decimal(value: Decimal) -> None: ...
    async def take_int(value: int) -> None: ...
    async def take_uuid(value: uuid.UUID) -> None: ...
    async def take_datetime(value: dt.datetime) -> None: ...
    async def take_timedelta(value: dt.timedelta) -> None: ...

    async with besieged() as siege:
        for method in (take_decimal, take_int, take_uuid, take_datetime, take_timedelta):
            siege.server.method(method)
        began = time.process_time()
        with contextlib.suppress(framerpc.InvalidArgument):
            await siege.witness.call(f"take_{name.lower()}", text)
        assert time.process_time() - began < 2  # quadratic would be minutes


@virtual_time
async def test_sizes_are_looked_at_before_types() -> None:
    """Row 46: whatever a type makes of its bytes, it sees no more than the limit of a message."""
    seen: list[int] = []

    async def slow(text: str) -> None:
        seen.append(len(text))

    async with besieged(limits=Limits(max_message=100_000)) as siege:
        siege.server.method(slow)
        with pytest.raises(MessageTooLarge):
            await siege.witness.call("slow", "x" * 100_000)
        assert seen == []


@virtual_time
async def test_duplicate_key_takes_the_last() -> None:
    """Row 19: in a user's map the last one wins."""
    async with besieged() as siege:
        attacker = await siege.guest()
        attacker.send_frame(request(1, body=b"\x91\x82\xa1a\x01\xa1a\x02"))
        await attacker.expect([9, 1, packb({"a": 2})])


@virtual_time
async def test_id_in_use_closes() -> None:
    """Row 23: two calls cannot share an id."""
    async with besieged() as siege:
        attacker = await siege.guest()
        attacker.send_frame(request(1, "Work/sleep", 100))
        attacker.send_frame(request(1))
        assert "call 1" in await attacker.expect_close(CloseCode.PROTOCOL_ERROR)


@virtual_time
async def test_ids_are_compared_and_not_ordered() -> None:
    """Row 24: the largest id, then the smallest, then one again that is free."""
    async with besieged() as siege:
        attacker = await siege.guest()
        for call_id in (2**31 - 1, 1, 2**31 - 3, 1):
            attacker.send_frame(request(call_id))
            await attacker.expect([9, call_id, packb(1)])


STRANGE_NAMES = [
    "", "Work", "Work/", "/echo", "Work/__class__", "Work/__init__", "Work/_watched", "__class__",
    "../../etc/passwd", "Work/\u0435cho", "Work/echo ", "work/echo", "Work/echo\0", "x" * 65_536,
    "Work/echo\r\n", "*", "%s%n", "Work/taken",
]  # fmt: skip


@pytest.mark.parametrize("name", STRANGE_NAMES, ids=lambda name: repr(name)[:30])
@virtual_time
async def test_only_registered_names_are_found(name: str) -> None:
    """Row 26: names are looked up, not interpreted; a long one is not repeated."""
    async with besieged() as siege:
        attacker = await siege.guest()
        attacker.send_frame(request(1, name))
        assert len(await expect_error(attacker, 1, Status.METHOD_NOT_FOUND)) < 1000


@virtual_time
async def test_error_cannot_name_a_class_to_build() -> None:
    """Row 28: what the server names is data in a RemoteError, never an import."""
    async with trapped() as trap:
        call = await trap.call()
        details = {"name": "builtins.SystemExit", "fields": packb({"code": 3})}
        trap.server.send_frame([10, 1, Status.APPLICATION, 2, "x", details])
        with pytest.raises(RemoteError) as caught:
            await call
        assert caught.value.name == "builtins.SystemExit"
        assert trap.client.state is framerpc.State.READY


@pytest.mark.parametrize(
    "details",
    [
        {"name": 5, "fields": 5}, {"name": "x", "fields": b"\xc1"}, {"retry_after_ms": float("nan")},
        {"retry_after_ms": -1}, {"where": [[1, "x"], 7, []]}, {"where": {"a": 1}}, {"size": "x"},
        {"error_id": 4, "traceback": [1]},
    ],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize("status", [*range(14), 99, 2**53 - 1])
@virtual_time
async def test_strange_error_is_a_typed_error(status: int, details: dict[str, Any]) -> None:
    """Row 42: whatever an ERROR says, the call ends with one of our exceptions."""
    async with trapped() as trap:
        call = await trap.call()
        trap.server.send_frame([10, 1, status, 1, "x", details])
        with pytest.raises(framerpc.FrameRPCError):
            await call
        assert trap.client.state is framerpc.State.READY


@virtual_time
async def test_calls_over_the_limit_are_refused_not_queued() -> None:
    """Row 29: the limit of calls in flight is kept, and the refusal says which it is."""
    async with besieged(limits=Limits(max_calls=4)) as siege:
        attacker = await siege.guest()
        attacker.send(b"".join(frame(*request(n, "Work/sleep", 3)) for n in range(1, 41, 2)))
        for n in range(9, 41, 2):
            assert "max_calls" in await expect_error(attacker, n, Status.RESOURCE_EXHAUSTED)
        assert siege.work.started == 4
        answers = [await attacker.expect([9, ..., packb(3.0)]) for _ in range(4)]
        assert sorted(answer[1] for answer in answers) == [1, 3, 5, 7]


@virtual_time
async def test_ping_flood_closes() -> None:
    """Row 30: a few pings are answered, then the connection is over, and nothing else is done."""
    async with besieged(limits=Limits(max_pings=16)) as siege:
        attacker = await siege.guest()
        attacker.send(frame(5, 1, None) * 1000 + frame(*request(1, "Work/sleep", 1)))
        for _ in range(16):
            await attacker.expect([6, 1, ...])
        assert await attacker.expect_close(CloseCode.FLOOD) == "too many pings"
        assert siege.work.started == 0


@virtual_time
async def test_pong_flood_closes() -> None:
    """Row 30: pongs that nobody asked for are bounded as well."""
    async with besieged(limits=Limits(max_pings=16)) as siege:
        attacker = await siege.guest()
        attacker.send(frame(6, 1, None) * 1000)
        assert await attacker.expect_close(CloseCode.FLOOD) == "too many pongs"


@virtual_time
async def test_ping_flood_of_a_server_closes() -> None:
    """Row 42: a client does not answer for ever either."""
    async with trapped(limits=Limits(max_pings=4)) as trap:
        trap.server.send(frame(5, 1, None) * 5)
        for _ in range(4):
            await trap.server.expect([6, 1, ...])
        await trap.closes(CloseCode.FLOOD)
        await trap.recovers()


@virtual_time
async def test_wish_for_many_pings_is_not_granted() -> None:
    """Row 30: a greeting that asks for a ping each millisecond does not keep a timer busy."""
    async with besieged() as siege:
        attacker = await siege.guest(ping_ms=1)
        started = asyncio.get_running_loop().time()
        await attacker.expect([5, ..., ...])
        assert asyncio.get_running_loop().time() - started >= 0.1


@virtual_time
async def test_credit_over_the_limit_closes() -> None:
    """Row 31: credit cannot overflow."""
    async with besieged() as siege:
        attacker = await siege.guest()
        attacker.send_frame(request(1, "Work/ticks", 100, flags=1))
        attacker.send(frame(15, 1, 2**31 - 1))
        await attacker.receive_frame()
        assert "credit" in await attacker.expect_close(CloseCode.PROTOCOL_ERROR)


@virtual_time
async def test_flood_of_small_credit_leaves_others_their_turn() -> None:
    """Row 31: ten thousand grants are nothing but numbers, and the stream goes on."""
    async with besieged() as siege:
        attacker = await siege.guest()
        attacker.send_frame(request(1, "Work/ticks", 9.0, flags=1, timeout_ms=None))
        await attacker.expect([13, 1, packb(0)])
        attacker.send(frame(15, 1, 1) * 10_000)
        await siege.answers()
        await attacker.expect([13, 1, packb(1)])


@virtual_time
async def test_item_without_credit_closes() -> None:
    """Row 31: a window is a promise; who sends beyond it is closed."""
    async with besieged(limits=Limits(stream_window=1024)) as siege:
        attacker = await siege.guest()
        attacker.send_frame(request(1, "Work/first", None, flags=2, body=packb([None])))
        attacker.send(frame(13, 1, packb(b"x" * 900)) * 10)
        while (received := await attacker.receive_frame())[0] != 3:
            pass
        assert received[1] == CloseCode.PROTOCOL_ERROR


@virtual_time
async def test_client_that_never_reads_is_closed_at_the_write_timeout() -> None:
    """Row 37: it holds no more than its calls' answers, and no longer than the timeout."""
    async with besieged(limits=Limits(write_timeout=3, max_calls=64)) as siege:
        attacker = await siege.guest()
        attacker.transport.pause_reading()
        body = packb(["x" * 60_000])
        for n in range(1, 129, 2):
            attacker.send_frame(request(n, "Work/echo", body=body))
        await siege.answers()
        await asyncio.sleep(2)
        assert siege.server.statistics()["clients"] == 2
        await asyncio.sleep(20)  # what is queued has five more seconds to leave
        assert siege.server.statistics()["clients"] == 1


@virtual_time
async def test_client_is_not_slow_because_we_were_blocked() -> None:
    """Fault row 9: a server that had no turn itself gives a client that reads its time again."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualClockLoop)
    async with besieged(limits=Limits(write_timeout=3, max_calls=64)) as siege:
        guest = await siege.guest()
        guest.transport.pause_reading()
        for n in range(1, 129, 2):
            guest.send_frame(request(n, "Work/echo", body=packb(["x" * 60_000])))
        await asyncio.sleep(1)
        loop._virtual_time += 5
        await asyncio.sleep(0.01)
        guest.transport.resume_reading()
        for _ in range(64):
            assert (await guest.receive_frame())[0] == 9


@virtual_time
async def test_client_that_never_reads_is_closed_at_the_byte_cap() -> None:
    """Row 37: what waits for one peer has a bound, whatever the time."""
    async with besieged(limits=Limits(write_timeout=1000, max_outbox=400_000)) as siege:
        attacker = await siege.guest()
        siege.server.method(late_and_long)
        attacker.transport.pause_reading()
        for n in range(1, 129, 2):
            attacker.send_frame(request(n, "late_and_long", body=packb([])))
        await asyncio.sleep(20)
        assert siege.server.statistics()["clients"] == 1


@virtual_time
async def test_stream_without_credit_ends() -> None:
    """Row 38: a consumer that grants nothing holds a producer until the stream is idle."""
    async with besieged(limits=Limits(stream_idle=4)) as siege:
        attacker = await siege.guest(limits={"window": 1024})
        attacker.send_frame(
            request(1, "Work/count", flags=1, timeout_ms=None, body=packb([99, 900]))
        )
        started = asyncio.get_running_loop().time()
        while (received := await attacker.receive_frame())[0] == 13:
            pass
        assert received[:3] == [10, 1, Status.DEADLINE_EXCEEDED]
        assert asyncio.get_running_loop().time() - started == pytest.approx(4, abs=0.1)


@virtual_time
async def test_upload_that_never_ends_is_given_up() -> None:
    """Row 38: a handler does not wait for ever for the next item."""
    async with besieged(limits=Limits(stream_idle=4), keepalive=Keepalive(interval=99)) as siege:
        attacker = await siege.guest()
        attacker.send_frame(request(1, "Work/total", flags=2, timeout_ms=None, body=packb([None])))
        await expect_error(attacker, 1, Status.DEADLINE_EXCEEDED)


@virtual_time
async def test_stream_ends_leave_nothing_to_watch() -> None:
    """P6: ends of streams that waited once are not kept until they would have been idle."""
    async with besieged() as siege:
        for _ in range(50):
            assert [n async for n in siege.witness.stream("Work/count", 5)] == list(range(5))
        pool = siege.witness._core.pool
        assert pool is not None
        assert pool.only is not None
        assert pool.only.connection is not None
        assert not pool.only.connection.streams._watched


@virtual_time
async def test_compression_that_was_not_agreed_on_is_refused() -> None:
    """Row 39: the flag that is reserved for it is an error of its call; nothing is inflated."""
    async with besieged() as siege:
        attacker = await siege.guest(features=["compression"])
        attacker.send_frame(request(1, "Work/sleep", 1, flags=4))
        assert "0x4" in await expect_error(attacker, 1, Status.UNIMPLEMENTED)
        assert siege.work.started == 0


@virtual_time
async def test_goaway_leads_nowhere_else() -> None:
    """Row 43: whatever a server writes into its goodbye, the client dials what it was given."""
    async with trapped() as trap, ScriptedPeer() as elsewhere:
        await elsewhere.listen("memory://elsewhere")
        reached = asyncio.create_task(elsewhere.accept())
        trap.server.send_frame([4, "memory://elsewhere", 1000, {"url": "memory://elsewhere"}])
        trap.server.send_frame([3, 10, "memory://elsewhere", {"redirect": "memory://elsewhere"}])
        await trap.recovers()
        assert not reached.done()
        reached.cancel()
        await asyncio.wait([reached])


@virtual_time
async def test_deadline_that_has_passed_starts_nothing() -> None:
    """Row 40: a call that arrives with no time left is answered so."""
    async with besieged() as siege:
        attacker = await siege.guest()
        attacker.send_frame(request(1, "Work/sleep", 1, timeout_ms=0))
        await expect_error(attacker, 1, Status.DEADLINE_EXCEEDED)
        assert siege.work.started == 0


@virtual_time
async def test_deadline_of_years_is_shortened() -> None:
    """Row 40: a server honours its own longest deadline, and no longer one."""
    async with besieged(limits=Limits(max_timeout=9)) as siege:
        attacker = await siege.guest()
        for timeout in (10 * 365 * 86_400_000, 2**53 - 1, None):
            attacker.send_frame(request(1, "Work/call", timeout_ms=timeout, body=packb([])))
            _, _, body = await attacker.expect([9, 1, ...])
            assert msgpack.unpackb(body)["remaining"] <= 9


@virtual_time
async def test_answer_over_our_limit_fails_its_call_only() -> None:
    """Row 42: a huge announced answer is an error of that call, and allocates nothing."""
    async with trapped() as trap:
        call = await trap.call()
        tracemalloc.start()
        trap.server.send_frame([9, 1, 2**53 - 1])
        with pytest.raises(MessageTooLarge):
            await call
        assert tracemalloc.get_traced_memory()[1] < 2**20
        tracemalloc.stop()
        await trap.server.expect([11, 1, 0])
        assert trap.client.state is framerpc.State.READY


@pytest.mark.parametrize(
    "data",
    [
        frame(13, 1, packb(1)), frame(14, 1), frame(15, 1, 5), frame(17, 1, b"x"), frame(8, *request(2)[1:]),
        frame(16, 2, "x", None, b""), frame(12, 1, 0),
    ],
    ids=repr,
)  # fmt: skip
@virtual_time
async def test_frame_that_does_not_fit_its_call_closes(data: bytes) -> None:
    """Row 42: a call in flight ends with ConnectionLost when its server breaks the rules."""
    async with trapped() as trap:
        call = await trap.call()
        trap.server.send(data)
        await trap.closes()
        with pytest.raises(ConnectionLost):
            await call
        await trap.recovers()


@virtual_time
async def test_bad_result_fails_its_call_only() -> None:
    """Row 42: a result that is no msgpack value is a typed error of its call."""
    for body in (b"", b"\xc1", b"\xdd\xff\xff\xff\xff", packb(1) + b"\0", b"\x91" * 5000):
        async with trapped() as trap:
            call = await trap.call()
            trap.server.send_frame([9, 1, body])
            with pytest.raises(framerpc.FrameRPCError):
                await call
            assert trap.client.state is framerpc.State.READY


@virtual_time
async def test_frames_for_calls_that_ended_are_ignored() -> None:
    """Row 42: what crosses with the end of a call reaches nobody."""
    async with trapped() as trap:
        call = await trap.call()
        trap.server.send(frame(9, 1, packb("first")) + frame(10, 1, 9, 2, "late", None) * 99)
        assert await call == "first"
        second = await trap.call()
        trap.server.send_frame([9, 3, packb("second")])
        assert await second == "second"


@virtual_time
async def test_slow_reader_is_not_taken_for_a_stuck_one() -> None:
    """Row 37: a peer that takes bytes slowly but steadily is never closed as slow."""
    with Network() as network:
        async with besieged(limits=Limits(write_timeout=5)) as siege:
            network.slow_reader(10_000, direction="to_client")
            answer = await siege.witness.with_options(timeout=200).call("Work/echo", b"x" * 600_000)
            assert len(answer) == 600_000
            assert siege.server.statistics()["connections"] == 1
            network.heal()


@virtual_time
async def test_server_that_never_answers_ends_calls_by_their_deadline() -> None:
    """Row 42: P1 holds, whatever the server does not do."""
    async with trapped(keepalive=Keepalive(interval=1000)) as trap:
        call = await trap.call()
        with pytest.raises(DeadlineExceeded):
            await call
        await settled(lambda: trap.client.statistics()["calls_in_flight"] == 1)
