"""The contract of the chat: what can be called, what can be followed, what can go wrong.

Clients import this module and nothing else of the server. Three rules make them simple:

- What changes is told whole, with a `revision` that only grows, over all that there is in a room.
  Whoever gets something keeps the one with the greater revision; the order of arrival does not
  matter, nor does a repetition.
- The messages of a room are numbered 1, 2, 3, … without holes, also when they are deleted. A hole
  is something that was not heard of yet; `history` fills it.
- `say` carries a key of the sender's. Said again with the same key, it is the same message, so
  that a sender who heard no answer says it again. `register` does the same by its token.

`mine` and `room` are watches: the state, then every change of it, across lost connections.
Who is in a room right now, and who types, is on the topic `here(room)`: whoever shows the room
subscribes to it (that is being present), and asks for its presence.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec

import framerpc
from framerpc import Topic, Watch

__all__ = [
    "ADDRESS",
    "CHUNK",
    "GREATEST",
    "LONGEST_FILE",
    "LONGEST_TEXT",
    "MEMBERS",
    "Account",
    "Chat",
    "Event",
    "File",
    "Found",
    "Member",
    "Message",
    "Mine",
    "NameTaken",
    "NoSuchAccount",
    "NoSuchFile",
    "NoSuchMessage",
    "NoSuchRoom",
    "NotAllowed",
    "Place",
    "Role",
    "Room",
    "RoomState",
    "TooMany",
    "Typing",
    "here",
]

ADDRESS: Final = "tcp://127.0.0.1:7007"
"""Where a server is if nobody says otherwise."""

CHUNK: Final = 65_536
"""Bytes of a file in one item of a stream; only the last item is shorter."""

GREATEST: Final = 2**53 - 1
"""No number or id is greater: so far, a browser can count."""

LONGEST_FILE: Final = 64 * 1024 * 1024
"""Bytes of a file."""

LONGEST_TEXT: Final = 4_000
"""Characters of a message."""

Role = Literal["owner", "moderator", "member", "banned", "left"]
"""What somebody may do in a room. `banned` and `left` are no members."""

MEMBERS: Final[tuple[Role, ...]] = ("owner", "moderator", "member")
"""The roles of those who are in a room, the mightiest first."""


class Account(msgspec.Struct, frozen=True):
    """Somebody who can say something.

    Attributes:
        name: As everybody sees it; names that differ in upper and lower case only are the same.
        since: When it was made.
    """

    name: str
    since: dt.datetime


class Room(msgspec.Struct, frozen=True, tag="room"):
    """A place to talk.

    Attributes:
        id: Names it in all calls.
        kind: Public rooms can be found and joined, private ones need an invitation; a direct one
            is between two accounts, for ever.
        name: What people call it; of a direct room, both names, sorted, with a blank between.
        about: What it is for.
        members: How many there are.
        last: Number of its last message; 0 if there is none.
        revision: Greater with each change.
    """

    id: int
    kind: Literal["public", "private", "direct"]
    name: str
    about: str
    members: int
    last: int
    revision: int


class File(msgspec.Struct, frozen=True):
    """A file that was uploaded to a room.

    Attributes:
        id: Names it in `download`.
        name: Its name, without a folder.
        type: Its media type, as its sender says.
        size: In bytes.
        sha256: Of its content, in hexadecimal digits.
    """

    id: int
    name: str
    type: str
    size: int
    sha256: str


class Message(msgspec.Struct, frozen=True, tag="message"):
    """What somebody said.

    Attributes:
        room: Where.
        number: Counts the messages of the room from 1, without holes.
        who: The name of the account.
        text: What was said; empty if only a file was sent, or if it was deleted.
        sent: When the server took it.
        key: The sender's own name for it.
        revision: Greater with each change.
        file: What was sent with it.
        edited: When the text was changed last.
        deleted: Who deleted it; text, file and reactions are gone.
        reactions: Who reacted, by what they reacted with.
    """

    room: int
    number: int
    who: str
    text: str
    sent: dt.datetime
    key: str
    revision: int
    file: File | None = None
    edited: dt.datetime | None = None
    deleted: str | None = None
    reactions: dict[str, list[str]] = msgspec.field(default_factory=dict[str, list[str]])


class Member(msgspec.Struct, frozen=True, tag="member"):
    """Somebody's part in a room.

    Attributes:
        room: Where.
        name: Who.
        role: What they may do there; `left` and `banned` say that they are no member any more.
        revision: Greater with each change.
    """

    room: int
    name: str
    role: Role
    revision: int


class Place(msgspec.Struct, frozen=True, tag="place"):
    """One's own part in a room, told to nobody else.

    Attributes:
        room: The room when this was told. What happens in it comes by `Chat.room`.
        role: What one may do; `left` and `banned`: one is no member any more.
        read: Number of the last message that one has read; `room.last - read` are unread.
        revision: Greater with each change.
    """

    room: Room
    role: Role
    read: int
    revision: int


class Mine(msgspec.Struct, frozen=True):
    """What belongs to an account.

    Attributes:
        account: The account.
        places: The rooms that it is a member of.
    """

    account: Account
    places: list[Place]


class RoomState(msgspec.Struct, frozen=True):
    """A room as whoever enters it needs it.

    Attributes:
        room: The room.
        members: Its members, and who is banned, for those who may pardon.
        messages: The last messages, the oldest first.
    """

    room: Room
    members: list[Member]
    messages: list[Message]


class Found(msgspec.Struct, frozen=True):
    """A page of what was found.

    Attributes:
        messages: The newest first.
        more: What `search` takes as `before` for the next page; None if this was the last.
    """

    messages: list[Message]
    more: int | None


class Typing(msgspec.Struct, frozen=True):
    """Somebody types, or did a moment ago: show it for some seconds.

    Attributes:
        name: Who.
    """

    name: str


Event = Message | Member | Room
"""What happens in a room."""


def here(room: int) -> Topic[Typing]:
    """Return the topic of those who are in a room now."""
    return Topic[Typing](f"chat.here.{room}")


# ------------------------------------------------------------------------------------- errors


@framerpc.error
@dataclass(eq=False)
class NameTaken(framerpc.CallError):
    """Somebody else, or another room, has this name."""

    name: str


@framerpc.error
@dataclass(eq=False)
class NoSuchAccount(framerpc.CallError):
    """Nobody has this name."""

    name: str


@framerpc.error
@dataclass(eq=False)
class NoSuchRoom(framerpc.CallError):
    """There is no such room, or it is private and one is no member."""

    room: int


@framerpc.error
@dataclass(eq=False)
class NoSuchMessage(framerpc.CallError):
    """The room has no message with this number."""

    room: int
    number: int


@framerpc.error
@dataclass(eq=False)
class NoSuchFile(framerpc.CallError):
    """There is no such file where one is a member, or it was deleted."""

    file: int


@framerpc.error
@dataclass(eq=False)
class NotAllowed(framerpc.CallError):
    """One may not do this here; `why` says who may."""

    why: str


@framerpc.error
@dataclass(eq=False)
class TooMany(framerpc.CallError):
    """A limit is reached."""

    what: str
    limit: int


# ----------------------------------------------------------------------------------- the calls

# A plain `$` is before a line break at the end as well: "ada\n" would look like "ada".
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=32, pattern=r"^[^\W_][\w-]*$(?!\n)")]
_Token = Annotated[str, msgspec.Meta(min_length=22, max_length=128, pattern=r"^[\w-]+$(?!\n)")]
_RoomName = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^\S(.*\S)?$(?!\n)")]
_Key = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_Text = Annotated[str, msgspec.Meta(max_length=LONGEST_TEXT)]
_FileName = Annotated[
    str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[^/\\\x00-\x1f]+$(?!\n)")
]
_Emoji = Annotated[str, msgspec.Meta(min_length=1, max_length=16, pattern=r"^\S+$(?!\n)")]
_Page = Annotated[int, msgspec.Meta(ge=1, le=200)]
_Number = Annotated[int, msgspec.Meta(ge=0, le=GREATEST)]


@framerpc.service
class Chat:
    """Rooms to talk in."""

    # ------------------------------------------------------------------------------- accounts

    @framerpc.method(idempotent=True)
    async def register(self, name: _Name, token: _Token) -> Account:
        """Make an account; the only call for those who have none.

        Whoever heard no answer registers again with the same token: it is the same account.

        Args:
            name: How everybody will call it.
            token: What will prove that one is this account: at least 128 random bits, made by the
                caller and kept. The server keeps a hash of it only.

        Raises:
            NameTaken: Somebody has it.
            InvalidArgument: The token is another account's, too short, or too long.
            TooMany: There are too many accounts.
        """
        raise NotImplementedError

    @framerpc.method
    def mine(self) -> Watch[Mine, Place]:
        """Follow what belongs to the caller."""
        raise NotImplementedError

    # ---------------------------------------------------------------------------------- rooms

    @framerpc.method(idempotent=True)
    async def rooms(self) -> list[Room]:
        """Return the public rooms, by name."""
        raise NotImplementedError

    @framerpc.method(once=True)
    async def create(self, name: _RoomName, about: _Text = "", *, private: bool = False) -> Place:
        """Make a room, and become its owner.

        Raises:
            NameTaken: A room has this name, maybe a private one.
            TooMany: The caller is a member of too many rooms.
        """
        raise NotImplementedError

    @framerpc.method(idempotent=True)
    async def direct(self, name: str) -> Place:
        """Return the room of the caller and this account; make it if there is none.

        Raises:
            NoSuchAccount: Nobody has the name.
            NotAllowed: It is the caller's own.
            TooMany: One of both is a member of too many rooms.
        """
        raise NotImplementedError

    @framerpc.method(idempotent=True)
    async def join(self, room: _Number) -> Place:
        """Become a member of a public room.

        Raises:
            NoSuchRoom: There is none that the caller may know of.
            NotAllowed: One was banned.
            TooMany: The caller is a member of too many rooms, or the room is full.
        """
        raise NotImplementedError

    @framerpc.method(idempotent=True)
    async def leave(self, room: _Number) -> None:
        """Be a member no longer. An owner who leaves hands the room to who was there longest.

        Raises:
            NoSuchRoom: As for `join`.
            NotAllowed: The room is a direct one.
        """
        raise NotImplementedError

    @framerpc.method(idempotent=True)
    async def invite(self, room: _Number, name: str) -> None:
        """Make somebody a member.

        Raises:
            NoSuchRoom: One is no member.
            NoSuchAccount: Nobody has the name.
            NotAllowed: They were banned, or the room is a direct one.
            TooMany: As for `join`.
        """
        raise NotImplementedError

    @framerpc.method(idempotent=True)
    async def describe(self, room: _Number, about: _Text) -> None:
        """Say what a room is for.

        Raises:
            NoSuchRoom: One is no member.
            NotAllowed: One is neither owner nor moderator.
        """
        raise NotImplementedError

    @framerpc.method(idempotent=True)
    async def set_role(
        self,
        room: _Number,
        name: str,
        role: Literal["owner", "moderator", "member", "banned", "left"],
    ) -> None:
        """Change what somebody may do; `left` removes them, `banned` keeps them out as well.

        Raises:
            NoSuchRoom: One is no member.
            NoSuchAccount: There is no such member.
            NotAllowed: Only owners make moderators and owners; moderators and owners remove, ban
                and pardon members.
        """
        raise NotImplementedError

    @framerpc.method
    def room(
        self, room: _Number, last: Annotated[int, msgspec.Meta(ge=0, le=200)] = 50
    ) -> Watch[RoomState, Event]:
        """Follow a room that one is a member of, with so many of its last messages.

        It ends with NoSuchRoom when one is a member no longer.

        Raises:
            NoSuchRoom: One is no member.
        """
        raise NotImplementedError

    # ------------------------------------------------------------------------------- messages

    @framerpc.method(idempotent=True)
    async def say(
        self, room: _Number, text: _Text, key: _Key, file: _Number | None = None
    ) -> Message:
        """Say something, with a file or without; what was said with the key before stays as it is.

        Raises:
            NoSuchRoom: One is no member.
            NoSuchFile: The caller has uploaded none with this id to the room, or has sent it.
            InvalidArgument: Neither text nor file; or something was said with the key in another
                room.
        """
        raise NotImplementedError

    @framerpc.method(idempotent=True)
    async def history(
        self, room: _Number, *, before: _Number | None = None, after: _Number = 0, limit: _Page = 50
    ) -> list[Message]:
        """Return messages of a room, the oldest first.

        Args:
            room: Where.
            before: Those with a smaller number, the nearest to it; None: the last ones.
            after: Only those with a greater number.
            limit: How many.

        Raises:
            NoSuchRoom: One is no member.
        """
        raise NotImplementedError

    @framerpc.method(idempotent=True)
    async def edit(self, room: _Number, number: _Number, text: _Text) -> Message:
        """Change what one has said.

        Raises:
            NoSuchRoom: One is no member.
            NoSuchMessage: There is none, or it was deleted.
            NotAllowed: Somebody else said it.
            InvalidArgument: Neither text nor file is left.
        """
        raise NotImplementedError

    @framerpc.method(idempotent=True)
    async def delete(self, room: _Number, number: _Number) -> Message:
        """Delete a message; its number stays.

        Raises:
            NoSuchRoom: One is no member.
            NoSuchMessage: There is none.
            NotAllowed: Somebody else said it, and one is neither owner nor moderator.
        """
        raise NotImplementedError

    @framerpc.method(idempotent=True)
    async def react(
        self, room: _Number, number: _Number, emoji: _Emoji, *, on: bool = True
    ) -> Message:
        """Add one's reaction to a message, or take it back.

        Raises:
            NoSuchRoom: One is no member.
            NoSuchMessage: There is none, or it was deleted.
            TooMany: The message has too many different reactions.
        """
        raise NotImplementedError

    @framerpc.method(idempotent=True)
    async def read(self, room: _Number, number: _Number) -> None:
        """Note that one has read a room up to this message; it never goes back.

        Raises:
            NoSuchRoom: One is no member.
        """
        raise NotImplementedError

    @framerpc.method
    async def typing(self, room: _Number) -> None:
        """Tell those who are in the room that the caller types; at most every two seconds."""
        raise NotImplementedError

    @framerpc.method(idempotent=True)
    async def search(
        self,
        text: Annotated[str, msgspec.Meta(min_length=1, max_length=200)],
        *,
        room: _Number | None = None,
        before: _Number | None = None,
        limit: _Page = 20,
    ) -> Found:
        """Find messages that have all these words, or words that begin so, where one is a member.

        Args:
            text: The words.
            room: Only there; None: everywhere.
            before: What the page before has as `more`.
            limit: How many.
        """
        raise NotImplementedError

    # ---------------------------------------------------------------------------------- files

    @framerpc.method
    async def upload(
        self,
        room: _Number,
        name: _FileName,
        type: Annotated[str, msgspec.Meta(max_length=127)],  # noqa: A002 - what the web calls it
        parts: AsyncIterator[bytes],
    ) -> File:
        """Take a file for a message that is to come; nothing is kept of one that breaks off.

        Args:
            room: Where it will be said.
            name: The file's name.
            type: Its media type, such as "image/png"; "" if unknown.
            parts: Its content, `CHUNK` bytes at a time.

        Raises:
            NoSuchRoom: One is no member.
            TooMany: It is too long, or too many of the caller's files wait for their message.
        """
        raise NotImplementedError

    @framerpc.method
    async def discard(self, file: _Number) -> None:
        """Forget a file of the caller's that was uploaded and not said; nothing if there is none."""
        raise NotImplementedError

    @framerpc.method(resume="skip")
    def download(self, file: _Number, *, skip: int = 0) -> AsyncGenerator[bytes, None]:
        """Return the content of a file, `CHUNK` bytes at a time.

        Args:
            file: Which.
            skip: Chunks to leave out.

        Raises:
            NoSuchFile: There is none where one is a member.
        """
        raise NotImplementedError
