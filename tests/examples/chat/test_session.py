"""A session shows what the server has, whatever happens to the connection, and says all once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import framerpc
from examples.chat.api import CHUNK, Chat, Typing, here
from examples.chat.client import showing
from examples.chat.client.session import Session
from examples.chat.client.transfers import download
from examples.chat.client.view import TYPING, RoomView
from examples.chat.server.serving import make_server
from framerpc.testing import Network, virtual_time
from tests.examples.chat.town import Town, a_town, texts, visiting, when


async def lobby(town: Town, *names: str) -> int:
    """Make a room with these members; return its id."""
    first, *others = [await town.member(name) for name in names]
    room = (await first.create("lobby")).room.id
    for other in others:
        await other.join(room)
    return room


def kind(session: Session) -> str:
    return session.link.kind


def said(view: RoomView) -> list[str]:
    return texts(view.between(1, view.last))


# --------------------------------------------------------------------------------- following


@virtual_time
async def test_rooms_and_their_messages_are_there_and_follow(tmp_path: Path) -> None:
    """Those from before, and those that are said, or edited, afterwards."""
    async with a_town(tmp_path) as town:
        room, ada = await lobby(town, "ada", "bob"), await town.member("ada")
        await ada.say(room, "one", "a")
        async with visiting(town, "bob") as session:
            view = session.model.rooms[room]
            await when(session, lambda: said(view) == ["one"])
            await ada.say(room, "two", "b")
            await ada.edit(room, 1, "first")
            await when(session, lambda: said(view) == ["first", "two"])
            assert [member.name for member in view.people] == ["ada", "bob"]


@virtual_time
async def test_a_room_appears_when_one_joins_and_goes_when_one_is_removed(tmp_path: Path) -> None:
    """With a notice that says so; and comes back with an invitation."""
    async with a_town(tmp_path) as town:
        room, ada = await lobby(town, "ada"), await town.member("ada")
        await town.member("bob")
        async with visiting(town, "bob") as session:
            assert session.model.rooms == {}
            await session.chat.join(room)
            await when(session, lambda: room in session.model.rooms)
            await ada.set_role(room, "bob", "left")
            await when(session, lambda: room not in session.model.rooms)
            assert list(session.notices) == ["you are no member of #lobby any more"]
            await ada.invite(room, "bob")
            await when(session, lambda: room in session.model.rooms)


@virtual_time
async def test_what_was_missed_is_there_after_a_restart(tmp_path: Path) -> None:
    """Also more than a snapshot shows, as far as somebody looks."""
    async with a_town(tmp_path) as town:
        room = await lobby(town, "ada", "bob")
        await (await town.member("ada")).say(room, "1", "1")
        async with visiting(town, "bob") as session:
            view = session.model.rooms[room]
            session.show(room, low=1)
            await when(session, lambda: view.last == 1 and view.present)
            await town.stop()
            async with make_server(town.data).listen("memory://elsewhere"):
                async with framerpc.connect("memory://elsewhere", token=town.tokens["ada"]) as ada:
                    for number in range(2, 302):
                        await ada.stub(Chat).say(room, f"{number}", f"{number}")
            await town.start()
            await when(session, lambda: len(said(view)) == 301)
            assert said(view) == [f"{number}" for number in range(1, 302)]


@virtual_time
async def test_older_messages_come_when_somebody_looks_for_them(tmp_path: Path) -> None:
    """A room begins with its last messages."""
    async with a_town(tmp_path) as town:
        room, ada = await lobby(town, "ada"), await town.member("ada")
        for number in range(1, 81):
            await ada.say(room, f"{number}", f"{number}")
        async with visiting(town, "ada") as session:
            view = session.model.rooms[room]
            session.show(room)
            await when(session, lambda: view.known)
            assert len(said(view)) == 50
            session.show(room, low=11, high=60)
            await when(session, lambda: view.hole(11, 60) is None)
            assert len(said(view)) == 70


@virtual_time
async def test_the_connection_is_described_as_it_is(tmp_path: Path) -> None:
    """Connecting, online, offline since it was lost, and online again."""
    async with a_town(tmp_path) as town:
        await town.member("ada")
        async with Session(town.url, token=town.tokens["ada"]) as session:
            assert kind(session) == "connecting"
            await session.started()
            assert kind(session) == "online"
            await town.stop()
            await when(session, lambda: kind(session) == "offline")
            lost = session.link.since
            await asyncio.sleep(60)
            assert (kind(session), session.link.since) == ("offline", lost)
            await town.start()
            await when(session, lambda: kind(session) == "online")


@virtual_time
async def test_whoever_is_refused_hears_why(tmp_path: Path) -> None:
    """A wrong token is no lost connection."""
    async with a_town(tmp_path) as town:
        async with Session(town.url, token="wrong") as session:
            with pytest.raises(PermissionError, match="nobody has this token"):
                await session.started()
            assert session.link.kind == "refused"


# --------------------------------------------------------------------------------- saying


@virtual_time
async def test_what_is_said_is_pending_at_once_and_then_a_message(tmp_path: Path) -> None:
    """In the order in which it was said."""
    async with a_town(tmp_path) as town:
        room = await lobby(town, "ada")
        async with visiting(town, "ada") as session:
            view = session.model.rooms[room]
            for text in "abc":
                session.say(room, text)
            assert [each.text for each in session.model.pending_in(room)] == ["a", "b", "c"]
            await when(session, lambda: not session.unsent)
            assert said(view) == ["a", "b", "c"]


@virtual_time
async def test_what_is_said_while_the_server_is_away_is_said_once(tmp_path: Path) -> None:
    """After minutes, too."""
    async with a_town(tmp_path) as town:
        room = await lobby(town, "ada")
        async with visiting(town, "ada") as session:
            await when(session, lambda: session.model.rooms[room].known)
            await town.stop()
            for text in "abc":
                session.say(room, text)
            await asyncio.sleep(600)
            assert [(each.text, each.why) for each in session.unsent] == [
                ("a", ""),
                ("b", ""),
                ("c", ""),
            ]
            await town.start()
            await when(session, lambda: not session.unsent)
            assert said(session.model.rooms[room]) == ["a", "b", "c"]


@virtual_time
async def test_a_cut_connection_neither_loses_nor_doubles_what_is_said(tmp_path: Path) -> None:
    """It is sent again under the same key."""
    with Network() as network:
        async with a_town(tmp_path) as town:
            room = await lobby(town, "ada")
            async with visiting(town, "ada") as session:
                for number in range(40):
                    session.say(room, f"{number}")
                    if number % 4 == 0:
                        await when(session, lambda: len(session.unsent) <= 2)
                        network.cut()
                await when(session, lambda: not session.unsent)
                await when(session, lambda: session.model.rooms[room].last == 40)
                assert said(session.model.rooms[room]) == [f"{n}" for n in range(40)]


@virtual_time
async def test_a_laptop_that_slept_has_everything_once(tmp_path: Path) -> None:
    """Its link was silent for ten minutes, without an end: what was said here and there is told."""
    with Network() as network:
        async with a_town(tmp_path) as town:
            room, ada = await lobby(town, "ada", "bob"), await town.member("ada")
            town.url = town.other_url  # bob sits at the laptop
            async with visiting(town, "bob") as session:
                await when(session, lambda: session.model.rooms[room].known)
                network.link(town.other_url.removeprefix("memory://")).freeze()
                session.say(room, "good night")
                for number in range(100):
                    await ada.say(room, f"{number}", f"{number}")
                await asyncio.sleep(600)
                assert session.link.kind == "offline"
                network.heal()
                await when(session, lambda: not session.unsent)
                view = session.model.rooms[room]
                session.show(room, 1, 101)
                await when(session, lambda: len(said(view)) >= 101)
                texts = [f"{number}" for number in range(100)]
                assert sorted(said(view)) == sorted([*texts, "good night"])
                assert [text for text in said(view) if text != "good night"] == texts


@virtual_time
async def test_what_is_refused_says_why_and_holds_nothing_up(tmp_path: Path) -> None:
    """It stands there until it is sent again, or dropped."""
    async with a_town(tmp_path) as town:
        room = await lobby(town, "ada")
        async with visiting(town, "ada") as session:
            empty = session.say(room, " ")
            session.say(room, "words")
            await when(session, lambda: session.model.rooms[room].last == 1)
            assert session.unsent == [empty]
            assert "say something" in empty.why
            session.outbox.again(empty)
            await when(session, lambda: empty.why)
            session.outbox.drop(empty)
            assert session.unsent == []


@virtual_time
async def test_what_one_session_could_not_send_another_one_sends_once(tmp_path: Path) -> None:
    """Even if the server had taken it, and only the answer was lost."""
    async with a_town(tmp_path) as town:
        room, ada = await lobby(town, "ada"), await town.member("ada")
        async with visiting(town, "ada") as session:
            await when(session, lambda: session.model.rooms[room].known)
            await town.stop()
            first = session.say(room, "first")
            session.say(room, "second")
        await town.start()
        await ada.say(room, "first", first.key)
        async with Session(town.url, token=town.tokens["ada"], unsent=session.unsent) as later:
            await when(later, lambda: not later.unsent)
        assert texts(await ada.history(room)) == ["first", "second"]


@virtual_time
async def test_what_nobody_looks_at_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much is said, of what is on show nothing is missing, and the rest comes back."""
    monkeypatch.setattr(showing, "MOST", 60)
    async with a_town(tmp_path) as town:
        room, ada = await lobby(town, "ada", "bob"), await town.member("ada")
        async with visiting(town, "bob") as away, visiting(town, "bob") as here_:
            await when(here_, lambda: here_.model.rooms[room].known)
            here_.show(room, 5, 14)
            for number in range(1, 101):
                await ada.say(room, str(number), str(number))
            views = [session.model.rooms[room] for session in (away, here_)]
            await when(away, lambda: views[0].last == 100)
            await when(here_, lambda: views[1].last == 100)
            assert [len(view.messages) <= 60 for view in views] == [True, True]
            assert texts(views[1].between(5, 14)) == [str(number) for number in range(5, 15)]
            away.show(room, 1, 20)
            await when(away, lambda: len(views[0].between(1, 20)) == 20)


# ------------------------------------------------------------------------- reading, typing


@virtual_time
async def test_what_was_read_here_is_read_everywhere(tmp_path: Path) -> None:
    """The read mark belongs to the account."""
    async with a_town(tmp_path) as town:
        room, ada = await lobby(town, "ada", "bob"), await town.member("ada")
        await ada.say(room, "one", "a")
        async with visiting(town, "bob") as here_, visiting(town, "bob") as there:
            assert there.model.rooms[room].unread == 1
            here_.mark_read(room, 1)
            assert here_.model.rooms[room].unread == 0
            await when(there, lambda: there.model.rooms[room].unread == 0)


@virtual_time
async def test_who_shows_a_room_is_seen_there_and_seen_typing(tmp_path: Path) -> None:
    """Until they look away, and for some seconds."""
    async with a_town(tmp_path) as town:
        room = await lobby(town, "ada", "bob")
        async with visiting(town, "ada") as ada, visiting(town, "bob") as bob:
            view = ada.model.rooms[room]
            ada.show(room)
            bob.show(room)
            await when(ada, lambda: view.present == {"ada", "bob"})
            now = asyncio.get_running_loop().time
            bob.typing(room)
            await when(ada, lambda: view.typing(now()) == ["bob"])
            await asyncio.sleep(TYPING)
            assert view.typing(now()) == []
            bob.hide(room)
            await when(ada, lambda: view.present == {"ada"})


@virtual_time
async def test_typing_is_told_every_two_seconds_at_most(tmp_path: Path) -> None:
    """However fast somebody types."""
    async with a_town(tmp_path) as town:
        room, ada = await lobby(town, "ada", "bob"), await town.client("ada")
        heard: list[Typing] = []
        async with visiting(town, "bob") as bob:
            async with ada.subscribe(
                here(room), on_message=lambda message: heard.append(message.data)
            ):
                for _ in range(50):
                    bob.typing(room)
                    await asyncio.sleep(0.1)
        assert heard == [Typing("bob")] * 3


# ---------------------------------------------------------------------------------- files


@virtual_time
async def test_a_file_goes_up_and_down_with_progress(tmp_path: Path) -> None:
    """And arrives as it was, although the connection is lost on both ways."""
    content = bytes(range(256)) * 2048
    (tmp_path / "picture.png").write_bytes(content)
    with Network() as network:
        async with a_town(tmp_path / "data") as town:
            room = await lobby(town, "ada")
            async with visiting(town, "ada") as session:
                done: list[int] = []

                def told(size: int) -> None:
                    done.append(size)
                    if len(done) == 4:
                        network.cut()

                await session.send_file(room, tmp_path / "picture.png", "look", told)
                assert done[-1] == len(content)
                assert done.count(CHUNK) == 2, "an upload begins again"
                await when(session, lambda: session.model.rooms[room].last == 1)
                file = session.model.rooms[room].messages[1].file
                assert file is not None
                assert (file.name, file.type, file.size) == ("picture.png", "image/png", 2**19)
                done.clear()
                target = tmp_path / "copy.png"
                await download(session.client, file.id, target, told, file.sha256)
                assert target.read_bytes() == content
                assert done == [CHUNK * number for number in range(1, 9)]
                assert not (tmp_path / "copy.png.part").exists()


@virtual_time
async def test_a_call_of_ones_own_shows_up_by_the_watch(tmp_path: Path) -> None:
    """Reactions, too: nothing has to be told twice."""
    async with a_town(tmp_path) as town:
        room = await lobby(town, "ada")
        async with visiting(town, "ada") as session:
            session.say(room, "hello")
            await when(session, lambda: not session.unsent)
            await session.chat.react(room, 1, "👍")
            messages = session.model.rooms[room].messages
            await when(session, lambda: messages[1].reactions == {"👍": ["ada"]})


@virtual_time
async def test_what_is_raised_in_its_block_stays_what_it_is(tmp_path: Path) -> None:
    """No group around it."""
    async with a_town(tmp_path) as town:
        await town.member("ada")
        with pytest.raises(KeyError, match="mine"):
            async with visiting(town, "ada"):
                raise KeyError("mine")
