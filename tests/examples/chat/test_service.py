"""The chat's service: who hears and may do what, and that nothing is lost."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

import framerpc
from examples.chat.api import (
    CHUNK,
    LONGEST_FILE,
    Chat,
    Message,
    NameTaken,
    NoSuchAccount,
    NoSuchFile,
    NoSuchMessage,
    NoSuchRoom,
    NotAllowed,
    TooMany,
    Typing,
    here,
)
from examples.chat.server.serving import make_server
from examples.chat.server.state import files, messages, rooms
from framerpc import Change, Snapshot
from tests.examples.chat.town import Town, a_town, texts, until


async def _room(town: Town, *names: str) -> tuple[int, list[Chat]]:
    """Return a room whose owner is the first of these, and stubs of all of them."""
    members = [await town.member(name) for name in names]
    room = (await members[0].create("lobby")).room.id
    for member in members[1:]:
        await member.join(room)
    return room, members


async def _pieces(content: bytes, size: int = CHUNK) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


# ------------------------------------------------------------------------------------- accounts


async def test_a_name_is_taken_in_all_its_spellings(tmp_path: Path) -> None:
    """Names that differ in upper and lower case only belong to the first who took one."""
    async with a_town(tmp_path) as town:
        await town.member("Ada")
        with pytest.raises(NameTaken, match="aDA"):
            await town.member("aDA")


async def test_registered_again_with_its_token_is_the_same_account(tmp_path: Path) -> None:
    """Who heard no answer registers again; with another token the name is taken."""
    token = "x" * 22
    async with a_town(tmp_path) as town, framerpc.connect(town.url) as guest:
        chat = guest.stub(Chat)
        made = await chat.register("ada", token)
        assert await chat.register("ada", token) == made
        with pytest.raises(NameTaken):
            await chat.register("ada", "y" * 22)
        with pytest.raises(framerpc.InvalidArgument, match="make another one"):
            await chat.register("bob", token)


async def test_a_name_is_a_word(tmp_path: Path) -> None:
    """A name with a blank is refused with the field's name."""
    async with a_town(tmp_path) as town:
        with pytest.raises(framerpc.InvalidArgument, match="name"):
            await town.member("a b")


async def test_no_name_ends_with_a_line_break(tmp_path: Path) -> None:
    """It would look like another one: of an account, a room, or a file."""
    async with a_town(tmp_path) as town:
        room, (ada,) = await _room(town, "ada")
        with pytest.raises(framerpc.InvalidArgument, match="name"):
            await town.member("ada\n")
        with pytest.raises(framerpc.InvalidArgument, match="name"):
            await ada.create("lobby\n")
        with pytest.raises(framerpc.InvalidArgument, match="name"):
            await ada.upload(room, "plan.txt\n", "", _pieces(b""))


async def test_without_an_account_one_can_only_make_one(tmp_path: Path) -> None:
    """All other calls, and topics, are refused to who has no token."""
    async with a_town(tmp_path) as town, framerpc.connect(town.url) as guest:
        with pytest.raises(framerpc.Unauthenticated, match="Chat/register"):
            await guest.stub(Chat).rooms()
        with pytest.raises(framerpc.PermissionDenied):
            async with guest.subscribe(here(1)):
                pass


async def test_an_unknown_token_is_refused(tmp_path: Path) -> None:
    """Who comes with a token that proves nothing gets to know it at once."""
    async with a_town(tmp_path) as town, framerpc.connect(town.url, token="x") as stranger:
        with pytest.raises(framerpc.Unauthenticated, match="nobody has this token"):
            await stranger.ready()


async def test_the_token_is_not_in_the_database(tmp_path: Path) -> None:
    """Who reads the file cannot log in as anybody."""
    async with a_town(tmp_path) as town:
        await town.member("ada")
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"ada" in content
    assert town.tokens["ada"].encode() not in content


# ---------------------------------------------------------------------------------------- rooms


async def test_a_public_room_can_be_found_and_joined(tmp_path: Path) -> None:
    """It is in the list, and counts who joined."""
    async with a_town(tmp_path) as town:
        ada, bob = await town.member("ada"), await town.member("bob")
        made = await ada.create("Lobby", "for all")
        assert (made.role, made.room.members, made.room.kind) == ("owner", 1, "public")
        (found,) = await bob.rooms()
        joined = await bob.join(found.id)
        assert (joined.role, joined.room.members, joined.room.about) == ("member", 2, "for all")


async def test_a_private_room_needs_an_invitation(tmp_path: Path) -> None:
    """Others do not find it, and cannot tell it from one that does not exist."""
    async with a_town(tmp_path) as town:
        ada, bob = await town.member("ada"), await town.member("bob")
        room = (await ada.create("secret", private=True)).room.id
        assert await bob.rooms() == []
        for number in (room, room + 1):
            with pytest.raises(NoSuchRoom):
                await bob.join(number)
        await ada.invite(room, "BOB")
        assert (await bob.join(room)).role == "member"


async def test_two_rooms_have_two_names(tmp_path: Path) -> None:
    """A name that a room has is refused, also if that room is private."""
    async with a_town(tmp_path) as town:
        ada, bob = await town.member("ada"), await town.member("bob")
        await ada.create("Plans", private=True)
        with pytest.raises(NameTaken):
            await bob.create("plans")


async def test_a_direct_room_is_the_same_for_both(tmp_path: Path) -> None:
    """Whoever asks for it, there is one room of two, and both are told of it."""
    async with a_town(tmp_path) as town:
        ada, bob = await town.member("ada"), await town.member("bob")
        places = aiter((await town.client("bob")).stub(Chat).mine())
        assert isinstance(await anext(places), Snapshot)
        room = (await ada.direct("bob")).room
        assert (room.kind, room.name, room.members) == ("direct", "ada bob", 2)
        told = await anext(places)
        assert isinstance(told, Change)
        assert told.value.room.id == room.id
        assert (await bob.direct("ADA")).room.id == room.id
        with pytest.raises(NotAllowed, match="for two"):
            await ada.direct("ada")
        with pytest.raises(NoSuchAccount, match="eve"):
            await ada.direct("eve")
        with pytest.raises(NotAllowed, match="for ever"):
            await bob.leave(room.id)


async def test_an_owner_who_leaves_hands_the_room_on(tmp_path: Path) -> None:
    """A moderator before those who have been there longer."""
    async with a_town(tmp_path) as town:
        room, (ada, bob, eve) = await _room(town, "ada", "bob", "eve")
        await ada.set_role(room, "eve", "moderator")
        await ada.leave(room)
        first = await anext(aiter(bob.room(room)))
        assert isinstance(first, Snapshot)
        assert {each.name: each.role for each in first.value.members} == {
            "bob": "member",
            "eve": "owner",
        }
        await eve.describe(room, "mine now")
        with pytest.raises(NotAllowed, match="describe"):
            await bob.describe(room, "no")


async def test_who_comes_into_an_empty_room_owns_it(tmp_path: Path) -> None:
    """Nobody else could decide there any more."""
    async with a_town(tmp_path) as town:
        room, (ada,) = await _room(town, "ada")
        bob = await town.member("bob")
        await ada.leave(room)
        assert (await bob.join(room)).role == "owner"
        assert (await ada.join(room)).role == "member"


async def test_who_was_banned_learns_nothing_more(tmp_path: Path) -> None:
    """Not even by leaving once more: what the room is for was changed since."""
    async with a_town(tmp_path) as town:
        ada, bob = await town.member("ada"), await town.member("bob")
        room = (await ada.create("secret", private=True)).room.id
        await ada.invite(room, "bob")
        await ada.set_role(room, "bob", "banned")
        await ada.describe(room, "not for bob")
        mine = aiter(bob.mine())
        assert isinstance(await anext(mine), Snapshot)
        await bob.leave(room)
        await bob.create("own")
        told = await anext(mine)
        assert isinstance(told, Change)
        assert told.value.room.name == "own"


async def test_so_many_rooms_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit says what it limits."""
    monkeypatch.setattr(rooms, "MOST_PLACES", 2)
    async with a_town(tmp_path) as town:
        ada = await town.member("ada")
        for name in ("one", "two"):
            await ada.create(name)
        with pytest.raises(TooMany) as caught:
            await ada.create("three")
        assert (caught.value.what, caught.value.limit) == ("rooms of one account", 2)
        assert [room.name for room in await ada.rooms()] == ["one", "two"]  # undone, whole


# ------------------------------------------------------------------------------------- messages


async def test_what_is_said_reaches_who_follows(tmp_path: Path) -> None:
    """A snapshot with the last messages, then each new one, numbered without holes."""
    async with a_town(tmp_path) as town:
        room, (ada, bob) = await _room(town, "ada", "bob")
        await ada.say(room, "before", "k1")
        updates = aiter(bob.room(room, 1))
        first = await anext(updates)
        assert isinstance(first, Snapshot)
        assert texts(first.value.messages) == ["before"]
        said = await ada.say(room, "hi", "k2")
        assert (said.number, said.who, said.key) == (2, "ada", "k2")
        assert await anext(updates) == Change(said)


async def test_said_again_is_said_once(tmp_path: Path) -> None:
    """The same key gives the same message, also after the server was started again."""
    async with a_town(tmp_path) as town:
        room, (ada,) = await _room(town, "ada")
        said = await ada.say(room, "hi", "key")
        assert await ada.say(room, "hi", "key") == said
        await town.stop()
        await town.start()
        assert await ada.say(room, "hi", "key") == said
        assert await ada.history(room) == [said]


async def test_a_key_of_another_room_is_refused(tmp_path: Path) -> None:
    """What was to be said here would be lost, and its sender would not know."""
    async with a_town(tmp_path) as town:
        room, (ada,) = await _room(town, "ada")
        other = (await ada.create("ops")).room.id
        await ada.say(room, "hi", "key")
        with pytest.raises(framerpc.InvalidArgument, match="another room"):
            await ada.say(other, "hi", "key")
        assert await ada.history(other) == []


async def test_nothing_is_not_said(tmp_path: Path) -> None:
    """Neither text nor file: refused."""
    async with a_town(tmp_path) as town:
        room, (ada,) = await _room(town, "ada")
        with pytest.raises(framerpc.InvalidArgument, match="say something"):
            await ada.say(room, " \n", "key")


async def test_history_in_pages(tmp_path: Path) -> None:
    """The last ones, those before a number, those after one; the oldest first."""
    async with a_town(tmp_path) as town:
        room, (ada,) = await _room(town, "ada")
        for n in range(1, 8):
            await ada.say(room, str(n), str(n))
        assert texts(await ada.history(room, limit=3)) == ["5", "6", "7"]
        assert texts(await ada.history(room, before=5, limit=3)) == ["2", "3", "4"]
        assert texts(await ada.history(room, before=5, after=2)) == ["3", "4"]
        assert await ada.history(room, after=7) == []


async def test_nothing_is_before_the_first(tmp_path: Path) -> None:
    """Zero is a number, and not the end."""
    async with a_town(tmp_path) as town:
        room, (ada,) = await _room(town, "ada")
        await ada.say(room, "hi", "key")
        assert await ada.history(room, before=0) == []
        assert (await ada.search("hi", before=0)).messages == []


@pytest.mark.parametrize("number", [-1, 2**53, 2**63, 2**64 - 1])
async def test_numbers_that_nothing_has_are_refused(tmp_path: Path, number: int) -> None:
    """With the name of the argument."""
    async with a_town(tmp_path) as town:
        room, (ada,) = await _room(town, "ada")
        with pytest.raises(framerpc.InvalidArgument, match="room"):
            await ada.join(number)
        with pytest.raises(framerpc.InvalidArgument, match="number"):
            await ada.read(room, number)
        with pytest.raises(framerpc.InvalidArgument, match="before"):
            await ada.history(room, before=number)
        with pytest.raises(framerpc.InvalidArgument, match="file"):
            await ada.say(room, "hi", "key", number)
        with pytest.raises(framerpc.InvalidArgument, match="file"):
            await ada.discard(number)
        client = await town.client("ada")
        with pytest.raises(framerpc.PermissionDenied):
            async with client.subscribe(here(number)):
                pass


async def test_only_members_read(tmp_path: Path) -> None:
    """History, watch and search are for members, and so is saying something."""
    async with a_town(tmp_path) as town:
        room, (ada,) = await _room(town, "ada")
        await ada.say(room, "secret", "k")
        eve = await town.member("eve")
        for refused in (
            eve.history(room),
            eve.say(room, "hi", "k"),
            eve.search("secret", room=room),
            eve.typing(room),
            anext(aiter(eve.room(room))),
        ):
            with pytest.raises(NoSuchRoom):
                await refused
        assert (await eve.search("secret")).messages == []


async def test_edit_one_s_own(tmp_path: Path) -> None:
    """An edit keeps number and sender; nobody edits what others said."""
    async with a_town(tmp_path) as town:
        room, (ada, bob) = await _room(town, "ada", "bob")
        said = await ada.say(room, "helo", "k")
        edited = await ada.edit(room, said.number, "hello")
        assert (edited.text, edited.number, edited.edited is not None) == ("hello", 1, True)
        assert edited.revision > said.revision
        assert await bob.history(room) == [edited]
        with pytest.raises(NotAllowed, match="ada said this"):
            await bob.edit(room, said.number, "mine")
        with pytest.raises(NoSuchMessage):
            await ada.edit(room, 2, "none")


async def test_nothing_is_left_of_a_message_only_if_it_is_deleted(tmp_path: Path) -> None:
    """An edit must leave something to see."""
    async with a_town(tmp_path) as town:
        room, (ada,) = await _room(town, "ada")
        await ada.say(room, "hi", "key")
        with pytest.raises(framerpc.InvalidArgument, match="delete"):
            await ada.edit(room, 1, " ")
        assert texts(await ada.history(room)) == ["hi"]


async def test_what_is_deleted_keeps_its_number(tmp_path: Path) -> None:
    """Text, file and reactions are gone, who deleted it is told; members delete their own only."""
    async with a_town(tmp_path) as town:
        room, (ada, bob, eve) = await _room(town, "ada", "bob", "eve")
        await bob.say(room, "rude", "k")
        await eve.react(room, 1, "👎")
        with pytest.raises(NotAllowed, match="delete"):
            await eve.delete(room, 1)
        deleted = await ada.delete(room, 1)
        assert (deleted.number, deleted.text, deleted.reactions, deleted.deleted) == (
            1,
            "",
            {},
            "ada",
        )
        assert await ada.delete(room, 1) == deleted
        assert (await ada.search("rude")).messages == []
        with pytest.raises(NoSuchMessage):
            await eve.react(room, 1, "👍")


async def test_reactions_are_set_and_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each once a person, in the order they came, bounded in kinds."""
    monkeypatch.setattr(messages, "MOST_REACTIONS", 2)
    async with a_town(tmp_path) as town:
        room, (ada, bob) = await _room(town, "ada", "bob")
        await ada.say(room, "hi", "k")
        for who, emoji in ((bob, "👍"), (ada, "🎉"), (ada, "👍"), (bob, "👍")):
            message = await who.react(room, 1, emoji)
        assert message.reactions == {"👍": ["bob", "ada"], "🎉": ["ada"]}
        with pytest.raises(TooMany):
            await ada.react(room, 1, "🚀")
        message = await bob.react(room, 1, "👍", on=False)
        assert message.reactions == {"🎉": ["ada"], "👍": ["ada"]}


async def test_search_finds_words_and_their_beginnings(tmp_path: Path) -> None:
    """All words must be there; marks and accents do not matter; operators are words."""
    async with a_town(tmp_path) as town:
        room, (ada,) = await _room(town, "ada")
        for n, text in enumerate(["Crème brûlée tonight", "no cream OR sugar", 'a "quoted" word']):
            await ada.say(room, text, str(n))
        assert texts((await ada.search("creme bru")).messages) == ["Crème brûlée tonight"]
        assert texts((await ada.search("OR")).messages) == ["no cream OR sugar"]
        assert texts((await ada.search('"quot')).messages) == ['a "quoted" word']
        assert (await ada.search("AND*")).messages == []
        assert (await ada.search("*")).messages == []


@pytest.mark.parametrize("text", ['"', "a\0b", "*", "(", "NEAR(", "-", "text:", "a OR", '""*'])
async def test_anything_can_be_searched_for(tmp_path: Path, text: str) -> None:
    """Nothing in it is an operator."""
    async with a_town(tmp_path) as town:
        room, (ada,) = await _room(town, "ada")
        await ada.say(room, f"a text or near b {text}", "key")
        assert texts((await ada.search(f"{text} a")).messages) == [f"a text or near b {text}"]


async def test_search_in_pages(tmp_path: Path) -> None:
    """The newest first, each page after the one before, and the last one says so."""
    async with a_town(tmp_path) as town:
        room, (ada,) = await _room(town, "ada")
        for n in range(5):
            await ada.say(room, f"word {n}", str(n))
        found: list[str] = []
        more: int | None = None
        while True:
            page = await ada.search("word", before=more, limit=2)
            found += texts(page.messages)
            more = page.more
            if more is None:
                break
        assert found == [f"word {n}" for n in (4, 3, 2, 1, 0)]


# --------------------------------------------------------------------------- unread, presence


async def test_read_marks_are_shared_by_all_devices(tmp_path: Path) -> None:
    """What one has read here is read there; a mark never goes back, nor beyond the last."""
    async with a_town(tmp_path) as town:
        room, (ada, bob) = await _room(town, "ada", "bob")
        for n in range(3):
            await ada.say(room, str(n), str(n))
        places = aiter((await town.member("bob")).mine())
        first = await anext(places)
        assert isinstance(first, Snapshot)
        (place,) = first.value.places
        assert place.room.last - place.read == 3
        await bob.read(room, 2)
        told = await anext(places)
        assert isinstance(told, Change)
        assert (told.value.read, told.value.revision > place.revision) == (2, True)
        await bob.read(room, 1)
        await bob.read(room, 100)
        told = await anext(places)
        assert isinstance(told, Change)
        assert told.value.read == 3


async def test_who_joins_has_nothing_unread(tmp_path: Path) -> None:
    """What was said before counts as read."""
    async with a_town(tmp_path) as town:
        room, (ada,) = await _room(town, "ada")
        await ada.say(room, "old", "k")
        place = await (await town.member("bob")).join(room)
        assert place.read == place.room.last == 1


async def test_who_is_in_a_room_and_types(tmp_path: Path) -> None:
    """Members see who has the room open, and who types there; clients cannot pretend to."""
    async with a_town(tmp_path) as town:
        room, (_, bob) = await _room(town, "ada", "bob")
        client = await town.client("ada")
        async with client.subscribe(here(room)) as signs:
            present = await client.presence(here(room))
            assert [member.name for member in present.members] == ["ada"]
            await bob.typing(room)
            assert (await anext(signs)).data == Typing("bob")
        with pytest.raises(framerpc.PermissionDenied):
            await client.publish(here(room), Typing("bob"))
        eve = await town.client("eve")
        with pytest.raises(framerpc.PermissionDenied):
            await eve.presence(here(room))


# ------------------------------------------------------------------------------------ moderation


async def test_who_is_banned_hears_nothing_more(tmp_path: Path) -> None:
    """A watch that is open ends with the ban, and the door stays shut until a pardon."""
    async with a_town(tmp_path) as town:
        room, (ada, eve) = await _room(town, "ada", "eve")
        updates, places = aiter(eve.room(room)), aiter(eve.mine())
        await anext(updates)
        await anext(places)
        await ada.set_role(room, "eve", "banned")
        with pytest.raises(NoSuchRoom):
            await until(updates, lambda event: isinstance(event, Message))
        told = await anext(places)
        assert isinstance(told, Change)
        assert told.value.role == "banned"
        await ada.say(room, "she is gone", "k")
        with pytest.raises(NotAllowed, match="banned"):
            await eve.join(room)
        entered = await anext(aiter(ada.room(room)))
        assert isinstance(entered, Snapshot)
        assert [each.role for each in entered.value.members] == ["owner", "banned"]
        assert entered.value.room.members == 1
        with pytest.raises(NotAllowed, match="pardon"):
            await ada.invite(room, "eve")
        await ada.set_role(room, "eve", "left")
        assert (await eve.join(room)).role == "member"


async def test_those_who_stay_go_on_when_somebody_is_removed(tmp_path: Path) -> None:
    """The one who is removed keeps their other rooms: these watches go on without a hole."""
    async with a_town(tmp_path) as town:
        room, (ada, eve) = await _room(town, "ada", "eve")
        other = (await eve.create("other")).room.id
        updates = aiter(eve.room(other))
        await anext(updates)
        await ada.set_role(room, "eve", "left")
        for n in range(3):
            await eve.say(other, str(n), str(n))
        heard = [await until(updates, lambda event: isinstance(event, Message)) for _ in range(3)]
        assert [message.number for message in heard if isinstance(message, Message)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("who", "whom", "role", "allowed"),
    [
        ("owner", "member", "owner", True),
        ("owner", "moderator", "left", True),
        ("owner", "member", "moderator", True),
        ("moderator", "member", "banned", True),
        ("moderator", "member", "moderator", False),
        ("moderator", "owner", "left", False),
        ("moderator", "moderator2", "member", False),
        ("member", "member2", "left", False),
    ],
)
async def test_who_may_change_whose_role(
    tmp_path: Path, who: str, whom: str, role: str, allowed: bool
) -> None:
    """Owners everybody's; moderators that of members; members nobody's."""
    names = ("owner", "moderator", "moderator2", "member", "member2")
    async with a_town(tmp_path) as town:
        room, members = await _room(town, *names)
        for name in ("moderator", "moderator2"):
            await members[0].set_role(room, name, "moderator")
        change = members[names.index(who)].set_role(room, whom, role)  # type: ignore[arg-type]
        if allowed:
            await change
        else:
            with pytest.raises(NotAllowed):
                await change


# ----------------------------------------------------------------------------------------- files


async def test_a_file_comes_back_as_it_was(tmp_path: Path) -> None:
    """Whatever the sizes of its parts, also across a connection that is lost in the middle."""
    content = random.Random(1).randbytes(20 * CHUNK + 77)
    async with a_town(tmp_path) as town:
        room, (ada,) = await _room(town, "ada")
        bob = await town.client("bob")
        await bob.stub(Chat).join(room)
        file = await ada.upload(room, "a.bin", "", _pieces(content, 50_001))
        assert (file.size, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        with pytest.raises(NoSuchFile):  # not said yet
            await anext(bob.stub(Chat).download(file.id))
        said = await ada.say(room, "", "k", file.id)
        assert said.file == file
        got = bytearray()
        async for chunk in bob.stub(Chat).download(file.id):
            if len(got) == 5 * CHUNK:
                await bob.drop_connections()
            got += chunk
        assert bytes(got) == content


async def test_a_file_belongs_to_one_message(tmp_path: Path) -> None:
    """It cannot be sent twice, nor by somebody else, nor elsewhere; saying it again is fine."""
    async with a_town(tmp_path) as town:
        room, (ada, bob) = await _room(town, "ada", "bob")
        file = (await ada.upload(room, "a.txt", "text/plain", _pieces(b"hi"))).id
        with pytest.raises(NoSuchFile):
            await bob.say(room, "mine", "k", file)
        said = await ada.say(room, "see", "k", file)
        assert await ada.say(room, "see", "k", file) == said
        with pytest.raises(NoSuchFile):
            await ada.say(room, "again", "k2", file)
        await ada.delete(room, said.number)
        with pytest.raises(NoSuchFile):
            await anext(ada.download(file))


async def test_a_file_that_is_not_wanted_makes_room_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sender may take it back until it is said; nobody else may, and nobody later."""
    monkeypatch.setattr(files, "MOST_UNSENT", 1)
    async with a_town(tmp_path) as town:
        room, (ada, bob) = await _room(town, "ada", "bob")
        first = (await ada.upload(room, "a", "", _pieces(b"x"))).id
        await bob.discard(first)
        with pytest.raises(TooMany, match="wait for their message"):
            await ada.upload(room, "b", "", _pieces(b"x"))
        await ada.discard(first)
        second = (await ada.upload(room, "b", "", _pieces(b"x"))).id
        await ada.say(room, "see", "k", second)
        await ada.discard(second)
        assert await anext(bob.download(second)) == b"x"


async def test_more_than_a_file_has_can_be_left_out(tmp_path: Path) -> None:
    """Then there is nothing left of it, however much it is."""
    async with a_town(tmp_path) as town:
        room, (ada,) = await _room(town, "ada")
        file = await ada.upload(room, "a", "", _pieces(b"abc"))
        for skip in (1, LONGEST_FILE // CHUNK, 2**64 - 1):
            assert [each async for each in ada.download(file.id, skip=skip)] == []


async def test_who_is_banned_gets_no_more_of_a_file(tmp_path: Path) -> None:
    """Also of one that is on its way to them."""
    async with a_town(tmp_path) as town:
        room, (ada, bob) = await _room(town, "ada", "bob")
        file = await ada.upload(room, "a", "", _pieces(bytes(200 * CHUNK)))
        await ada.say(room, "look", "k", file.id)
        chunks = aiter(bob.download(file.id))
        await anext(chunks)
        await ada.set_role(room, "bob", "banned")
        with pytest.raises(NoSuchFile):
            [each async for each in chunks]


async def test_nothing_is_kept_of_a_file_that_breaks_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sender who fails, or sends too much, leaves no trace, and may try again."""
    monkeypatch.setattr(files, "MOST_UNSENT", 1)
    monkeypatch.setattr("examples.chat.server.service.LONGEST_FILE", 3 * CHUNK)

    async def broken() -> AsyncIterator[bytes]:
        yield bytes(CHUNK)
        raise OSError("the disk is gone")

    async with a_town(tmp_path) as town:
        room, (ada,) = await _room(town, "ada")
        with pytest.raises(OSError, match="the disk is gone"):
            await ada.upload(room, "a", "", broken())
        await _once_there_is_room(ada.upload, room, bytes(4 * CHUNK), "bytes of a file")
        await _once_there_is_room(ada.upload, room, b"")
        with pytest.raises(TooMany, match="wait for their message"):
            await ada.upload(room, "b", "", _pieces(b"x"))


async def _once_there_is_room(
    upload: Callable[..., Awaitable[object]], room: int, content: bytes, refusal: str = ""
) -> None:
    """Upload as soon as the server has forgotten the file before: its sender does not wait."""
    while True:
        try:
            await upload(room, "a", "", _pieces(content))
        except TooMany as error:
            if "wait for their message" in str(error):
                continue
            assert refusal in str(error)
            return
        assert not refusal
        return


# --------------------------------------------------------------------------- what is not lost


async def test_a_restart_loses_nothing(tmp_path: Path) -> None:
    """Who follows gets the state again, with all that was said, and goes on."""
    async with a_town(tmp_path) as town:
        room, (ada, bob) = await _room(town, "ada", "bob")
        updates = aiter(bob.room(room))
        await anext(updates)
        said = await ada.say(room, "before", "k1")
        assert await anext(updates) == Change(said)
        await town.stop()
        await town.start()
        later = await ada.say(room, "after", "k2")
        state = await anext(updates)
        while not (isinstance(state, Snapshot) and state.value.messages[-1] == later):
            state = await anext(updates)
        assert texts(state.value.messages) == ["before", "after"]
        mine = await anext(aiter((await town.member("bob")).mine()))
        assert isinstance(mine, Snapshot)
        assert [place.room.name for place in mine.value.places] == ["lobby"]


async def test_who_cancels_is_heard_all_the_same(tmp_path: Path) -> None:
    """What was changed is told, also if the caller does not wait for the answer."""
    async with a_town(tmp_path) as town:
        room, (ada, bob) = await _room(town, "ada", "bob")
        updates = aiter(bob.room(room))
        await anext(updates)
        for n in range(20):
            saying = asyncio.ensure_future(ada.say(room, str(n), str(n)))
            for _ in range(n):
                await asyncio.sleep(0)
            saying.cancel()
            await asyncio.wait([saying])
        last = await ada.say(room, "last", "last")
        heard: list[int] = []
        while last.number not in heard:
            update = await anext(updates)
            if isinstance(update, Change) and isinstance(update.value, Message):
                heard.append(update.value.number)
        assert heard == list(range(1, last.number + 1))


async def test_two_servers_share_a_chat(tmp_path: Path) -> None:
    """State is in the database only: what is changed at one server is there at the other."""
    async with a_town(tmp_path) as town:
        room, (ada,) = await _room(town, "ada")
        other = make_server(tmp_path)
        async with (
            other.listen("memory://chat-other"),
            framerpc.connect("memory://chat-other", token=town.tokens["ada"]) as client,
        ):
            said = await client.stub(Chat).say(room, "hi", "k")
            assert await ada.history(room) == [said]


def test_a_database_of_another_version_is_refused(tmp_path: Path) -> None:
    """The text names the file and both versions."""
    import sqlite3  # noqa: PLC0415 - only here

    database = sqlite3.connect(tmp_path / "chat.db")
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(ValueError, match=r"chat\.db has version 99"):
        make_server(tmp_path)
