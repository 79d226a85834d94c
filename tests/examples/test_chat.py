"""The chat's service: who hears what, also across a lost connection."""

from __future__ import annotations

import pytest

import framerpc
from examples.chat import service
from examples.chat.service import Chat, Line, RoomFull, TooSlow, authenticate

ADDRESS = "memory://chat"


def _server(chat: Chat) -> framerpc.Server:
    return framerpc.Server(chat, authenticate=authenticate)


async def test_line_reaches_everybody() -> None:
    """What one member says, each follower hears, with its number and who said it."""
    async with (
        _server(Chat()).listen(ADDRESS),
        framerpc.connect(ADDRESS, token="ada") as ada,
        framerpc.connect(ADDRESS, token="bob") as bob,
        ada.stream(Chat.follow, "lobby") as hers,
        bob.stream(Chat.follow, "lobby") as his,
    ):
        assert await anext(hers) == Line(1, "joined", "ada")
        assert await anext(his) == Line(2, "joined", "bob")
        assert await ada.call(Chat.who, "lobby") == ["ada", "bob"]
        assert await bob.call(Chat.say, "lobby", "hi") == 3
        assert [await anext(hers), await anext(hers)][1] == Line(3, "said", "bob", "hi")
        assert await anext(his) == Line(3, "said", "bob", "hi")


async def test_following_again_misses_nothing() -> None:
    """Whoever follows since a line gets all that came after it, then what is new."""
    async with (
        _server(Chat()).listen(ADDRESS),
        framerpc.connect(ADDRESS, token="ada") as ada,
    ):
        for text in ("one", "two", "three"):
            await ada.call(Chat.say, "lobby", text)
        async with ada.stream(Chat.follow, "lobby", 1) as lines:
            got = [await anext(lines) for _ in range(3)]
    assert [(line.number, line.text) for line in got] == [(2, "two"), (3, "three"), (4, "")]


async def test_server_that_started_anew_is_followed_from_its_beginning() -> None:
    """A number that the room has not reached yet is another server's, and hides no line."""
    async with (
        _server(Chat()).listen(ADDRESS),
        framerpc.connect(ADDRESS, token="ada") as ada,
    ):
        await ada.call(Chat.say, "lobby", "first")
        async with ada.stream(Chat.follow, "lobby", 100) as lines:
            assert (await anext(lines)).text == "first"


async def test_slow_member_is_told_its_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A member for whom too many lines wait is sent away with the number of its last one."""
    monkeypatch.setattr(service, "BACKLOG", 2)
    room = Chat()
    async with (
        _server(room).listen(ADDRESS),
        framerpc.connect(ADDRESS, token="ada") as ada,
        ada.stream(Chat.follow, "lobby") as lines,
    ):
        await anext(lines)
        for _ in range(5):
            room.rooms["lobby"].add("said", "bob", "again")
        with pytest.raises(TooSlow) as caught:
            [line async for line in lines]
    assert caught.value.last == 3


async def test_full_room_takes_nobody() -> None:
    """A room at its limit refuses the next member with its name and limit."""
    async with (
        _server(Chat(members=0)).listen(ADDRESS),
        framerpc.connect(ADDRESS, token="ada") as ada,
    ):
        with pytest.raises(RoomFull) as caught:
            await anext(ada.stream(Chat.follow, "lobby"))
    assert (caught.value.room, caught.value.limit) == ("lobby", 0)


async def test_nameless_are_turned_away() -> None:
    """Without a name as token nobody gets in."""
    async with _server(Chat()).listen(ADDRESS), framerpc.connect(ADDRESS) as nobody:
        with pytest.raises(framerpc.Unauthenticated, match="say who you are"):
            await nobody.call(Chat.who, "lobby")
