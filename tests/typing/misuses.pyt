"""Misuses that type checkers reject: each line that ends in `# error`, and no other."""

import framerpc
import framerpc.sync
from tests.typing.uses import Shop, SoldOut, add, server


async def asynchronous(client: framerpc.Client) -> None:
    """Use the client wrongly."""
    shop = client.stub(Shop)
    await shop.buy(1)  # error
    await shop.buy("tea", 2)  # error
    await shop.sell("tea")  # error
    a: str = await shop.buy("tea")  # error
    await client.call(Shop.buy, 1)  # error
    await client.call(Shop.buy, "tea", number=2)  # error
    b: str = await client.call(Shop.buy, "tea")  # error
    client.stream(Shop.buy, "tea")  # error
    client.stream(Shop.watch, 1)  # error
    client.with_options(timeout="1")  # error
    client.with_options(retries=1)  # error
    framerpc.connect("memory://x", timeout="1")  # error
    framerpc.connect(7000)  # error
    await add("1")  # error
    SoldOut(item="tea", left="none")  # error
    SoldOut(item="tea")  # error
    server.listen(7000)  # error
    framerpc.Limits(max_frame="1")  # error
    print(a, b)


def blocking(client: framerpc.sync.SyncClient) -> None:
    """Use the blocking client wrongly."""
    client.call(Shop.buy, 1)  # error
    c: str = client.call(Shop.price, "tea")  # error
    client.stream(Shop.price, "tea")  # error
    framerpc.sync.connect("memory://x", tokens="a")  # error
    print(c)


def bad_interceptor(context: framerpc.CallContext) -> None:
    """Have the wrong shape."""


framerpc.connect("memory://x", interceptors=[bad_interceptor])  # error
