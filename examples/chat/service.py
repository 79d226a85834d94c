"""The chat as a service: say something in a room, follow a room.

Who somebody is comes from the connection (`authenticate`), not from an argument. A room keeps
its last lines and numbers them, so that whoever follows it again after a lost connection says
which was the last, and misses none.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Literal

import framerpc

__all__ = ["Chat", "Line", "RoomFull", "TooSlow", "authenticate"]

HISTORY = 1000
"""Lines that a room remembers."""

LONGEST_NAME = 32
"""Characters of a member's name."""

LONGEST_ROOM = 64
"""Characters of a room's name."""

BACKLOG = 1000
"""Lines that may wait for one member before it is sent away as too slow."""


@dataclass
class Line:
    """Something that happened in a room."""

    number: int
    kind: Literal["joined", "left", "said"]
    who: str
    text: str = ""

    def __str__(self) -> str:
        return f"<{self.who}> {self.text}" if self.kind == "said" else f"* {self.who} {self.kind}"


@framerpc.error
@dataclass(eq=False)
class RoomFull(framerpc.CallError):
    """The room takes no more members."""

    room: str
    limit: int


@framerpc.error
@dataclass(eq=False)
class TooSlow(framerpc.CallError):
    """A member did not read; follow the room again after line `last`."""

    last: int


class _Member:
    """Somebody who follows a room, and the lines that wait for them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: deque[Line] = deque()
        self.wake = asyncio.Event()
        self.overrun = False

    def offer(self, line: Line) -> None:
        """Queue a line; never wait."""
        if len(self.lines) < BACKLOG:
            self.lines.append(line)
        else:
            self.overrun = True
        self.wake.set()


@dataclass
class _Room:
    history: deque[Line] = field(default_factory=lambda: deque[Line](maxlen=HISTORY))
    members: list[_Member] = field(default_factory=list[_Member])
    number: int = 0

    def add(self, kind: Literal["joined", "left", "said"], who: str, text: str = "") -> Line:
        self.number += 1
        line = Line(self.number, kind, who, text)
        self.history.append(line)
        for member in self.members:
            member.offer(line)
        return line


def authenticate(credentials: framerpc.Credentials) -> str:
    """Take the token for the caller's name. A real chat would look it up."""
    name = (credentials.token or "").strip()
    if not name or len(name) > LONGEST_NAME:
        raise framerpc.Unauthenticated(
            f"say who you are: a name of 1 to {LONGEST_NAME} characters as token"
        )
    return name


@framerpc.service
class Chat:
    """Rooms to talk in."""

    def __init__(self, members: int = 100) -> None:
        self.limit = members
        self.rooms: dict[str, _Room] = {}

    @framerpc.method
    async def say(self, room: str, text: str) -> int:
        """Say something in a room and return the number of the line."""
        return self._room(room).add("said", framerpc.current_call().identity, text).number

    @framerpc.method(idempotent=True)
    async def who(self, room: str) -> list[str]:
        """Return who follows a room."""
        return sorted({member.name for member in self._room(room).members})

    @framerpc.method
    async def follow(self, room: str, since: int | None = None) -> AsyncGenerator[Line, None]:
        """Stream the lines of a room: from now on, or all that came after line `since`."""
        here = self._room(room)
        if len(here.members) >= self.limit:
            raise RoomFull(room=room, limit=self.limit)
        member = _Member(framerpc.current_call().identity)
        if since is not None:
            if since > here.number:  # counted by a server that ended, and its lines with it
                since = 0
            member.lines.extend(line for line in here.history if line.number > since)
        here.members.append(member)
        here.add("joined", member.name)
        last = since or 0
        try:
            while True:
                while member.lines:
                    line = member.lines.popleft()
                    last = line.number
                    yield line
                if member.overrun:
                    raise TooSlow(last=last)
                member.wake.clear()
                await member.wake.wait()
        finally:
            here.members.remove(member)
            here.add("left", member.name)

    def _room(self, name: str) -> _Room:
        if not 0 < len(name) <= LONGEST_ROOM:
            raise framerpc.InvalidArgument(f"room: a name of 1 to {LONGEST_ROOM} characters")
        return self.rooms.setdefault(name, _Room())
