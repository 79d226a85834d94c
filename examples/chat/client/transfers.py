"""Files on their way to and from the server, with progress.

An upload that breaks off begins again: nothing is kept of half a file. A download goes on where
it was, and stands under its name only when it is complete.
"""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from examples.chat.api import CHUNK, Chat, File
from examples.chat.client.insisting import insist

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from framerpc import Client

    Progress: TypeAlias = Callable[[int], None]

__all__ = ["Damaged", "download", "silent", "upload"]


class Damaged(ValueError):
    """What arrived is not what was sent."""


def silent(_size: int) -> None:
    """Tell nobody how many bytes are done."""


async def upload(client: Client, room: int, path: Path, told: Progress = silent) -> File:
    """Upload a file for a message that is to come.

    Args:
        client: The client.
        room: Where it will be said.
        path: The file.
        told: Told how many bytes are on their way; less than before when it begins again.

    Raises:
        OSError: It cannot be read.
        FrameRPCError: It was refused.
    """
    kind = mimetypes.guess_type(path.name)[0] or ""
    chat = client.with_options(timeout=None).stub(Chat)  # as long as it takes

    async def once() -> File:
        with await asyncio.to_thread(path.open, "rb") as file:
            return await chat.upload(room, path.name, kind, _chunks(file, told))

    return await insist(once)


async def _chunks(file: BinaryIO, told: Progress) -> AsyncIterator[bytes]:
    size = 0
    while chunk := await asyncio.to_thread(file.read, CHUNK):
        yield chunk
        size += len(chunk)
        told(size)


async def download(
    client: Client, file: int, path: Path, told: Progress = silent, sha256: str = ""
) -> int:
    """Download a file; return its size in bytes. Cancelling it leaves nothing behind.

    Args:
        client: The client.
        file: Its id.
        path: Where to; what is there is replaced.
        told: Told how many bytes have come.
        sha256: Of its content, in hexadecimal digits; "" if unknown.

    Raises:
        OSError: It cannot be written.
        Damaged: Its content is not that of the sender.
        FrameRPCError: It was refused.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        with await asyncio.to_thread(part.open, "wb") as target:
            size, digest = await _receive(client, file, target, told)
        if sha256 and digest != sha256:
            raise Damaged(f"{path.name}: what came is not what was sent; download it again")
        await asyncio.to_thread(part.replace, path)
    finally:
        await asyncio.to_thread(partial(part.unlink, missing_ok=True))
    return size


async def _receive(client: Client, file: int, target: BinaryIO, told: Progress) -> tuple[int, str]:
    size, digest = 0, hashlib.sha256()
    async with client.stream(Chat.download, file) as chunks:
        async for chunk in chunks:
            await asyncio.to_thread(target.write, chunk)
            digest.update(chunk)
            size += len(chunk)
            told(size)
    return size, digest.hexdigest()
