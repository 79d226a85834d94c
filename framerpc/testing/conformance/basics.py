"""What a server does before there is a call: preamble, framing, msgpack, greeting, liveness.

Spec: protocol.md, "Preamble" to "Handshake", "Liveness" and "Closing".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from framerpc.errors import CloseCode
from framerpc.protocol.framing import PREFIX
from framerpc.protocol.handshake import PREAMBLE
from framerpc.testing.conformance.examination import check
from framerpc.testing.conformance.probe import PING, CannotTell, expect

if TYPE_CHECKING:
    from framerpc.testing.conformance.probe import Probe

__all__: list[str] = []

_VIOLATION: Final = CloseCode.PROTOCOL_ERROR
_MIB: Final = 1 << 20


@check("R-TRANSPORT-1", "a greeting may arrive byte by byte")
async def _(probe: Probe) -> None:
    await probe.dial()
    for byte in probe.greeting():
        probe.send(bytes([byte]))
    await probe.welcomed()


@check("R-PREAMBLE-2", "a stranger gets not a single byte")
async def _(probe: Probe) -> None:
    await probe.dial()
    probe.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await probe.expect_end()


@check("R-PREAMBLE-3", "a wrong first byte ends the connection, without waiting for more")
async def _(probe: Probe) -> None:
    await probe.dial()
    probe.send(b"\x16")
    await probe.expect_end()


@check("R-PREAMBLE-3", "another version is answered by CLOSE, which names the versions")
async def _(probe: Probe) -> None:
    await probe.dial()
    probe.send(PREAMBLE[:-1] + b"\xfe")
    frame = await probe.receive_frame()
    details: dict[str, Any] = frame[-1] or {}
    right = frame[:2] == [3, CloseCode.VERSION.value] and 1 in details.get("versions", ())
    expect(right, f"expected CLOSE VERSION with versions, received {frame!r}")
    await probe.expect_end()


@check("R-FRAME-2", "a length of 0 is a violation")
async def _(probe: Probe) -> None:
    await probe.enter()
    probe.send(bytes(4))
    await probe.closes(_VIOLATION)


@check("R-FRAME-3", "a length above the announced limit is refused before its bytes arrive")
async def _(probe: Probe) -> None:
    await probe.enter()
    probe.send(PREFIX.pack(min(probe.limits.get("frame", 65_600) + 1, 2**32 - 1)))
    await probe.closes(CloseCode.FRAME_TOO_LARGE)


@check("R-FRAME-3", "a frame as long as the limit is read")
async def _(probe: Probe) -> None:
    await probe.enter()
    limit = probe.limits.get("frame", 65_600)
    if limit > 16 * _MIB:
        raise CannotTell(f"the limit is {limit} bytes")
    probe.payload(b"\x92\x40\xc6" + PREFIX.pack(limit - 7) + bytes(limit - 7))
    await probe.lives()


@check("R-FRAME-4", "bytes behind the value of a frame are a violation")
async def _(probe: Probe) -> None:
    await probe.enter()
    probe.payload(b"\x93\x05\x01\xc0\xc0")
    await probe.closes(_VIOLATION)


@check("R-FRAME-4", "a frame that is no array with a kind is a violation")
async def _(probe: Probe) -> None:
    await probe.enter()
    probe.payload(b"\x81\xa1a\x01")
    await probe.closes(_VIOLATION)


@check("R-FRAME-5", "elements behind the known fields are ignored")
async def _(probe: Probe) -> None:
    await probe.enter()
    probe.send_frame([PING, 1, None, "more", {"a": [1]}])
    await probe.expect([6, 1, ...])


@check("R-FRAME-5", "a field of the wrong type is a violation, and so is a missing one")
async def _(probe: Probe) -> None:
    await probe.enter()
    probe.send_frame([PING, "1", None])
    await probe.closes(_VIOLATION)
    await probe.enter()
    probe.send_frame([PING, 1])
    await probe.closes(_VIOLATION)


@check("R-FRAME-7", "a map of more than 65,536 bytes in a frame is a violation")
async def _(probe: Probe) -> None:
    await probe.enter()
    probe.send_frame([PING, 1, {"x": bytes(65_531)}])
    await probe.closes(_VIOLATION)


@check("R-MSGPACK-1", "numbers, arrays and maps are read in every width")
async def _(probe: Probe) -> None:
    await probe.enter()
    seven = bytes(7)
    probe.payload(
        b"\xdd\x00\x00\x00\x03\xcf" + seven + b"\x05\xd3" + seven + b"\x07\xdf" + bytes(4)
    )
    await probe.expect([6, 7, ...])


@check("R-MSGPACK-2", "a float, a boolean or a negative number is no uint")
async def _(probe: Probe) -> None:
    for number in (1.0, True, -1, float("nan"), 2**53):
        await probe.enter()
        probe.send_frame([PING, number, None])
        await probe.closes(_VIOLATION)


@check("R-MSGPACK-3", "a map with a key that is no text is a violation")
async def _(probe: Probe) -> None:
    await probe.enter()
    probe.payload(b"\x93\x05\x01\x81\x01\x01")
    await probe.closes(_VIOLATION)


@check("R-MSGPACK-4", "a key that stands twice is no failure")
async def _(probe: Probe) -> None:
    await probe.enter()
    probe.payload(b"\x93\x05\x01\x82\xa1a\x01\xa1a\x02")
    await probe.expect([6, 1, ...])


@check("R-MSGPACK-5", "text that is not UTF-8 is a violation")
async def _(probe: Probe) -> None:
    for text in (b"\xff\xfe", b"\xed\xa0\x80"):  # the second is a surrogate
        await probe.enter()
        probe.payload(b"\x93\x04" + bytes([0xA0 + len(text)]) + text + b"\x00")
        await probe.closes(_VIOLATION)


@check("R-MSGPACK-6", "64 levels are read")
async def _(probe: Probe) -> None:
    await probe.enter()
    probe.payload(b"\x93\x05\x01\x81\xa1a" + b"\x91" * 61 + b"\x00")
    await probe.expect([6, 1, ...])


@check("R-MSGPACK-6", "60,000 levels are survived")
async def _(probe: Probe) -> None:
    await probe.enter()
    probe.payload(b"\x93\x05\x01" + b"\x91" * 60_000)
    await probe.closes(_VIOLATION)


@check("R-MSGPACK-7", "lengths that are only claimed are malformed")
async def _(probe: Probe) -> None:
    for claim in (b"\xdd", b"\xdf", b"\xc6", b"\xdb"):
        await probe.enter()
        probe.payload(b"\x93\x05\x01" + claim + b"\x7f\xff\xff\xff")
        await probe.closes(_VIOLATION)


@check("R-MSGPACK-8", "the byte 0xc1 in a frame is a violation")
async def _(probe: Probe) -> None:
    await probe.enter()
    probe.payload(b"\x93\x05\x01\xc1")
    await probe.closes(_VIOLATION)


@check("R-HELLO-1", "a first frame that is not HELLO is a violation")
async def _(probe: Probe) -> None:
    await probe.dial()
    probe.preamble()
    probe.send_frame([PING, 1, None])
    await probe.closes(_VIOLATION)


@check("R-HELLO-1", "a second HELLO is a violation")
async def _(probe: Probe) -> None:
    await probe.enter()
    probe.hello()
    await probe.closes(_VIOLATION)


@check("R-HELLO-2", "a greeting of 4,000 bytes is read")
async def _(probe: Probe) -> None:
    await probe.enter(**{"x-pad": bytes(3_900)})


@check("R-HELLO-2", "a greeting without end is refused by its length")
async def _(probe: Probe) -> None:
    await probe.dial()
    probe.preamble()
    probe.send(b"\xff\xff\xff\xff")
    await probe.closes(CloseCode.FRAME_TOO_LARGE)


@check("R-HELLO-3", "an unknown option is ignored, a known one of the wrong type a violation")
async def _(probe: Probe) -> None:
    await probe.enter(**{"x-unknown": [1, {"a": None}]})
    await probe.introduce(features="none")
    await probe.closes(_VIOLATION)


@check("R-HELLO-4", "a limit below what everyone accepts is a violation")
async def _(probe: Probe) -> None:
    for limits in ({"frame": 65_599}, {"message": 0}, {"calls": 0}, {"window": 1023}):
        await probe.introduce(limits=limits)
        await probe.closes(_VIOLATION)


@check("R-HELLO-5", "a client that offers no version of ours gets CLOSE VERSION")
async def _(probe: Probe) -> None:
    await probe.introduce(versions=[250])
    await probe.closes(CloseCode.VERSION)


@check("R-HELLO-6", "only features that the client offered are named")
async def _(probe: Probe) -> None:
    options = await probe.enter()
    expect(not options.get("features"), f"nothing was offered, and {options['features']} named")
    options = await probe.enter(features=["x-framerpc-nobody-knows-this"])
    expect(not options.get("features"), f"an unknown feature was named: {options['features']}")


@check("R-HELLO-7", "16,384 bytes of early data are taken")
async def _(probe: Probe) -> None:
    await probe.introduce()
    probe.payload(b"\x92\x40\xc5" + (16_384 - 9).to_bytes(2, "big") + bytes(16_384 - 9))
    await probe.welcomed()
    await probe.lives()


@check("R-HELLO-10", "a stranger that says nothing is sent away", slow=True)
async def _(probe: Probe) -> None:
    await probe.dial()
    await probe.expect_end()


@check("R-KIND-1", "an unknown optional kind is ignored")
async def _(probe: Probe) -> None:
    await probe.enter()
    for kind in (64, 100, 127):
        probe.send_frame([kind, "x", {"a": 1}])
    await probe.lives()


@check("R-KIND-1", "any other unknown kind is a violation")
async def _(probe: Probe) -> None:
    for kind in (0, 7, 63, 128, -1):
        await probe.enter()
        probe.send_frame([kind, 1])
        await probe.closes(_VIOLATION)


@check("R-LIVE-3", "PING is answered by PONG with its nonce")
async def _(probe: Probe) -> None:
    await probe.enter()
    probe.send_frame([PING, 2**53 - 1, None])
    await probe.expect([6, 2**53 - 1, ...])


@check("R-LIVE-4", "too many pings end the connection")
async def _(probe: Probe) -> None:
    await probe.enter()
    frame: list[object] = []
    for _round in range(100):
        probe.send(b"\x00\x00\x00\x04\x93\x05\x01\xc0" * 64)
        for _answer in range(64):
            frame = await probe.receive_frame()
            if frame[0] != PING + 1:
                break
        if frame[0] != PING + 1:
            break
    flood = frame[:2] == [3, CloseCode.FLOOD.value]
    expect(flood, f"expected CLOSE FLOOD, received {frame!r}")


@check("R-CLOSE-1", "after the client's CLOSE nothing more is sent")
async def _(probe: Probe) -> None:
    await probe.enter()
    probe.send_frame([3, 0, "done", None])
    probe.send_frame([PING, 1, None])
    await probe.expect_end()


@check("R-VIOLATION-1", "frames before a violation keep their effect, those behind it have none")
async def _(probe: Probe) -> None:
    await probe.enter()
    probe.send_frame([PING, 1, None])
    probe.send(bytes(4))
    probe.send_frame([PING, 2, None])
    await probe.expect([6, 1, ...])
    await probe.closes(_VIOLATION)
