"""What a server does about calls: ids, answers, bodies in parts, deadlines, cancelling.

The checks call `framerpc/health`, which most servers have, and methods that no server has.

Spec: protocol.md, "Identifiers", "Calls" to "Cancellation".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from framerpc.errors import CloseCode, Status
from framerpc.testing.conformance.examination import check
from framerpc.testing.conformance.probe import (
    CANCEL,
    NO_ARGUMENTS,
    NOTIFY,
    PART,
    CannotTell,
    expect,
)

if TYPE_CHECKING:
    from framerpc.testing.conformance.probe import Probe

__all__: list[str] = []

_VIOLATION: Final = CloseCode.PROTOCOL_ERROR
_NOWHERE: Final = "framerpc-conformance/no such method"


@check("R-ID-1", "an id of 0, an even one and one above 2147483647 are violations")
async def _(probe: Probe) -> None:
    for call in (0, 2, 2**31 + 1, -1, 1.0, None):
        await probe.enter()
        probe.request(call)
        await probe.closes(_VIOLATION)


@check("R-ID-2", "a call under an id in use is a violation")
async def _(probe: Probe) -> None:
    await probe.enter()
    probe.request(1, body=10)
    probe.request(1)
    frame = await probe.receive_frame()
    if frame[0] != 3:  # noqa: PLR2004 - CLOSE
        raise CannotTell("the server answers before it has the arguments")
    expect(frame[1] == _VIOLATION, f"expected CLOSE PROTOCOL_ERROR, received {frame!r}")
    await probe.expect_end()


@check("R-ID-4", "ids come in any order, and again as soon as they are free")
async def _(probe: Probe) -> None:
    await probe.enter()
    for call in (2**31 - 1, 5, 1, 5):
        probe.request(call, _NOWHERE)
        await probe.fails(call, Status.METHOD_NOT_FOUND)


@check("R-ID-5", "frames about a call that is over are ignored")
async def _(probe: Probe) -> None:
    await probe.enter()
    frames = ([CANCEL, 9, 0], [13, 9, b"\x01"], [14, 9], [15, 9, 1], [PART, 9, b"\x01"])
    for frame in frames:
        probe.send_frame(frame)
    await probe.lives()


@check("R-KIND-3", "a response or a receipt from a caller is a violation")
async def _(probe: Probe) -> None:
    for frame in ([9, 1, b"\xc0"], [12, 1, 0]):
        await probe.enter()
        probe.request(1, body=10)
        probe.send_frame(frame)
        await _closes_after_answers(probe)


async def _closes_after_answers(probe: Probe) -> None:
    """See a violation, whether or not the call was answered before it."""
    frame = await probe.receive_frame()
    if frame[0] != 3:  # noqa: PLR2004 - CLOSE
        frame = await probe.receive_frame()
    closed = frame[:2] == [3, _VIOLATION.value]
    expect(closed, f"expected CLOSE PROTOCOL_ERROR, received {frame!r}")


@check("R-CALL-1", "every call is answered once")
async def _(probe: Probe) -> None:
    await probe.enter()
    waiting = {1, 3, 5}
    for call in waiting:
        probe.request(call, _NOWHERE)
    while waiting:
        frame = await probe.receive_frame()
        expect(frame[0] == 10, f"expected an ERROR, received {frame!r}")  # noqa: PLR2004
        expect(frame[1] in waiting, f"call {frame[1]} was answered twice")
        waiting.remove(frame[1])
    await probe.lives()


@check("R-CALL-4", "names are compared byte for byte, and one of 300 bytes is not found")
async def _(probe: Probe) -> None:
    await probe.enter()
    names = ("FRAMERPC/HEALTH", "framerpc/health ", "framerpc//health", "__class__", "", "x" * 300)
    for number, name in enumerate(names):
        probe.request(2 * number + 1, name)
        await probe.fails(2 * number + 1, Status.METHOD_NOT_FOUND)


@check("R-CALL-1", "a call to framerpc/health returns a result")
async def _(probe: Probe) -> None:
    await probe.enter()
    probe.request(1)
    await probe.succeeds(1)
    await probe.lives()


@check("R-CALL-8", "an attempt that makes no sense is ignored")
async def _(probe: Probe) -> None:
    await probe.enter()
    for call, attempt in ((1, 2), (3, "two"), (5, 0)):
        probe.request(call, headers={"attempt": attempt})
        await probe.succeeds(call)


@check("R-MSGPACK-8", "a malformed body is an error of its call, and the connection goes on")
async def _(probe: Probe) -> None:
    await probe.enter()
    for number, body in enumerate((b"\xc1", b"\x91", b"\x90\x90", b"\xdd\xff\xff\xff\xff")):
        probe.request(2 * number + 1, body=body)
        await probe.fails(2 * number + 1, Status.INVALID_ARGUMENT)
    await probe.lives()


@check("R-ARGS-3", "arguments that the method does not take are INVALID_ARGUMENT, executed 0")
async def _(probe: Probe) -> None:
    await probe.enter()
    for number, body in enumerate((b"\x93\x01\x02\x03", b"\x81\xa1x\x01", b"\x05")):
        probe.request(2 * number + 1, body=body)
        await probe.fails(2 * number + 1, Status.INVALID_ARGUMENT)


@check("R-VERSION-2", "flags above the eighth bit are ignored")
async def _(probe: Probe) -> None:
    await probe.enter()
    probe.request(1, flags=256)
    await probe.succeeds(1)


@check("R-VERSION-3", "unknown flags below it are UNIMPLEMENTED")
async def _(probe: Probe) -> None:
    await probe.enter()
    probe.request(1, flags=128)
    await probe.fails(1, Status.UNIMPLEMENTED)


@check("R-CONFORM-1", "streams that the method does not have are refused")
async def _(probe: Probe) -> None:
    await probe.enter()
    for call, flags in ((1, 1), (3, 2), (5, 3)):
        probe.request(call, flags=flags)
        await probe.fails(call, Status.INVALID_ARGUMENT, Status.UNIMPLEMENTED)
    await probe.lives()


@check("R-CONFORM-1", "a notification is answered by nothing, whatever it asks for")
async def _(probe: Probe) -> None:
    await probe.enter()
    probe.send_frame([NOTIFY, 1, _NOWHERE, None, NO_ARGUMENTS])
    probe.send_frame([NOTIFY, 1, _NOWHERE, None, b"\xc1"])
    await probe.lives()


@check("R-PART-1", "arguments may come in parts, and other frames between")
async def _(probe: Probe) -> None:
    await probe.enter()
    probe.request(1, body=5)  # an empty array 32
    probe.send_frame([PART, 1, b"\xdd\x00"])
    await probe.lives()
    probe.send_frame([PART, 1, b"\x00\x00\x00"])
    await probe.succeeds(1)


@check("R-PART-1", "an empty part, or more than was announced, is a violation")
async def _(probe: Probe) -> None:
    for chunk in (b"", b"\x90\x90\x90"):
        await probe.enter()
        probe.request(1, body=2)
        probe.send_frame([PART, 1, chunk])
        await _closes_after_answers(probe)


@check("R-PART-3", "an item while the arguments are on their way is a violation")
async def _(probe: Probe) -> None:
    await probe.enter()
    probe.request(1, flags=2, body=10)
    probe.send_frame([13, 1, b"\x01"])
    await _closes_after_answers(probe)


@check("R-PART-7", "a body over the limit is refused, and the connection goes on")
async def _(probe: Probe) -> None:
    await probe.enter()
    probe.request(1, body=2**53 - 1)
    await probe.fails(1, Status.MESSAGE_TOO_LARGE)
    probe.send_frame([PART, 1, b"\x00"])
    await probe.lives()


@check("R-KIND-2", "a body of size 0 in parts is a violation")
async def _(probe: Probe) -> None:
    await probe.enter()
    probe.request(1, body=0)
    await probe.closes(_VIOLATION)


@check("R-CREDIT-5", "a grant of 0 or of 2^31 is a violation")
async def _(probe: Probe) -> None:
    for credit in (0, 2**31):
        await probe.enter()
        probe.send_frame([15, 1, credit])
        await probe.closes(_VIOLATION)


@check("R-DEADLINE-2", "a call whose time is over is not started")
async def _(probe: Probe) -> None:
    await probe.enter()
    probe.request(1, timeout_ms=0)
    await probe.fails(1, Status.DEADLINE_EXCEEDED)


@check("R-DEADLINE-3", "a deadline in 285,000 years is taken")
async def _(probe: Probe) -> None:
    await probe.enter()
    probe.request(1, timeout_ms=2**53 - 1)
    await probe.succeeds(1)


@check("R-CANCEL-2", "CANCEL of a call whose arguments are on their way is answered")
async def _(probe: Probe) -> None:
    await probe.enter()
    probe.request(1, body=10)
    probe.send_frame([CANCEL, 1, 0])
    await probe.answer(1)
    probe.send_frame([PART, 1, b"\x00"])
    await probe.lives()


@check("R-CANCEL-1", "a second CANCEL, and one that crossed with the answer, are ignored")
async def _(probe: Probe) -> None:
    await probe.enter()
    probe.request(1, _NOWHERE)
    probe.send_frame([CANCEL, 1, 0])
    probe.send_frame([CANCEL, 1, 1])
    await probe.answer(1)
    await probe.lives()


@check("R-CANCEL-7", "CANCEL of a notification on its way is answered by RECEIPT")
async def _(probe: Probe) -> None:
    await probe.enter()
    probe.send_frame([NOTIFY, 1, _NOWHERE, None, 10])
    probe.send_frame([CANCEL, 1, 0])
    await probe.expect([12, 1, ...])
    await probe.lives()
