"""Types and services that several tests of contracts share."""

from __future__ import annotations

import enum
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, TypedDict

import attrs
import msgspec
import pydantic

from framerpc.contract.service import method, service


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclass
class Item:
    id: uuid.UUID
    price: Decimal
    colour: Colour = Colour.RED
    made: date | None = None
    tags: set[str] = field(default_factory=set)


class Order(msgspec.Struct):
    items: list[Item]
    at: datetime
    took: timedelta
    note: str | None = None
    point: tuple[int, int] = (0, 0)


class Node(msgspec.Struct):
    value: int
    next: Node | None = None


class Point(NamedTuple):
    x: int
    y: int = 0


class Options(TypedDict, total=False):
    depth: int
    name: str


@attrs.define
class Attributes:
    size: int
    names: list[str] = attrs.field(factory=list)


class Address(pydantic.BaseModel):
    street: str
    number: int = pydantic.Field(ge=1)


class Person(pydantic.BaseModel):
    id: uuid.UUID
    born: date
    photo: bytes = b""
    addresses: list[Address] = []


@dataclass
class Household:
    people: list[Person]
    pets: dict[str, Address | None] = field(default_factory=dict)


class Flaky:
    """Looks like a model, and fails the first time that it is encoded."""

    failed = False

    @classmethod
    def model_validate(cls, value: object) -> Flaky:
        raise NotImplementedError

    def model_dump(self, **_options: bool) -> dict[str, int]:
        if not self.failed:
            self.failed = True
            raise ValueError("only the first time")
        return {}


@service(name="numbers")
class Numbers:
    """Streams, in all directions."""

    @method
    async def count(self, upto: int) -> AsyncGenerator[int, None]:
        """One request, many results."""
        for n in range(upto):
            yield n

    @method
    async def total(self, numbers: AsyncIterator[int], scale: int = 1) -> int:
        return scale * sum([n async for n in numbers])

    @method
    async def squares(self, *, numbers: AsyncIterator[int]) -> AsyncGenerator[int, None]:
        async for n in numbers:
            yield n * n

    @method
    def blocking(self, lines: Iterator[str], prefix: str) -> Iterator[str]:
        for line in lines:
            yield prefix + line


@service
class Things:
    """All kinds of parameters."""

    @method
    async def greet(self, name: str, *, excited: bool = False) -> str:
        """Return a greeting for `name`."""
        return f"Hello, {name}{'!' if excited else '.'}"

    @method
    async def nothing(self) -> None:
        """Take nothing and give nothing."""

    @method
    async def mixed(self, a: int, /, b: str, c: float = 1.5, *, d: bool, e: int = 0) -> list[Any]:
        return [a, b, c, d, e]

    @method
    async def order(self, order: Order) -> Order:
        return order

    @method
    async def cheapest(self, items: list[Item], *, limit: Decimal | None = None) -> Item | None:
        return min(items, key=lambda item: item.price, default=None) if limit is None else None

    @method
    async def home(self, household: Household) -> list[Person]:
        return household.people

    @method
    async def anything(self, value):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        return value
