"""The app: its windows, its keys, and what of the model stands where.

Whatever changes is drawn a moment later, together with what changes until then. Only a bounded
stretch of the room on show is drawn, and it counts as read when its end is on the screen.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import ClassVar, Final

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Footer, OptionList, TextArea

import framerpc
from examples.chat.api import Chat
from examples.chat.client import home
from examples.chat.client.session import Session
from examples.chat.client.wording import explain, plain
from examples.chat.terminal.composer import Composer
from examples.chat.terminal.dialogs import Field, Form, Read
from examples.chat.terminal.help import help_text
from examples.chat.terminal.look import Look
from examples.chat.terminal.messaging import Messaging
from examples.chat.terminal.panes import Header, People, Rooms, Status
from examples.chat.terminal.rows import Piece, Row, rows_of
from examples.chat.terminal.timeline import Timeline

__all__ = ["ChatApp"]

_FRAME: Final = 1 / 30
"""Seconds from a change to when it is drawn."""

_THEMES: Final = ("textual-dark", "tokyo-night", "nord", "textual-light", "catppuccin-latte")

_ALWAYS: Final = frozenset({"help", "leave_app", "theme", "focus_next", "focus_previous"})
"""What can be done while there is a dialog."""

_NEVER: Final = -1
"""No message was unread when the room was opened."""


class ChatApp(Messaging):
    """The chat.

    Args:
        url: Where the server is.
        token: Who we are; empty: ask for a name, and register it.

    Attributes:
        farewell: What to print when the screen is gone.
    """

    CSS_PATH = "chat.tcss"
    TITLE = "chat"
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 - textual declares its type
        (0, "-narrow"),
        (76, "-medium"),
        (104, "-wide"),
    ]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1", "help", "Help", priority=True),
        Binding("f2", "switch", "Go to", priority=True),
        Binding("f3", "search", "Search", priority=True),
        Binding("f4", "people", "People", priority=True),
        Binding("f5", "rooms", "Rooms", priority=True),
        Binding("f6", "send_file", "File", priority=True),
        Binding("f7", "edit", "Edit last", priority=True),
        Binding("f9", "theme", "Colours", priority=True),
        Binding("ctrl+n", "step(1)", "Next room", show=False, priority=True),
        Binding("ctrl+p", "step(-1)", "Room before", show=False, priority=True),
        Binding("ctrl+t", "unread", "Next unread", show=False, priority=True),
        *(Binding(f"alt+{n}", f"number({n})", show=False, priority=True) for n in range(1, 10)),
        Binding("pageup", "scroll_by(-1)", "Up", show=False, priority=True),
        Binding("pagedown", "scroll_by(1)", "Down", show=False, priority=True),
        Binding("escape", "step_back", "Back", show=False),
        Binding("ctrl+q", "leave_app", "Quit", priority=True),
    ]

    def __init__(self, url: str, token: str) -> None:
        super().__init__()
        self.farewell: list[str] = []
        self.progress = {}
        self._url = url
        self._token = token
        self._look = Look(1)
        self._divider = _NEVER
        self._drafts: dict[int, str] = {}
        self._going_to: int | None = None  # the message to choose as soon as it is here
        self._drawing = False

    def compose(self) -> ComposeResult:
        """Lay it out."""
        yield Header(id="header")
        with Horizontal(id="main"):
            yield Rooms(id="rooms")
            with Vertical(id="middle"):
                yield Timeline("timeline")
                yield Status(id="status")
                yield Composer(id="composer", highlight_cursor_line=False, placeholder="…")
            yield People(id="people")
        yield Footer()

    def on_mount(self) -> None:
        """Begin."""
        self.query_one(Composer).focus()
        self.set_interval(1, self._draw)  # times pass
        if self._token:
            self._follow()
        else:
            self._welcome()

    def on_resize(self) -> None:
        """Fit everything into the new size."""
        self.draw_soon()

    # ------------------------------------------------------------------------- the session

    @work
    async def _welcome(self) -> None:
        """Ask for a name, and register it."""
        token = home.new_token()  # the same at each attempt

        async def submit(values: dict[str, str]) -> None:
            async with framerpc.connect(self._url) as guest:
                account = await guest.stub(Chat).register(values["name"], token)
            home.keep(self._url, account.name, token)
            self._token = token

        fields = (Field("name", "How shall everybody call you?", hint="letters, digits, - and _"),)
        if await self.push_screen_wait(Form(f"Welcome to {self._url}", fields, submit)):
            self._follow()
        else:
            self.exit(0)

    @work(exclusive=True, group="session")
    async def _follow(self) -> None:
        """Keep the session, and draw what changes."""
        try:
            async with Session(self._url, token=self._token) as session:
                self.session = session
                async with contextlib.aclosing(session.changes()) as changes:
                    async for _ in changes:
                        self.draw_soon()
        except framerpc.ConfigurationError as error:  # an address that means nothing
            self.farewell.append(f"chat: {explain(error)}")
            self.exit(1)

    # ------------------------------------------------------------------------------ rooms

    def open_room(self, room: int, number: int | None = None) -> None:
        """Show a room: its end, or one of its messages."""
        if self.session is None or room not in self.session.model.rooms:
            return
        composer, view = self.query_one(Composer), self.session.model.rooms[room]
        if room != self.room:
            if self.editing is not None:
                self.stop_editing()
            if self.room is not None:
                self._drafts[self.room] = composer.text
                self.session.hide(self.room)
            composer.fill(self._drafts.pop(room, ""))
            self._divider = view.read if view.unread else _NEVER
            self.query_one(Timeline).chosen = None
        self.room, self._going_to = room, number
        self._look = Look.end(view.last) if number is None else Look.around(number, view.last)
        self.session.show(room, self._look.low, self._look.high)
        self._draw(end=number is None)
        if number is None:
            composer.focus()

    def _change_look(self, look: Look) -> None:
        if look != self._look and self.session is not None and self.room is not None:
            self._look = look
            self.session.show(self.room, look.low, look.high)
            self.draw_soon()

    @on(Timeline.Wanted)
    def _want(self, event: Timeline.Wanted) -> None:
        view = self.view
        if view is None or view.hole(*self._look.bounds(view.last)) is not None:
            return  # what was wanted before is still to come
        last = view.last
        self._change_look(self._look.older(last) if event.older else self._look.newer(last))

    @on(OptionList.OptionSelected, "#rooms")
    def _select_room(self, event: OptionList.OptionSelected) -> None:
        self.open_room(int(event.option.id or 0))

    # ---------------------------------------------------------------------------- drawing

    def draw_soon(self) -> None:
        """Draw what has changed, in a moment."""
        if not self._drawing:
            self._drawing = True
            self.set_timer(_FRAME, self._draw)

    def _draw(self, *, end: bool = False) -> None:
        self._drawing = False
        session = self.session
        if session is None or not self.is_running:
            return
        if self.room not in session.model.rooms and session.model.rooms:
            first = next((v for v in session.model.listed if v.unread), session.model.listed[0])
            self.open_room(first.room.id)
            return
        view, now = self.view, asyncio.get_running_loop().time()
        title = view.title(self.me) if view is not None else "chat"
        about = view.room.about if view is not None else ""
        online = session.link.kind in {"online", "slow"}
        screen = self.screen_stack[0]
        screen.query_one(Header).tell(title, about, session.link, now)
        hint = f"Say something in {plain(title)}" if view is not None else ""
        screen.query_one(Composer).placeholder = Content(hint)  # a text would be read as markup
        screen.query_one(Rooms).tell(session.model.listed, self.me, self.room)
        screen.query_one(People).tell(view, online=online)
        self._draw_room(end=end)
        typing = [name for name in view.typing(now) if name != self.me] if view else []
        news = view.unread if view is not None else 0
        screen.query_one(Status).tell(typing, news, list(self.progress.values()))
        while session.notices:
            self.notify(session.notices.popleft(), timeout=6, markup=False)

    def _draw_room(self, *, end: bool) -> None:
        session, view = self.session, self.view
        timeline = self.screen_stack[0].query_one(Timeline)
        if session is None or view is None:
            timeline.show(self._hints())
            return
        if timeline.at_end:
            self._look = self._look.grown(view.last)
        elif self._divider == _NEVER and view.unread:
            self._divider = view.read
        self._change_look(self._look)
        messages = view.between(*self._look.bounds(view.last))
        pending = session.model.pending_in(view.room.id) if self._look.high is None else []
        timeline.show(rows_of(messages, pending, self.me, self._divider), end=end)
        if self._going_to in view.messages:
            timeline.choose(self._going_to)
            timeline.focus()
            self._going_to = None
        self._read()

    def _hints(self) -> list[Row]:
        if self.model is None or self.model.account is None:
            return []
        lines = ("You are in no room yet.", "", "F5: join one, or create one", "F1: all keys")
        return [Row("hint", tuple((Piece(line, "dim"),) for line in ("", *lines)))]

    @on(Timeline.Reached)
    def _read(self) -> None:
        """Count what is on the screen as read, if somebody can see it."""
        view, timeline = self.view, self.screen_stack[0].query_one(Timeline)
        seen = timeline.at_end and self._look.high is None and len(self.screen_stack) == 1
        if self.session is None or view is None or not seen or not self.app_focus:
            return
        if view.hole(view.last, view.last) is None:
            self.session.mark_read(view.room.id, view.last)

    # ------------------------------------------------------------------------------- keys

    def check_action(
        self,
        action: str,
        parameters: tuple[object, ...],  # noqa: ARG002 - as textual has it
    ) -> bool | None:
        """Leave the keys to a dialog as long as there is one."""
        return action in _ALWAYS or len(self.screen_stack) == 1

    @on(Composer.Said)
    def _say(self, event: Composer.Said) -> None:
        text, composer = event.text.strip("\n"), self.query_one(Composer)
        if self.session is None or self.room is None or not text.strip():
            composer.fill(text.strip() + composer.text)
            return
        if self.editing is not None:
            self.do(self.session.chat.edit(*self.editing, text))
            self.stop_editing(composer.text)
            return
        self._divider = _NEVER
        self.session.say(self.room, text)
        if self.view is not None:
            self._look = Look.end(self.view.last) if self._look.high is not None else self._look
            self._change_look(self._look)
        self._draw(end=True)

    @on(TextArea.Changed)
    def _typed(self, event: TextArea.Changed) -> None:
        known = self.room is not None and self.session is not None
        if known and event.text_area.text and self.editing is None:
            assert self.session is not None
            assert self.room is not None
            self.session.typing(self.room)

    @on(Composer.Back)
    def _to_messages(self) -> None:
        timeline = self.query_one(Timeline)
        timeline.focus()
        timeline.action_choose(-1)

    def action_step_back(self) -> None:
        """Stop what is under way: editing, looking at one message, looking back."""
        timeline, composer = self.query_one(Timeline), self.query_one(Composer)
        if self.editing is not None:
            self.stop_editing()
        elif composer.has_focus and self.room is not None and not timeline.at_end:
            self.open_room(self.room)
        timeline.chosen = None
        composer.focus()

    def action_scroll_by(self, step: int) -> None:
        """Go up or down by a screen, wherever the cursor is."""
        self.query_one(Timeline).action_page(step)

    def action_help(self) -> None:
        """Show all keys."""
        if isinstance(self.screen, Read):
            self.pop_screen()
        elif len(self.screen_stack) == 1:
            self.push_screen(Read("Keys", help_text(self.theme_variables)))

    def action_theme(self) -> None:
        """Take the next theme."""
        index = _THEMES.index(self.theme) if self.theme in _THEMES else 0
        self.theme = _THEMES[(index + 1) % len(_THEMES)]
        self.call_after_refresh(self._draw)

    @work(exclusive=True, group="leaving")
    async def action_leave_app(self) -> None:
        """Leave; ask first if something was not sent yet."""
        left = len(self.session.unsent) if self.session is not None else 0
        what = "1 message was" if left == 1 else f"{left} messages were"
        if not left or await self.sure(f"{what} not sent yet, and will be lost. Quit?"):
            self.exit(0)
