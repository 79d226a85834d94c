"""Uses that type checkers accept, and what they take the results for. Never run."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, assert_type

import framerpc
import framerpc.sync


@framerpc.error
@dataclass(eq=False)
class SoldOut(framerpc.CallError):
    """An error with data."""

    item: str
    left: int


@framerpc.service
class Shop:
    """Methods of each shape."""

    @framerpc.method
    async def buy(self, item: str, *, count: int = 1) -> int:
        """Wait."""
        raise SoldOut(item=item, left=count)

    @framerpc.method(idempotent=True)
    def price(self, item: str) -> float:
        """Block."""
        return float(len(item))

    @framerpc.method
    async def watch(self, item: str) -> AsyncIterator[int]:
        """Stream."""
        yield len(item)

    @framerpc.method
    def names(self, first: int) -> Iterator[str]:
        """Stream from a thread."""
        yield str(first)

    @framerpc.method
    def board(self) -> framerpc.Watch[dict[str, int], str]:
        """Follow a state."""
        return framerpc.Watch("board", lambda: {"tea": 1})


server = framerpc.Server(Shop())


@server.method
async def add(a: int, b: int = 1) -> int:
    """Stay what it is."""
    return a + b


@server.method(name="text/upper")
def upper(text: str) -> str:
    """Stay what it is."""
    return text.upper()


async def timed(
    context: framerpc.CallContext, body: framerpc.Body, proceed: framerpc.Handler
) -> framerpc.Body:
    """Go around a call."""
    assert_type(context.remaining(), float | None)
    return await proceed(context, body)


async def asynchronous() -> None:
    """Use the client."""
    interceptor: framerpc.Interceptor = timed
    async with framerpc.connect("memory://x", interceptors=[interceptor]) as client:
        shop = client.stub(Shop)
        assert_type(shop, Shop)
        assert_type(await shop.buy("tea", count=2), int)
        async for number in shop.watch("tea"):
            assert_type(number, int)
        assert_type(
            await anext(shop.board()), framerpc.Snapshot[dict[str, int]] | framerpc.Change[str]
        )
        assert_type(await client.call(Shop.buy, "tea", count=2), int)
        assert_type(await client.call(Shop.price, "tea"), float)
        assert_type(await client.call("Shop/buy", "tea"), Any)
        async with client.stream(Shop.watch, "tea") as numbers:
            assert_type(await anext(numbers), int)
        assert_type(client.stream(Shop.names, 1), framerpc.ResultStream[str])
        assert_type(client.stream(Shop.board), framerpc.WatchStream[dict[str, int], str])
        await client.notify(Shop.buy, "tea")
        assert_type(client.with_options(timeout=1.5, metadata={"a": "b"}), framerpc.Client)
        assert_type(await add(1), int)
        assert_type(upper("a"), str)
        try:
            await client.call(Shop.buy, "tea")
        except SoldOut as error:
            assert_type(error.left, int)
            assert_type(error.retry_after, float | None)
        except TimeoutError:
            pass


def blocking() -> None:
    """Use the blocking client."""
    with framerpc.sync.connect("memory://x") as client:
        assert_type(client, framerpc.sync.SyncClient)
        assert_type(client.call(Shop.buy, "tea", count=2), int)
        assert_type(client.call(Shop.price, "tea"), float)
        assert_type(client.stream(Shop.watch, "tea"), framerpc.sync.SyncResultStream[int])
        assert_type(list(client.stream(Shop.names, 1)), list[str])
        for update in client.stream(Shop.board):
            assert_type(update, framerpc.Snapshot[dict[str, int]] | framerpc.Change[str])
        client.notify(Shop.buy, "tea")
        assert_type(client.with_options(timeout=None), framerpc.sync.SyncClient)
