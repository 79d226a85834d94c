"""A member that is a program hears everything once, and says what went wrong in one line."""

from __future__ import annotations

import datetime as dt
import io
import json
import sys
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest

import framerpc.sync
from examples.chat import bot
from examples.chat.api import Chat, Message, Room, RoomState
from examples.chat.server.serving import make_server
from framerpc import Snapshot

NOW = dt.datetime(2024, 5, 6, 7, 8, tzinfo=dt.UTC)


def messages(first: int, last: int) -> list[Message]:
    return [
        Message(1, number, "ada", str(number), NOW, str(number), number)
        for number in range(first, last + 1)
    ]


class Scripted(Chat):
    """A room of 600 messages, of which a watch tells the first, and after a pause the last."""

    async def room(self, room: int, last: int = 50) -> AsyncGenerator[Any, None]:  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride]
        for number in (1, 600):
            state = Room(room, "public", "lobby", "", 1, number, number)
            yield Snapshot(RoomState(state, [], messages(number, number)))

    async def history(
        self, room: int, *, before: int | None = None, after: int = 0, limit: int = 50
    ) -> list[Message]:
        assert before is not None
        return messages(after + 1, before - 1)[-limit:]


async def test_what_was_missed_is_heard_however_much_it_is() -> None:
    """Also more than the server sends at once."""
    heard = [message.number async for message in bot._heard(Scripted(), 1)]
    assert heard == list(range(1, 601))


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A server."""
    with framerpc.sync.serve(make_server(tmp_path), "tcp://127.0.0.1:0") as serving:
        yield serving.url


def test_a_blank_line_is_not_said(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor does it end the member."""
    monkeypatch.setattr(sys, "argv", ["bot", url, "ada"])
    monkeypatch.setattr(sys, "stdin", io.StringIO("one\n\ntwo\n"))
    assert bot.main() == 0
    token = json.loads(capsys.readouterr().out.splitlines()[0])["text"]
    with framerpc.sync.connect(url, token=token) as client:
        assert [message.text for message in client.call(Chat.history, 1)] == ["one", "two"]


@pytest.mark.parametrize("more", [[], ["--blocking"]])
def test_a_name_that_is_taken_is_said(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    """In one line."""
    with framerpc.sync.connect(url) as guest:
        guest.call(Chat.register, "ada", "t" * 32)
    monkeypatch.setattr(sys, "argv", ["bot", url, "Ada", *more])
    assert bot.main() == 1
    assert capsys.readouterr().err == "Ada: the name Ada is taken\n"


@pytest.mark.parametrize("more", [[], ["--blocking"]])
def test_a_room_that_is_not_for_all_is_said(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    """In one line; the name of a private one is taken as well."""
    with framerpc.sync.connect(url) as guest:
        guest.call(Chat.register, "bob", "t" * 32)
    with framerpc.sync.connect(url, token="t" * 32) as client:
        client.call(Chat.create, "Secret", private=True)
    monkeypatch.setattr(sys, "argv", ["bot", url, "ada", "--room", "secret", *more])
    assert bot.main() == 1
    assert capsys.readouterr().err == "ada: there is no public room secret\n"
