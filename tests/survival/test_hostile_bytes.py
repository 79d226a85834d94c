"""Hostile bytes in both directions: framing and msgpack (rows 3, 4, 8 to 17, 20, 24, 25, 31)."""

from __future__ import annotations

import tracemalloc

import pytest

from framerpc import ConnectionLost, Limits
from framerpc.codecs import packb
from framerpc.errors import CloseCode
from framerpc.testing import virtual_time
from tests.survival.siege import besieged, frame, raw, request, settled, trapped

NAN, INFINITY = float("nan"), float("inf")
BAD_NUMBERS = [NAN, INFINITY, -0.0, 1.5, -1, 2**63, 2**64 - 1, True, None, "1"]
FRAME_ERROR, TOO_LARGE = CloseCode.PROTOCOL_ERROR, CloseCode.FRAME_TOO_LARGE
BODY = packb([1])

BOTH_WAYS: dict[str, tuple[bytes, CloseCode]] = {
    "row 3: 4 GiB declared": (b"\xff\xff\xff\xff", TOO_LARGE),
    "row 4: one byte over the limit": ((2**20 + 1).to_bytes(4, "big"), TOO_LARGE),
    "row 8: no bytes": (raw(b""), FRAME_ERROR),
    "row 11: truncated": (raw(packb([5, 1, {"a": 1}])[:-1]), FRAME_ERROR),
    "row 12: trailing bytes": (raw(packb([5, 1, None]) + b"\x00"), FRAME_ERROR),
    "row 13: 2^32-1 elements": (raw(b"\xdd\xff\xff\xff\xff\x05"), FRAME_ERROR),
    "row 13: 2^32-1 elements inside": (raw(b"\x93\x05\x01\xdf\xff\xff\xff\xff"), FRAME_ERROR),
    "row 14: nested arrays": (raw(b"\x91" * 100_000), FRAME_ERROR),
    "row 14: nested inside": (raw(b"\x93\x05\x01" + b"\x81\xa1a" * 100_000), FRAME_ERROR),
    "row 15: str of 2 GB": (raw(b"\x93\x04\xdb\x7f\xff\xff\xff"), FRAME_ERROR),
    "row 15: bin of 2 GB": (raw(b"\x93\x11\x01\xc6\x7f\xff\xff\xff"), FRAME_ERROR),
    "row 15: ext of 2 GB": (raw(b"\x93\x05\x01\xc9\x7f\xff\xff\xff\x01"), FRAME_ERROR),
    "row 16: 0xC1": (raw(b"\x93\x05\x01\xc1"), FRAME_ERROR),
    "row 17: no UTF-8": (raw(b"\x93\x04\xa2\xc3\x28\x00"), FRAME_ERROR),
    "row 17: lone surrogate": (raw(b"\x93\x04\xa3\xed\xa0\x80\x00"), FRAME_ERROR),
    "row 19: a map for an envelope": (raw(packb({"method": 1})), FRAME_ERROR),
    "row 25: required kind": (frame(63, 1), FRAME_ERROR),
    "row 25: kind out of range": (frame(128, 1), FRAME_ERROR),
    "row 25: negative kind": (frame(-1, 1), FRAME_ERROR),
    "no kind": (frame(), FRAME_ERROR),
    "a second greeting": (frame(1, {"versions": [1]}), FRAME_ERROR),
    "a second welcome": (frame(2, {"version": 1}), FRAME_ERROR),
    **{f"row 20: {n!r} as nonce": (frame(5, n, None), FRAME_ERROR) for n in BAD_NUMBERS},
    **{f"row 24: id {n!r}": (frame(11, n, 0), FRAME_ERROR) for n in [0, 2**31, *BAD_NUMBERS]},
    **{f"row 31: credit {n!r}": (frame(15, 1, n), FRAME_ERROR) for n in [0, 2**31, *BAD_NUMBERS]},
}

TO_SERVER: dict[str, tuple[bytes, CloseCode]] = {
    **{
        f"row 20: {n!r} as deadline": (frame(*request(1, timeout_ms=n)), FRAME_ERROR)
        for n in BAD_NUMBERS
        if n is not None
    },
    "row 17: no UTF-8 in the method": (
        raw(b"\x97\x08\x01\x00\xa1\xff\x00\xc0\xc4\x00"),
        FRAME_ERROR,
    ),
    "row 19: integer keys in headers": (frame(*request(1, headers={1: 2})), FRAME_ERROR),
    "row 24: an even id": (frame(*request(2)), FRAME_ERROR),
}


def cases(table: dict[str, tuple[bytes, CloseCode]]) -> list[object]:
    return [pytest.param(*case, id=name) for name, case in table.items()]


@pytest.mark.parametrize(("data", "code"), cases(BOTH_WAYS | TO_SERVER))
@virtual_time
async def test_server_closes_on_bytes_that_are_no_frame(data: bytes, code: CloseCode) -> None:
    """Rows 3 to 25: the client is told why, and nobody else notices."""
    async with besieged() as siege:
        attacker = await siege.guest()
        attacker.send(data)
        assert await attacker.expect_close(code)
        assert siege.server.statistics()["violations"] == 1


@pytest.mark.parametrize(("data", "code"), cases(BOTH_WAYS))
@virtual_time
async def test_client_closes_on_bytes_that_are_no_frame(data: bytes, code: CloseCode) -> None:
    """Row 42: calls in flight fail with a typed error, and the next one has a new connection."""
    async with trapped() as trap:
        call = await trap.call()
        trap.server.send(data)
        assert await trap.closes(code)
        with pytest.raises(ConnectionLost) as caught:
            await call
        assert caught.value.executed == "maybe"
        await trap.recovers()


@pytest.mark.parametrize(
    "name", ["row 3: 4 GiB declared", "row 13: 2^32-1 elements", "row 15: bin of 2 GB"]
)
@virtual_time
async def test_claimed_length_is_not_allocated(name: str) -> None:
    """Rows 3, 13 and 15: what is only claimed costs less than a mebibyte."""
    async with besieged() as siege:
        attacker = await siege.guest()
        tracemalloc.start()
        try:
            attacker.send(BOTH_WAYS[name][0])
            await attacker.expect_close(BOTH_WAYS[name][1])
            assert tracemalloc.get_traced_memory()[1] < 2**20
        finally:
            tracemalloc.stop()


@virtual_time
async def test_frame_of_exactly_the_limit_passes() -> None:
    """Row 4: only what is longer than the limit is refused."""
    async with besieged(limits=Limits(max_frame=70_000)) as siege:
        attacker = await siege.guest(limits={"message": 100_000})
        shorter = len(packb(request(1, "Work/echo", bytes(69_000))))
        longest = packb(request(1, "Work/echo", bytes(69_000 + 70_000 - shorter)))
        assert len(longest) == 70_000
        attacker.send(raw(longest))
        await attacker.expect([9, 1, ...])


@pytest.mark.parametrize("fill", [b"\x90", b"\x80", b"\xc0"], ids=["lists", "maps", "nils"])
@virtual_time
async def test_huge_map_is_refused_before_it_is_decoded(fill: bytes) -> None:
    """Row 13: values of one byte in the headers of a call cost no more than their frame."""
    async with besieged() as siege:
        attacker = await siege.guest()
        values = b"\xdd" + (10**6).to_bytes(4, "big") + fill * 10**6
        start = packb(request(1, headers={"x": None}))
        payload = start.replace(packb({"x": None}), packb({"x": None})[:-1] + values)
        tracemalloc.start()
        try:
            attacker.send(raw(payload))
            assert "65536" in await attacker.expect_close(CloseCode.PROTOCOL_ERROR)
            assert tracemalloc.get_traced_memory()[1] < 8 * 10**6  # lists alone would be 64 MB
        finally:
            tracemalloc.stop()


@virtual_time
async def test_frames_may_come_byte_by_byte() -> None:
    """Row 9: however the network chops the bytes, the call is answered."""
    async with besieged() as siege:
        attacker = await siege.guest()
        for byte in frame(*request(1, "Work/echo", "slowly")):
            attacker.send(bytes([byte]))
            await siege.answers()
        await attacker.expect([9, 1, packb("slowly")])


@virtual_time
async def test_a_thousand_frames_in_one_segment_leave_others_their_turn() -> None:
    """Row 10: all are handled in order, and the witness is answered before the last of them."""
    async with besieged(limits=Limits(max_calls=5000)) as siege:
        attacker = await siege.guest()
        attacker.send(b"".join(frame(*request(2 * n + 1, "Work/echo", n)) for n in range(3000)))
        await siege.answers()
        for n in range(3000):
            await attacker.expect([9, 2 * n + 1, packb(n)])


@virtual_time
async def test_unknown_optional_frames_are_ignored_and_counted() -> None:
    """Row 25: frames of a later version do not harm."""
    async with besieged() as siege:
        attacker = await siege.guest()
        for kind in (64, 100, 127):
            attacker.send_frame([kind, {"what": [1, 2]}, 3])
        attacker.send_frame([*request(1), "a field of a later version"])
        await attacker.expect([9, 1, packb(1)])
        counts = [peer.connection.wire.unknown for peer in siege.server.peers.welcome]
        assert sorted(counts) == [0, 3]


@virtual_time
async def test_nothing_runs_behind_a_violation() -> None:
    """Row 12: what follows a broken rule in the same segment is not looked at."""
    async with besieged() as siege:
        attacker = await siege.guest()
        attacker.send(raw(b"\xc1") + frame(*request(1, "Work/sleep", 1)))
        await attacker.expect_close(CloseCode.PROTOCOL_ERROR)
        assert siege.work.started == 0


@virtual_time
async def test_calls_before_a_violation_do_not_outlive_it() -> None:
    """P6: what a client began before it broke a rule is cancelled."""
    async with besieged() as siege:
        attacker = await siege.guest()
        attacker.send(frame(*request(1, "Work/sleep", 100)) + raw(b"\xc1"))
        await attacker.expect_close(CloseCode.PROTOCOL_ERROR)
        await settled(siege.is_calm)
        assert siege.work.finished == 0
