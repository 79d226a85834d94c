"""The chat in a terminal, by its keys and what stands on its screen."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import re
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
import tenacity
from textual.pilot import Pilot
from textual.widgets import Input

from examples.chat.api import Chat
from examples.chat.client import home
from examples.chat.terminal.app import ChatApp
from examples.chat.terminal.look import LONGEST
from examples.chat.terminal.timeline import Timeline
from tests.examples.chat.town import Town, a_town, texts, visiting, when


@pytest.fixture(autouse=True)
def prompt_dialling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dial again at once: how long a client is patient is not what is tried here, in real time."""
    dialling = importlib.import_module("framerpc.client.connect")  # its function hides the module
    monkeypatch.setattr(dialling, "DEFAULT_RECONNECT", tenacity.wait_fixed(0.02))


class Seat:
    """Somebody in front of the app.

    Args:
        app: The app.
        pilot: Their hands.
    """

    def __init__(self, app: ChatApp, pilot: Pilot[Any]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def screen(self) -> str:
        """What stands on the screen."""
        strips = self.app.screen._compositor.render_strips()
        return "\n".join(strip.text.rstrip() for strip in strips)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def type(self, text: str, *keys: str) -> None:
        await self.pilot.press(*text, *keys)

    async def until(self, true: Callable[[], object]) -> None:
        """Wait until something is true; the time limit of the test shows the screen."""
        try:
            async with asyncio.timeout(15):
                while not true():
                    await self.pilot.pause(0.03)
        except TimeoutError:
            raise AssertionError(f"never on the screen:\n{self.screen}") from None

    async def see(self, *words: str) -> None:
        await self.until(lambda: all(word in self.screen for word in words))

    async def miss(self, word: str) -> None:
        await self.until(lambda: word not in self.screen)


@contextlib.asynccontextmanager
async def seated(town: Town, name: str, size: tuple[int, int] = (120, 36)) -> AsyncGenerator[Seat]:
    """Somebody with the app open, and its rooms there."""
    app = ChatApp(town.url, town.tokens.get(name, ""))
    async with app.run_test(size=size, notifications=True) as pilot:
        seat = Seat(app, pilot)
        if name in town.tokens:
            await seat.see("● online")
        yield seat


@contextlib.asynccontextmanager
async def a_lobby(data: Path) -> AsyncGenerator[tuple[Town, int, Chat, Chat]]:
    """A room with ada, who owns it, and bob."""
    async with a_town(data) as town:
        ada, bob = await town.member("ada"), await town.member("bob")
        room = (await ada.create("lobby", "for all")).room.id
        await bob.join(room)
        yield town, room, ada, bob


async def fill(chat: Chat, room: int, count: int) -> None:
    for number in range(1, count + 1):
        await chat.say(room, f"line {number}.", f"{number}")


# ----------------------------------------------------------------------------- coming, talking


@pytest.mark.slow_ui
async def test_whoever_comes_first_gets_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is taken is said in the dialog; the token is kept; then a room is made."""
    monkeypatch.setenv("CHAT_HOME", str(tmp_path / "home"))
    async with a_town(tmp_path / "data") as town:
        await town.member("bob")
        async with seated(town, "ada") as seat:
            await seat.see("Welcome")
            await seat.type("bob", "enter")
            await seat.see("the name bob is taken")
            await seat.press("backspace", "backspace", "backspace")
            await seat.type("ada", "enter")
            await seat.see("You are in no room yet")
            assert home.choose(town.url, "ada")
            await seat.press("f5", "down", "enter")
            await seat.type("lobby", "enter", "enter", "enter")
            await seat.see("#lobby", "ada ★")


async def test_what_is_said_is_seen_by_all(tmp_path: Path) -> None:
    """With its line breaks, and nothing twice."""
    async with a_lobby(tmp_path) as (town, room, _ada, bob):
        await bob.say(room, "hello", "1")
        async with seated(town, "ada") as seat:
            await seat.see("bob  ", "  hello", "for all")
            await seat.type("one", "ctrl+j", "t", "w", "o", "enter")
            await seat.until(lambda: not seat.app.session or not seat.app.session.unsent)
            await seat.see("   one\n", "   two\n")
            assert seat.screen.count("hello") == 1
            assert texts(await bob.history(room)) == ["hello", "one\ntwo"]
            await bob.say(room, "\x1b[31mred\u202e", "2")
            await seat.see("\ufffd[31mred\ufffd")


async def test_no_name_is_read_as_markup(tmp_path: Path) -> None:
    """Names of rooms and files stand there as they are, also what looks like a tag."""
    async with a_town(tmp_path) as town:
        ada = await town.member("ada")
        room = (await ada.create("[/x] [bold]", "[/]")).room.id

        async def nothing() -> AsyncGenerator[bytes]:
            yield b""

        file = await ada.upload(room, "[red]y", "", nothing())
        async with seated(town, "ada") as seat:
            await seat.see("Say something in #[/x] [bold]", "#[/x] [bold]  [/]")
            await ada.say(room, "[/z]", "k", file.id)
            await seat.see("[/z]", "[red]y")
            await seat.press("up", "o")
            await seat.see("Get [red]y")
            await seat.press("escape", "f5", *"leave", "enter")
            await seat.see("Leave #[/x] [bold]?")


async def test_unread_rooms_show_how_much_and_can_be_gone_to(tmp_path: Path) -> None:
    """By the next unread, by number, by name; what is on the screen is read."""
    async with a_lobby(tmp_path) as (town, room, ada, bob):
        other = (await bob.create("ops")).room.id
        await ada.join(other)
        await bob.say(room, "hello", "0")
        await bob.say(other, "before", "a")
        await ada.read(other, 1)
        async with seated(town, "ada") as seat:
            await seat.see("1 #lobby", "2 #ops", "hello")
            await fill(bob, other, 3)
            await seat.until(lambda: re.search(r"2 #ops +3 ", seat.screen))
            await seat.press("ctrl+t")
            await seat.see("before", "─ new ─", "line 3.")
            await seat.until(lambda: not re.search(r"2 #ops +3 ", seat.screen))
            model = seat.app.model
            assert model is not None
            await seat.until(lambda: model.rooms[other].unread == 0)
            await seat.press("alt+1")
            await seat.see("hello")
            await seat.press("f2")
            await seat.type("ops", "enter")
            await seat.see("line 3.")
            await seat.press("ctrl+p")
            await seat.see("hello")


@pytest.mark.slow_ui
async def test_a_draft_stays_in_its_room(tmp_path: Path) -> None:
    """It is there when one comes back."""
    async with a_lobby(tmp_path) as (town, _room, ada, _bob):
        await ada.create("ops")
        async with seated(town, "ada") as seat:
            await seat.see("Say something in #lobby")
            await seat.type("half a sen")
            await seat.press("ctrl+n")
            await seat.see("Say something in #ops")
            await seat.press("ctrl+n")
            await seat.see("half a sen")


async def test_who_is_here_and_who_types_is_shown(tmp_path: Path) -> None:
    """With a dot, and a line above the input."""
    async with a_lobby(tmp_path) as (town, room, _ada, _bob):
        async with seated(town, "ada") as seat:
            await seat.see("● ada ★", "○ bob")
            async with visiting(town, "bob") as session:
                session.show(room)
                await seat.see("● bob")
                session.typing(room)
                await seat.see("bob types …")
            await seat.see("○ bob")


# ------------------------------------------------------------------------------ single messages


@pytest.mark.slow_ui
async def test_a_message_is_edited_reacted_to_and_deleted_by_keys(tmp_path: Path) -> None:
    """The last one, or a chosen one."""
    async with a_lobby(tmp_path) as (town, room, ada, bob):
        await ada.say(room, "helo", "1")
        await bob.say(room, "what?", "2")
        async with seated(town, "ada") as seat:
            await seat.see("helo", "what?")
            await seat.press("f7", "backspace")
            await seat.type("lo", "enter")
            await seat.see("hello  edited")
            await seat.press("up", "r", "enter")
            await seat.see("👍 1")
            await seat.press("r", "enter")
            await seat.miss("👍")
            await seat.press("d", "down", "enter")
            await seat.see("deleted by ada")
            await seat.press("up", "e")
            await seat.see("editing, Escape to stop")
            await seat.press("escape")
            await seat.miss("editing, Escape to stop")


@pytest.mark.slow_ui
async def test_only_their_author_edits_a_message(tmp_path: Path) -> None:
    """The app says so at once."""
    async with a_lobby(tmp_path) as (town, room, _ada, bob):
        await bob.say(room, "mine", "1")
        async with seated(town, "ada") as seat:
            await seat.see("mine")
            await seat.press("up", "e")
            await seat.see("bob said this;")


@pytest.mark.slow_ui
async def test_search_leads_to_an_old_message(tmp_path: Path) -> None:
    """Far above what is shown; and back to the end."""
    async with a_lobby(tmp_path) as (town, room, _ada, bob):
        await bob.say(room, "a needle", "0")
        await fill(bob, room, 450)
        async with seated(town, "ada") as seat:
            await seat.see("line 450.")
            await seat.press("f3")
            await seat.type("need", "enter")
            await seat.see("bob: a needle")
            await seat.press("enter")
            await seat.see("a needle", "line 3.")
            assert "line 450." not in seat.screen
            await seat.press("escape", "escape")
            await seat.see("line 450.")


# ------------------------------------------------------------------------------------ history


@pytest.mark.slow_ui
async def test_a_long_history_is_read_backwards_a_bounded_stretch_at_a_time(
    tmp_path: Path,
) -> None:
    """What is on top stays where it is while more comes."""
    async with a_lobby(tmp_path) as (town, room, _ada, bob):
        await fill(bob, room, 430)
        async with seated(town, "ada") as seat:
            await seat.see("line 430.")
            timeline = seat.app.query_one(Timeline)
            for _ in range(60):
                await seat.press("pageup")
                await seat.until(lambda: not _hole(seat.app))
                assert len(timeline._rows) <= LONGEST + 5
                if "line 1." in seat.screen:
                    break
            await seat.see("line 1.", "line 2.")
            await bob.say(room, "news", "news")
            await seat.see("new below")
            await seat.press("escape")
            await seat.see("news")


def _hole(app: ChatApp) -> object:
    view = app.view
    return view is None or view.hole(*app._look.bounds(view.last))


async def test_of_ten_thousand_messages_a_bounded_part_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change costs as many rows as are on show, however long the room is."""
    async with a_lobby(tmp_path) as (town, room, _ada, bob):
        await fill(bob, room, 1)
        async with seated(town, "ada") as seat:
            await seat.see("line 1.")
            view = seat.app.view
            assert view is not None
            (message,) = view.messages.values()
            for number in range(2, 10_001):
                view.event(_copy(message, number))
            seat.app.open_room(room)
            await seat.see("line 10000.")
            asked: list[int] = []
            between = view.between

            def counted(low: int, high: int) -> Any:
                asked.append(high - low)
                return between(low, high)

            monkeypatch.setattr(view, "between", counted)
            seat.app._draw()
            assert 0 < max(asked) <= LONGEST
            assert len(seat.app.query_one(Timeline)._rows) <= LONGEST + 5


def _copy(message: Any, number: int) -> Any:
    values = {name: getattr(message, name) for name in message.__struct_fields__}
    return type(message)(**values | {"number": number, "text": f"line {number}."})


# -------------------------------------------------------------------------------- rooms, people


@pytest.mark.slow_ui
async def test_people_are_invited_promoted_and_removed(tmp_path: Path) -> None:
    """By the dialogs of rooms and people."""
    async with a_lobby(tmp_path) as (town, _room, _ada, _bob):
        await town.member("eve")
        async with visiting(town, "eve") as eve, seated(town, "ada") as seat:
            await seat.see("#lobby")
            await seat.press("f5")
            await seat.type("invite", "enter")
            await seat.type("eve", "enter")
            await when(eve, lambda: eve.model.rooms)
            await seat.see("○ eve")
            await seat.press("f4")
            await seat.type("eve", "enter")
            await seat.type("moderator", "enter")
            await seat.see("○ eve ☆")
            await seat.press("f4")
            await seat.type("eve", "enter")
            await seat.type("ban", "enter")
            await when(eve, lambda: not eve.model.rooms)
            await seat.miss("eve ☆")


@pytest.mark.slow_ui
async def test_a_room_is_left_and_joined_again(tmp_path: Path) -> None:
    """After a question; and somebody is spoken to alone."""
    async with a_lobby(tmp_path) as (town, _room, _ada, _bob):
        async with seated(town, "bob") as seat:
            await seat.see("#lobby")
            await seat.press("f5")
            await seat.type("leave", "enter")
            await seat.see("Leave #lobby?")
            await seat.press("down", "enter")
            await seat.see("You are in no room yet")
            await seat.press("f5", "enter")
            await seat.see("#lobby  1 members")
            await seat.press("enter")
            await seat.see("Say something in #lobby")
            await seat.press("f4")
            await seat.type("ada", "enter")
            await seat.see("talk with them alone")
            await seat.press("enter")
            await seat.see("Say something in @ada")


# -------------------------------------------------------------------------------------- files


@pytest.mark.slow_ui
async def test_a_file_is_sent_and_fetched(tmp_path: Path) -> None:
    """With its progress on the way."""
    content = bytes(range(256)) * 4096
    (tmp_path / "picture.png").write_bytes(content)
    async with a_lobby(tmp_path / "data") as (town, _room, _ada, _bob):
        async with seated(town, "ada") as seat:
            await seat.see("#lobby")
            told: list[str] = []
            draw = seat.app.draw_soon

            def noted() -> None:
                told.extend(seat.app.progress.values())
                draw()

            seat.app.draw_soon = noted  # type: ignore[method-assign] # to see each of them
            await seat.press("f6")
            await seat.see("Which file?")
            seat.app.screen.query_one(Input).value = str(tmp_path / "nothing")
            await seat.press("enter", "enter")
            await seat.see("No such file")
            seat.app.screen.query_one(Input).value = str(tmp_path / "picture.png")
            await seat.press("enter")
            await seat.see("picture.png  1.05 MB")
            assert any("━━━━━━╌╌╌╌╌╌ 50%" in each for each in told)
            await seat.press("escape", "up", "o")
            await seat.see("Where to?")
            seat.app.screen.query_one(Input).value = str(tmp_path / "copy.png")
            await seat.press("enter")
            await seat.until((tmp_path / "copy.png").exists)
            assert (tmp_path / "copy.png").read_bytes() == content
            await seat.until(lambda: not seat.app.progress)


# --------------------------------------------------------------------------------- trouble


async def test_a_server_that_goes_and_comes_back_costs_nothing(tmp_path: Path) -> None:
    """What is said meanwhile is marked, sent once, and what others said is there."""
    async with a_lobby(tmp_path) as (town, room, ada, bob):
        async with seated(town, "ada") as seat:
            await seat.see("#lobby")
            await seat.type("before", "enter")
            await seat.see("before\n")
            await town.stop()
            await seat.see("○ reconnecting for")
            await seat.type("first", "enter")
            await seat.type("second", "enter")
            await seat.see("first  ◌ not confirmed yet", "second  ◌ not confirmed yet")
            await town.start()
            await bob.say(room, "from bob", "1")
            await seat.see("● online", "from bob")
            await seat.miss("not confirmed yet")
            said = texts(await ada.history(room))
            assert sorted(said) == ["before", "first", "from bob", "second"]
            assert said.index("first") < said.index("second")
            assert [seat.screen.count(f"  {text}\n") for text in said] == [1] * 4


async def test_a_refused_token_is_said_in_the_header(tmp_path: Path) -> None:
    """With the reason; nothing is dialled again."""
    async with a_town(tmp_path) as town:
        async with ChatApp(town.url, "wrong").run_test(size=(100, 30)) as pilot:
            seat = Seat(pilot.app, pilot)  # type: ignore[arg-type] # it is this app
            await seat.see("✗ refused: nobody has this token")


@pytest.mark.slow_ui
async def test_what_is_refused_is_marked_and_can_be_dropped(tmp_path: Path) -> None:
    """It comes back to where one writes."""
    async with a_lobby(tmp_path) as (town, _room, _ada, _bob):
        async with seated(town, "ada") as seat:
            await seat.see("#lobby")
            seat.app.query_one("#composer").fill("x" * 4001)  # type: ignore[attr-defined] # the composer
            await seat.press("enter")
            await seat.see("✗ not sent: ")
            await seat.press("up", "x")
            await seat.miss("✗ not sent: ")
            assert seat.app.query_one("#composer").text == "x" * 4001  # type: ignore[attr-defined] # the same


@pytest.mark.slow_ui
async def test_leaving_with_something_unsent_asks_first(tmp_path: Path) -> None:
    """It would be lost."""
    async with a_lobby(tmp_path) as (town, _room, _ada, _bob):
        async with seated(town, "ada") as seat:
            await seat.see("#lobby")
            await town.stop()
            await seat.see("○ reconnecting for")
            await seat.type("late", "enter")
            await seat.press("ctrl+q")
            await seat.see("1 message was not sent yet, and will be lost. Quit?")
            await seat.press("enter")
            await seat.miss("Quit?")
            await town.start()


# ----------------------------------------------------------------------------------- the screen


@pytest.mark.slow_ui
async def test_it_fits_a_small_terminal(tmp_path: Path) -> None:
    """The panes at the sides go first; the end of the room stays on the screen."""
    async with a_lobby(tmp_path) as (town, room, _ada, bob):
        await fill(bob, room, 50)
        async with seated(town, "ada") as seat:
            await seat.see("1 #lobby", "○ bob", "line 50.")
            await seat.pilot.resize_terminal(60, 20)
            await seat.miss("1 #lobby")
            await seat.see("line 50.", "● online", "#lobby  for all")
            assert "○ bob" not in seat.screen
            for key, word in (("f1", "Keys"), ("f2", "Go to a room"), ("f5", "Rooms")):
                await seat.press(key)
                await seat.see(word, "Escape: c")
                await seat.press("escape")
            await seat.pilot.resize_terminal(160, 50)
            await seat.see("1 #lobby", "○ bob", "line 50.")


@pytest.mark.slow_ui
async def test_colours_can_be_changed(tmp_path: Path) -> None:
    """Dark and light."""
    async with a_lobby(tmp_path) as (town, _room, _ada, _bob):
        async with seated(town, "ada") as seat:
            await seat.see("#lobby")
            seen: set[bool] = set()
            for _ in range(5):
                seen.add(seat.app.current_theme.dark)
                await seat.press("f9")
                await seat.see("#lobby", "● online")
            assert seen == {True, False}
