"""What one may do with a message: edit, delete, react, send again, and its file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from textual import work

from examples.chat.client import transfers
from examples.chat.client.wording import plain, size
from examples.chat.terminal.composer import Composer
from examples.chat.terminal.dialogs import Choose, Field, Form
from examples.chat.terminal.rooming import Rooming
from examples.chat.terminal.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable

    from examples.chat.api import File, Message
    from examples.chat.client.model import Pending

__all__ = ["Messaging"]

_EMOJI: Final = (
    *(("👍", "👍 yes"), ("👎", "👎 no"), ("❤️", "❤️ love"), ("😂", "😂 laugh")),
    *(("🎉", "🎉 hooray"), ("😮", "😮 oh"), ("😢", "😢 sad"), ("👀", "👀 looking")),
    *(("✅", "✅ done"), ("🚀", "🚀 ship it")),
)

_BAR: Final = 12
"""Cells of a bar that shows how far a file is."""


class Messaging(Rooming):
    """Deeds on the chosen message, or on the last one that they fit.

    Attributes:
        editing: The room and the number of the message that is being changed.
        progress: How far each file is, in words.
    """

    editing: tuple[int, int] | None = None
    progress: dict[str, str]

    def _chosen(self) -> Message | None:
        key = self.query_one(Timeline).chosen
        return self.view.messages.get(key) if self.view and isinstance(key, int) else None

    def _chosen_pending(self) -> Pending | None:
        key = self.query_one(Timeline).chosen
        pending = self.model.pending if self.model is not None else []
        return next((each for each in pending if each.key == key), None)

    # ------------------------------------------------------------------------------ words

    def action_edit(self) -> None:
        """Change the chosen message, or the last one of our own."""
        view, message = self.view, self._chosen()
        if view is None:
            return
        if message is None:
            own = [each for each in view.messages.values() if each.who == self.me]
            message = max(own, key=lambda each: each.number, default=None)
        if message is None or message.deleted is not None:
            self.notify("there is nothing to edit", timeout=3)
        elif message.who != self.me:
            self.problem(f"{plain(message.who)} said this; only they can change it")
        else:
            self.editing = (message.room, message.number)
            composer = self.query_one(Composer)
            composer.border_title = "editing, Escape to stop"
            composer.fill(message.text)
            composer.focus()

    def stop_editing(self, text: str = "") -> None:
        """Go on with a text of one's own."""
        self.editing = None
        composer = self.query_one(Composer)
        composer.border_title = None
        composer.fill(text)

    @work(exclusive=True, group="dialog")
    async def action_delete(self) -> None:
        """Delete the chosen message."""
        message = self._chosen()
        if self.session is None or message is None:
            return
        if await self.sure(f"Delete what {plain(message.who)} said?"):
            self.do(self.session.chat.delete(message.room, message.number))

    @work(exclusive=True, group="dialog")
    async def action_react(self) -> None:
        """React to the chosen message, or take a reaction back."""
        message = self._chosen()
        if self.session is None or message is None:
            return
        dialog = Choose("React with", _EMOJI, free="filter, or another one")
        emoji = await self.push_screen_wait(dialog)
        if emoji is not None:
            on = self.me not in message.reactions.get(emoji, [])
            self.do(self.session.chat.react(message.room, message.number, emoji, on=on))

    def action_again(self) -> None:
        """Send something again that was refused."""
        pending = self._chosen_pending()
        if self.session is not None and pending is not None and pending.why:
            self.session.outbox.again(pending)

    def action_drop(self) -> None:
        """Forget something that was refused; it can be written anew."""
        pending = self._chosen_pending()
        if self.session is not None and pending is not None and pending.why:
            self.session.outbox.drop(pending)
            self.query_one(Composer).fill(pending.text)

    # ------------------------------------------------------------------------------ files

    @work(exclusive=True, group="dialog")
    async def action_send_file(self) -> None:
        """Send a file to the room on show."""
        room = self.room
        if self.session is None or room is None:
            return

        async def submit(values: dict[str, str]) -> None:
            path, whole = _source(values["path"])
            self.run_worker(self._send(room, path, values["text"], whole))

        fields = (
            Field("path", "Which file?", hint="~/picture.png"),
            Field("text", "To say with it"),
        )
        await self.push_screen_wait(Form("Send a file", fields, submit))

    async def _send(self, room: int, path: Path, text: str, whole: int) -> None:
        assert self.session is not None
        name = f"↑ {plain(path.name)}"
        try:
            with self.reporting(f"{plain(path.name)} was not sent"):
                await self.session.send_file(room, path, text, self._told(name, whole))
        finally:
            self.progress.pop(name, None)
            self.draw_soon()

    @work(exclusive=True, group="dialog")
    async def action_download(self) -> None:
        """Get the file of the chosen message."""
        message = self._chosen()
        if message is None or message.file is None:
            self.notify("choose a message with a file first", timeout=3)
            return
        file = message.file

        async def submit(values: dict[str, str]) -> None:
            self.run_worker(self._get(file, _target(values["path"], file.name)))

        fields = (Field("path", "Where to?", str(Path.cwd() / file.name)),)
        await self.push_screen_wait(Form(f"Get {plain(file.name)}", fields, submit))

    async def _get(self, file: File, path: Path) -> None:
        assert self.session is not None
        name = f"↓ {plain(file.name)}"
        client, told = self.session.client, self._told(name, file.size)
        try:
            with self.reporting(plain(file.name)):
                await transfers.download(client, file.id, path, told, file.sha256)
                done = f"{plain(str(path))} is here, {size(file.size)}"
                self.notify(done, timeout=5, markup=False)
        finally:
            self.progress.pop(name, None)
            self.draw_soon()

    def _told(self, name: str, whole: int) -> Callable[[int], None]:
        def tell(done: int) -> None:
            part = done / whole if whole else 1.0
            full = round(part * _BAR)
            bar = "━" * full + "╌" * (_BAR - full)
            self.progress[name] = f"{name} {bar} {part:.0%}"
            self.draw_soon()

        tell(0)
        return tell

    def draw_soon(self) -> None:
        """Draw what has changed, in a moment."""
        raise NotImplementedError


def _source(text: str) -> tuple[Path, int]:
    """Return a file to send, and its size.

    Raises:
        OSError: There is no such file.
        ValueError: It is none.
    """
    path = Path(text).expanduser()
    whole = path.stat().st_size
    if not path.is_file():
        raise ValueError(f"{path} is no file")
    return path, whole


def _target(text: str, name: str) -> Path:
    """Return where a file shall be, under its own name if that is a folder.

    Raises:
        FileExistsError: Something is there.
    """
    path = Path(text).expanduser()
    if path.is_dir():
        path /= name
    if path.exists():
        raise FileExistsError(f"{path} exists; choose another name")
    return path
