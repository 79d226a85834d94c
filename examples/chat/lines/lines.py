"""The chat for pipes and scripts: one function for each thing to do, a line for each message.

What is said is said once: each line has a key of its own, and is sent again under it until the
server has answered.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import secrets
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec

import framerpc
from examples.chat.api import Chat, NoSuchRoom
from examples.chat.client import home, transfers
from examples.chat.client.insisting import insist
from examples.chat.client.model import Model
from examples.chat.client.wording import body, clock, plain, size
from examples.chat.lines.tailing import follow, last_messages

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from examples.chat.api import Message
    from examples.chat.client.view import RoomView

__all__ = ["create", "fetch", "join", "register", "rooms", "say", "send", "tail"]

# ------------------------------------------------------------------------------------- accounts


async def register(client: framerpc.Client, options: argparse.Namespace) -> None:
    """Make an account, and keep its token."""
    token = home.new_token()
    account = await client.stub(Chat).register(options.name, token)
    home.keep(options.url, account.name, token)
    print(account.name)


# ---------------------------------------------------------------------------------------- rooms


async def _known(client: framerpc.Client) -> Model:
    """Return what the server knows of our rooms now."""
    model = Model()
    async with client.stream(Chat.mine) as updates:
        async for update in updates:
            if isinstance(update, framerpc.Snapshot):
                model.mine(update.value)
                return model
    raise framerpc.Unavailable("the server has said nothing about the rooms")


async def _room(client: framerpc.Client, name: str) -> RoomView:
    """Return the room that somebody means: one of ours, or a direct one, made if need be.

    Raises:
        LookupError: There is none.
    """
    model = await _known(client)
    found = model.find(name)
    if found is None and name.startswith("@"):
        model.place(await client.stub(Chat).direct(name[1:]))
        found = model.find(name)
    if found is None:
        raise LookupError(f"you are in no room {plain(name)}; join it, or create it")
    return found


async def rooms(client: framerpc.Client, options: argparse.Namespace) -> None:
    """List the rooms."""
    model = await _known(client)
    for view in model.listed:
        title = view.title(model.me)
        _print_room(title, view, options, role=view.role, unread=view.unread)
    if options.all:
        for room in await client.stub(Chat).rooms():
            if room.id not in model.rooms:
                _print_room(f"#{room.name}", room, options, role=None, unread=None)


def _print_room(title: str, room: Any, options: argparse.Namespace, **more: object) -> None:
    room = getattr(room, "room", room)
    if options.json:
        print(json.dumps({"title": title, **msgspec.to_builtins(room), **more}, ensure_ascii=False))
    else:
        note = "not joined" if more["role"] is None else f"{more['unread']} unread"
        about = f"\t{plain(' '.join(room.about.split()))}" if room.about else ""
        print(f"{plain(title)}\t{note}\t{room.members} members{about}")


async def create(client: framerpc.Client, options: argparse.Namespace) -> None:
    """Make a room."""
    name: str = options.room.removeprefix("#")
    place = await client.stub(Chat).create(name, options.about, private=options.private)
    print(f"#{plain(place.room.name)}")


async def join(client: framerpc.Client, options: argparse.Namespace) -> None:
    """Join a room."""
    wanted: str = options.room.removeprefix("#")
    for room in await client.stub(Chat).rooms():
        if room.name.casefold() == wanted.casefold():
            await client.stub(Chat).join(room.id)
            print(f"#{plain(room.name)}")
            return
    raise LookupError(f"there is no public room #{plain(wanted)}")


# ------------------------------------------------------------------------------------- messages


async def say(client: framerpc.Client, options: argparse.Namespace) -> None:
    """Say a text, or each line of the input."""
    room, chat = (await _room(client, options.room)).room.id, client.stub(Chat)
    key = options.key or secrets.token_hex(8)
    if options.text and options.text != ["-"]:
        await _insist(options, lambda: chat.say(room, " ".join(options.text), f"{key}-1"))
        return
    number = 0
    async for line in _input():
        number += 1
        if line.strip():
            try:
                await _insist(options, partial(chat.say, room, line, f"{key}-{number}"))
            except (framerpc.FrameRPCError, TimeoutError) as error:
                error.add_note(f"line {number}")
                sys.stderr.write(f"chat say: line {number} and what follows was not said\n")
                raise


async def _insist(options: argparse.Namespace, call: Callable[[], Any]) -> Any:
    try:
        async with asyncio.timeout(options.timeout):
            return await insist(call)
    except TimeoutError:
        raise TimeoutError(f"the server did not answer within {options.timeout:g} s") from None


async def _input() -> AsyncIterator[str]:
    """Yield the lines of the standard input.

    They are read by a thread that nobody waits for: what blocks there cannot be interrupted.

    Raises:
        ValueError: It is no text, or cannot be read.
    """
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str | Exception | None] = asyncio.Queue(100)

    def put(line: str | Exception | None) -> None:
        putting = lines.put(line)
        try:
            asyncio.run_coroutine_threadsafe(putting, loop).result()
        except (RuntimeError, asyncio.CancelledError):  # nobody listens any more
            putting.close()

    def read() -> None:
        try:
            for line in sys.stdin:
                put(line.rstrip("\r\n"))
        except (OSError, ValueError) as error:
            put(ValueError(f"the input is no text, or cannot be read: {error}"))
        else:
            put(None)

    threading.Thread(target=read, daemon=True, name="standard input").start()
    while (line := await lines.get()) is not None:
        if isinstance(line, Exception):
            raise line
        yield line


async def tail(client: framerpc.Client, options: argparse.Namespace) -> None:
    """Print the last messages of a room, and those that come."""
    view = await _room(client, options.room)
    room = view.room.id
    tell = _print_json if options.json else _print_message
    begun = await last_messages(client, room, options.last)
    for message in begun:
        tell(message)
    after = begun[-1].number if begun else view.last
    if options.follow:
        try:
            async with contextlib.aclosing(follow(client, room, after)) as messages:
                async for message in messages:
                    tell(message)
        except (NoSuchRoom, framerpc.PermissionDenied):
            raise LookupError(f"you are no member of {plain(options.room)} any more") from None


def _print_json(message: Message) -> None:
    print(msgspec.json.encode(message).decode(), flush=True)


def _print_message(message: Message) -> None:
    text = body(message).replace("\n", "\n    ")
    print(f"{clock(message.sent)} {plain(message.who)}: {text}", flush=True)


# ---------------------------------------------------------------------------------------- files


async def send(client: framerpc.Client, options: argparse.Namespace) -> None:
    """Upload a file and say it; print its id."""
    room, chat = (await _room(client, options.room)).room.id, client.stub(Chat)
    whole = options.file.stat().st_size
    with _Bar(options.file.name, whole) as bar:
        file = await transfers.upload(client, room, options.file, bar)
    key = f"{options.key or secrets.token_hex(8)}-1"
    await _insist(options, lambda: chat.say(room, options.text, key, file.id))
    print(file.id)


async def fetch(client: framerpc.Client, options: argparse.Namespace) -> None:
    """Download a file; print where it is."""
    path: Path = options.output or Path(f"chat-file-{options.id}")
    with _Bar(path.name, None) as bar:
        await transfers.download(client, options.id, path, bar)
    print(path)


class _Bar:
    """Progress on standard error, if a person sees it; use it with `with`, which ends its line."""

    def __init__(self, name: str, whole: int | None) -> None:
        self._name = plain(name)
        self._whole = whole
        self._begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_outcome: object) -> None:
        if self._begun:
            sys.stderr.write("\n")

    def __call__(self, done: int) -> None:
        if not sys.stderr.isatty():
            return
        of = f" of {size(self._whole)}, {100 * done // self._whole} %" if self._whole else ""
        self._begun = True
        sys.stderr.write(f"\r{self._name}: {size(done)}{of}\x1b[K")
        sys.stderr.flush()
