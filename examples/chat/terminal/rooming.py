"""What one may do with rooms and people, each with its dialog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from textual import work

from examples.chat.client.wording import plain
from examples.chat.terminal.base import Base
from examples.chat.terminal.dialogs import Choose, Field, Form
from examples.chat.terminal.search import Search

if TYPE_CHECKING:
    from examples.chat.api import Place, Role

__all__ = ["Rooming"]

_DEEDS: Final = (
    ("join", "Join a public room"),
    ("create", "Create a room"),
    ("direct", "Talk with somebody alone"),
    ("invite", "Invite somebody to this room"),
    ("describe", "Say what this room is for"),
    ("pardon", "Pardon somebody who was banned"),
    ("leave", "Leave this room"),
)

_ROLES: Final = (
    ("talk", "talk with them alone"),
    ("owner", "make them an owner"),
    ("moderator", "make them a moderator"),
    ("member", "make them a plain member"),
    ("left", "remove them from the room"),
    ("banned", "ban them from the room"),
)


class Rooming(Base):
    """Switching, joining, creating, inviting, moderating, searching."""

    def _enter(self, place: Place) -> None:
        """Show a room that was just joined: the list follows in a moment."""
        if self.model is not None:
            self.model.place(place)
        self.open_room(place.room.id)

    @work(exclusive=True, group="dialog")
    async def action_switch(self) -> None:
        """Choose a room by its name."""
        if self.model is None:
            return
        rooms = [
            (str(view.room.id), f"{plain(view.title(self.me))}{_news(view.unread)}")
            for view in self.model.listed
        ]
        answer = await self.push_screen_wait(Choose("Go to a room", rooms))
        if answer is not None:
            self.open_room(int(answer))

    def action_step(self, step: int) -> None:
        """Go to the next room, or to the one before."""
        if self.model is None or not self.model.rooms:
            return
        rooms = [view.room.id for view in self.model.listed]
        index = rooms.index(self.room) if self.room in rooms else -step
        self.open_room(rooms[(index + step) % len(rooms)])

    def action_number(self, number: int) -> None:
        """Go to a room by its number in the list."""
        listed = self.model.listed if self.model is not None else []
        if number <= len(listed):
            self.open_room(listed[number - 1].room.id)

    def action_unread(self) -> None:
        """Go to the next room with something unread."""
        if self.model is None:
            return
        listed = self.model.listed
        rooms = [view.room.id for view in listed]
        start = rooms.index(self.room) + 1 if self.room in rooms else 0
        for view in listed[start:] + listed[:start]:
            if view.unread and view.room.id != self.room:
                self.open_room(view.room.id)
                return
        self.notify("everything is read", timeout=2)

    @work(exclusive=True, group="dialog")
    async def action_search(self) -> None:
        """Search, and go to what was found."""
        if self.session is None:
            return
        found = await self.push_screen_wait(Search(self.session, self.room))
        if found is not None:
            self.open_room(*found)

    # ------------------------------------------------------------------------------ rooms

    @work(exclusive=True, group="dialog")
    async def action_rooms(self) -> None:
        """Choose what to do with rooms, and do it."""
        if self.session is None:
            return
        answer = await self.push_screen_wait(Choose("Rooms", _DEEDS))
        if answer in {"invite", "describe", "pardon", "leave"} and self.view is None:
            self.problem("there is no room on show")
        elif answer is not None:
            with self.reporting():
                await getattr(self, f"_{answer}")()

    async def _join(self) -> None:
        assert self.session is not None
        chat, known = self.session.chat, self.session.model.rooms
        rooms = [room for room in await chat.rooms() if room.id not in known]
        shown = [
            (str(room.id), plain(f"#{room.name}  {room.members} members  {room.about}"))
            for room in rooms
        ]
        answer = await self.push_screen_wait(Choose("Join a public room", shown))
        if answer is not None:
            self._enter(await chat.join(int(answer)))

    async def _create(self) -> None:
        async def submit(values: dict[str, str]) -> None:
            assert self.session is not None
            private = values["private"].casefold() in {"y", "yes"}
            name = values["name"].removeprefix("#")
            self._enter(await self.session.chat.create(name, values["about"], private=private))

        fields = (
            Field("name", "Its name"),
            Field("about", "What it is for"),
            Field("private", "Only for those who are invited?", "no", "yes or no"),
        )
        await self.push_screen_wait(Form("Create a room", fields, submit))

    async def _direct(self) -> None:
        async def submit(values: dict[str, str]) -> None:
            assert self.session is not None
            self._enter(await self.session.chat.direct(values["name"].removeprefix("@")))

        fields = (Field("name", "With whom?"),)
        await self.push_screen_wait(Form("Talk with somebody alone", fields, submit))

    async def _invite(self) -> None:
        async def submit(values: dict[str, str]) -> None:
            assert self.session is not None
            assert self.room is not None
            await self.session.chat.invite(self.room, values["name"].removeprefix("@"))

        fields = (Field("name", "Whom?"),)
        await self.push_screen_wait(Form("Invite somebody to this room", fields, submit))

    async def _describe(self) -> None:
        async def submit(values: dict[str, str]) -> None:
            assert self.session is not None
            assert self.room is not None
            await self.session.chat.describe(self.room, values["about"])

        about = self.view.room.about if self.view is not None else ""
        fields = (Field("about", "What is it for?", about),)
        await self.push_screen_wait(Form("Say what this room is for", fields, submit))

    async def _pardon(self) -> None:
        async def submit(values: dict[str, str]) -> None:
            assert self.session is not None
            assert self.room is not None
            await self.session.chat.set_role(self.room, values["name"], "left")

        fields = (Field("name", "Whom? They may join again."),)
        await self.push_screen_wait(Form("Pardon somebody", fields, submit))

    async def _leave(self) -> None:
        assert self.session is not None
        assert self.view is not None
        room, title = self.view.room.id, plain(self.view.title(self.me))
        if await self.sure(f"Leave {title}?"):
            self.do(self.session.chat.leave(room))

    async def sure(self, question: str) -> bool:
        """Ask before something that cannot be taken back."""
        answers = (("no", "No"), ("yes", "Yes"))
        return await self.push_screen_wait(Choose(question, answers)) == "yes"

    # ----------------------------------------------------------------------------- people

    @work(exclusive=True, group="dialog")
    async def action_people(self) -> None:
        """Choose somebody, and what to do with them."""
        if self.session is None or self.view is None:
            return
        room, present = self.view.room, self.view.present
        people = [
            (each.name, f"{'●' if each.name in present else '○'} {plain(each.name)}  {each.role}")
            for each in self.view.people
        ]
        name = await self.push_screen_wait(Choose("People in this room", people))
        if name is None or name == self.me:
            return
        deeds = _ROLES[:1] if room.kind == "direct" else _ROLES
        deed = await self.push_screen_wait(Choose(plain(name), deeds))
        if deed == "talk":
            with self.reporting():
                self._enter(await self.session.chat.direct(name))
        elif deed is not None:
            self.do(self.session.chat.set_role(room.id, name, cast("Role", deed)))


def _news(unread: int) -> str:
    return f"  {unread} unread" if unread else ""
