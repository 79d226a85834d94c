"""Unguided mutation: seeds in, broken bytes out, the same for the same random source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

__all__ = ["mutate"]

# Where lengths and numbers change their form, and what msgpack reserves.
_NASTY: Final = [
    b"\x00",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xc1",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x00\x00\x00\x00",
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xdb\x7f\xff\xff\xff",
    b"\xcf" + b"\xff" * 8,
    b"\xd3\x80" + b"\x00" * 7,
    b"\xcb\x7f\xf8" + b"\x00" * 6,
    b"\x91" * 200,
    b"\xd9\x02\xed\xa0",
]


def mutate(seeds: list[bytes], chance: random.Random) -> bytes:
    """Return one seed, or two joined, with one to eight changes."""
    data = bytearray(chance.choice(seeds))
    if chance.random() < 0.3:
        data += chance.choice(seeds)
    for _ in range(chance.randint(1, 8)):
        chance.choice(_CHANGES)(data, chance)
    return bytes(data)


def _overwrite(data: bytearray, chance: random.Random) -> None:
    if data:
        data[chance.randrange(len(data))] = chance.randrange(256)


def _cut(data: bytearray, chance: random.Random) -> None:
    start = chance.randint(0, len(data))
    del data[start : start + chance.randint(1, 16)]


def _insert(data: bytearray, chance: random.Random) -> None:
    place = chance.randint(0, len(data))
    data[place:place] = chance.choice(_NASTY)


def _replace(data: bytearray, chance: random.Random) -> None:
    nasty = chance.choice(_NASTY)
    place = chance.randint(0, len(data))
    data[place : place + len(nasty)] = nasty


def _repeat(data: bytearray, chance: random.Random) -> None:
    start = chance.randint(0, len(data))
    piece = data[start : start + chance.randint(1, 64)]
    data[start:start] = piece * chance.randint(1, 8)


_CHANGES: Final[list[Callable[[bytearray, random.Random], None]]] = [
    _overwrite,
    _overwrite,
    _cut,
    _insert,
    _replace,
    _repeat,
]
