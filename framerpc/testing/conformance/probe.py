"""The examiner's side of a connection: a scripted peer that knows what a good server answers.

It raises `AssertionError` where the server does something else, and `CannotTell` where the server
lacks what a check needs.

Spec: protocol.md, "Conformance".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from framerpc.codecs import packb
from framerpc.errors import CloseCode, Status
from framerpc.protocol.framing import PREFIX
from framerpc.protocol.handshake import PREAMBLE
from framerpc.testing.peer import ScriptedPeer

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CANCEL", "NOTIFY", "NO_ARGUMENTS", "PART", "PING", "REQUEST", "CannotTell", "Probe"]

PING: Final = 5
PONG: Final = 6
REQUEST: Final = 8
RESPONSE: Final = 9
ERROR: Final = 10
CANCEL: Final = 11
RECEIPT: Final = 12
END: Final = 14
NOTIFY: Final = 16
PART: Final = 17

NO_ARGUMENTS: Final = b"\x90"

_ENDS: Final = {RESPONSE, ERROR, RECEIPT, END}


class CannotTell(Exception):
    """The server cannot be asked this, for the reason in the text."""


def expect(right: bool, otherwise: str) -> None:  # noqa: FBT001 - as `assert` takes it
    """Raise what `assert` would raise; that one is for our own bugs, and goes away under -O."""
    if not right:
        raise AssertionError(otherwise)


class Probe(ScriptedPeer):
    """One connection to the server under examination.

    Args:
        url: Where it listens.
        token: What to show it.

    Attributes:
        limits: What the server announced, once it has welcomed us.
    """

    def __init__(self, url: str, token: str | None) -> None:
        super().__init__()
        self._url = url
        self._token = token
        self._nonce = 0
        self.limits: dict[str, Any] = {}

    async def dial(self) -> None:
        """Connect, instead of the connection that there was; send nothing."""
        self.abort()
        await self.connect(self._url)

    async def introduce(self, **options: Any) -> None:
        """Connect, and send preamble and HELLO."""
        await self.dial()
        self.preamble()
        self.greet(**options)

    def greet(self, **options: Any) -> None:
        """Send HELLO with our token."""
        self.hello(**self._introduction(options))

    def greeting(self) -> bytes:
        """Return what a client sends first."""
        payload: bytes = packb([1, {"versions": [1], **self._introduction({})}])
        return PREAMBLE + PREFIX.pack(len(payload)) + payload

    def _introduction(self, options: dict[str, Any]) -> dict[str, Any]:
        return options if self._token is None else {"token": self._token, **options}

    async def enter(self, **options: Any) -> dict[str, Any]:
        """Connect and be welcomed; return the options of WELCOME."""
        await self.introduce(**options)
        return await self.welcomed()

    async def welcomed(self) -> dict[str, Any]:
        """Receive WELCOME, and return its options."""
        frame = await self.receive_frame()
        expect(frame[0] == 2, f"expected WELCOME, received {frame!r}")  # noqa: PLR2004
        options: dict[str, Any] = frame[1]
        self.limits = options.get("limits", {})
        return options

    def payload(self, data: bytes) -> None:
        """Send any bytes as the payload of a frame."""
        self.send(PREFIX.pack(len(data)) + data)

    def request(
        self,
        call: Any,
        method: str = "framerpc/health",
        *,
        flags: int = 0,
        timeout_ms: int | None = None,
        headers: Any = None,
        body: Any = NO_ARGUMENTS,
    ) -> None:
        """Send a REQUEST."""
        self.send_frame([REQUEST, call, flags, method, timeout_ms, headers, body])

    # ---------------------------------------------------------------- what is expected

    async def lives(self) -> None:
        """See that the connection is in order: the next answer is that to a PING."""
        self._nonce += 1
        self.send_frame([PING, self._nonce, None])
        frame = await self.receive_frame()
        right = frame[:2] == [PONG, self._nonce]
        expect(right, f"expected PONG {self._nonce}, received {frame!r}")

    async def closes(self, code: CloseCode) -> None:
        """See that the server says why it closes, and closes."""
        frame = await self.receive_frame()
        closed = frame[:2] == [3, code.value]
        expect(closed, f"expected CLOSE {code.name}, received {frame!r}")
        await self.expect_end()

    async def answer(self, call: int) -> Sequence[Any]:
        """Return the frame that ends a call."""
        frame = await self.receive_frame()
        ended = frame[0] in _ENDS and frame[1] == call
        expect(ended, f"expected the end of call {call}, received {frame!r}")
        return frame

    async def succeeds(self, call: int) -> None:
        """See that a call to `framerpc/health` is answered by its result."""
        frame = await self.answer(call)
        _refuse_absence(frame)
        if frame[0] == RESPONSE and isinstance(frame[2], int):
            raise CannotTell("the server answers framerpc/health in parts")
        expect(frame[0] == RESPONSE, f"expected RESPONSE, received {frame!r}")

    async def fails(self, call: int, *statuses: Status, executed: int | None = 0) -> None:
        """See that a call ends with one of these statuses."""
        frame = await self.answer(call)
        if Status.METHOD_NOT_FOUND not in statuses:
            _refuse_absence(frame)
        names = " or ".join(status.name for status in statuses)
        right = frame[0] == ERROR and frame[2] in statuses
        expect(right, f"expected ERROR {names}, received {frame!r}")
        if executed is not None:
            expect(frame[3] == executed, f"expected executed {executed}, received {frame!r}")


def _refuse_absence(frame: Sequence[Any]) -> None:
    """Stop where the server does not have the one method that the checks know."""
    if frame[0] == ERROR and frame[2] == Status.METHOD_NOT_FOUND:
        raise CannotTell("the server leaves out framerpc/health")
