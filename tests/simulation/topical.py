"""What clients do with topics: they publish, and they read; each writes down what it saw."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING

import framerpc
from tests.simulation.history import Publish, Sight

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from framerpc import Message, Position, Published, Subscription
    from tests.simulation.history import Call, History, Place, Reader
    from tests.simulation.scenario import CallPlan

__all__ = ["acknowledge", "publish", "publish_with_key", "read"]


async def publish(client: framerpc.Client, call: Call, plan: CallPlan) -> None:
    """Publish messages one after another, each with a receipt."""
    await _publish(client, call, plan, keyed=False)


async def publish_with_key(client: framerpc.Client, call: Call, plan: CallPlan) -> None:
    """The same with idempotency keys."""
    await _publish(client, call, plan, keyed=True)


async def _publish(client: framerpc.Client, call: Call, plan: CallPlan, *, keyed: bool) -> None:
    for n in range(plan.items):
        now = asyncio.get_running_loop().time()
        call.deadline = None if plan.timeout is None else now + plan.timeout
        one = Publish(id=(call.id, n), topic=plan.topic, keyed=keyed, began=now)
        call.publishes.append(one)
        key = f"{call.id}/{n}" if keyed else None
        await acknowledge(one, client.publish(plan.topic, (one.id, bytes(plan.size)), key=key))
    call.whole = True


async def acknowledge(one: Publish, sending: Coroutine[Any, Any, Published]) -> None:
    """Wait for the receipt of a message, and write it down."""
    try:
        receipt = await sending
    except framerpc.FrameRPCError as error:
        one.denied = error.executed == "no"
        raise
    one.acknowledged = asyncio.get_running_loop().time()
    one.place = None if receipt.position is None else _place(receipt.position)


async def read(
    client: framerpc.Client, reader: Reader, history: History
) -> dict[str, Place] | None:
    """Subscribe and read until it is time to leave; return how far it has come.

    Whatever ends it stands in the reader; only cancelling it raises.
    """
    loop = asyncio.get_running_loop()
    plan = reader.plan
    subscription = client.subscribe(
        plan.pattern, since=_since(reader.since), policy=plan.policy, max_queue=plan.max_queue,
        on_resume=lambda made: reader.resumes.append((loop.time(), made.recovered)),
    )  # fmt: skip
    reader.outcome = "over"
    try:
        async with subscription:
            reader.opened = loop.time()
            reader.recovered, reader.places = subscription.recovered, _places(subscription)
            await _follow(subscription, reader, history)
            reader.outcome = "left"
    except framerpc.FrameRPCError as error:
        reader.outcome, reader.error = "error", repr(error)
    except Exception as error:  # noqa: BLE001 - no such error is promised: the checker's business
        reader.outcome, reader.error = "untyped", repr(error)
    finally:
        reader.ended = loop.time()
    return None if reader.opened is None else _places(subscription)


async def _follow(subscription: Subscription[Any], reader: Reader, history: History) -> None:
    loop = asyncio.get_running_loop()
    plan = reader.plan
    leaves = inf if plan.leaves is None else loop.time() + plan.leaves
    while loop.time() < leaves:
        until = min(leaves, inf if plan.patience is None else loop.time() + plan.patience)
        try:
            async with asyncio.timeout_at(None if until == inf else until):
                message: Message[Any] = await anext(subscription)
        except TimeoutError:
            continue
        call, n = message.data[0]
        position = message.position
        sight = Sight(
            at=loop.time(), id=(call, n), topic=message.topic, gap=message.gap,
            place=None if position is None else _place(position),
        )  # fmt: skip
        reader.sights.append(sight)
        if plan.pause and not history.healed:
            await asyncio.sleep(plan.pause)


def _since(since: dict[str, Place] | str | int | None) -> Mapping[str, str] | str | int | None:
    if not isinstance(since, dict):
        return since
    return {topic: f"{epoch}:{offset}" for topic, (epoch, offset) in since.items()}


def _places(subscription: Subscription[Any]) -> dict[str, Place]:
    return {topic: _place(position) for topic, position in subscription.positions.items()}


def _place(position: Position) -> Place:
    return position.epoch, position.offset
