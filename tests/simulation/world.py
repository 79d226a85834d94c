"""The run: servers, clients and a network in one virtual loop, carrying out a plan.

It judges nothing and repeats itself: all chance in it comes from the plan's seed, so the same
plan makes the same history, in every process.
"""

from __future__ import annotations

import asyncio
import gc
import random
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from tenacity import RetryCallState
from tenacity.wait import wait_base

import framerpc
from framerpc import HedgePolicy, Keepalive, Limits, RetryPolicy
from framerpc.pubsub.topics import matches
from framerpc.testing import Network, run
from tests.simulation.deeds import DEEDS
from tests.simulation.faults import LONGEST_DELAY, Saboteur
from tests.simulation.history import Call, Event, History, Publish, Reader
from tests.simulation.host import Host
from tests.simulation.leftovers import counted_left, network_left, objects, tasks_left, timers_left
from tests.simulation.scenario import TOPICS
from tests.simulation.topical import acknowledge, read

if TYPE_CHECKING:
    from framerpc.call import Body, CallContext, Handler
    from tests.simulation.history import Place
    from tests.simulation.scenario import CallPlan, ClientPlan, ReadPlan, Scenario

__all__ = ["carry_out"]

_PATIENCE: Final = 60.0
"""Seconds after the last fault that calls without an end are waited for."""

_LATEST_READER: Final = 20.0
"""Seconds after the last fault that readers are waited for: more than they are promised."""

_SETTLING: Final = 10.0
"""Seconds after the end for timers that end by themselves: the longest is that of a farewell."""

_current: ContextVar[Call] = ContextVar("simulated_call")


def carry_out(scenario: Scenario) -> History:
    """Carry out a plan on a virtual clock of its own, and return what happened.

    Raises:
        Deadlock: Everybody waits for ever.
        Unhandled: Something reached the loop's exception handler.
    """
    history = History(scenario=scenario)
    before = objects()
    gc.disable()  # what a destructor does would come at a time of its own choice
    chance = random.getstate()
    random.seed(scenario.seed)  # for what draws from the module itself
    try:
        run(_World(scenario, history).run())
    finally:
        random.setstate(chance)
        gc.enable()
    gc.collect()
    more = objects() - before
    history.left += [f"{count} more of {name}" for name, count in sorted(more.items())]
    return history


class _World:
    """Everything in one run; `Victims` of its saboteur."""

    def __init__(self, scenario: Scenario, history: History) -> None:
        self._scenario = scenario
        self._history = history
        self._network = Network(scenario.seed)
        self._hosts = [Host(number, scenario, history) for number in range(scenario.servers)]
        self._names = [host.name for host in self._hosts]
        self._clients: list[framerpc.Client] = []
        self._left: set[int] = set()
        self._reading: dict[int, Reader] = {}  # by the number of the plan: who reads now

    async def run(self) -> None:
        """Carry everything out, and see what is left."""
        loop = asyncio.get_running_loop()
        history = self._history
        with self._network:
            for host in self._hosts:
                await host.start()
            self._clients = [
                await self._connect(number, plan)
                for number, plan in enumerate(self._scenario.clients)
            ]
            readings = [
                asyncio.create_task(self._read(number, plan))
                for number, plan in enumerate(self._scenario.readers)
            ]
            calls = [asyncio.create_task(self._call(plan)) for plan in self._scenario.calls]
            await Saboteur(self._network, self, self._names, history).carry_out(
                self._scenario.faults
            )
            await self._see_service_return()
            await self._see_readers_served()
            await asyncio.wait(calls, timeout=_PATIENCE)
            await self._see_readers_served()  # and nothing is missing behind the last call
            for reading in readings:
                reading.cancel()
            await asyncio.gather(*readings, return_exceptions=True)
            await asyncio.sleep(LONGEST_DELAY)  # until the servers have said that they stopped
            history.left += [f"{call} still waits" for call in history.calls if call.ended is None]
            history.left += counted_left(self._clients)
            history.closing = loop.time()
            for client in self._clients:
                await client.close()
            for host in self._hosts:
                task = host.drain(grace=1.0)
                assert task is not None
                await task
            history.ended = loop.time()
            for call in calls:  # those that never ended, which the checker is told
                call.cancel()
            await asyncio.wait(calls)
            history.left += tasks_left()
            await asyncio.sleep(_SETTLING)
            history.left += timers_left(loop) + network_left(self._network, self._names)

    # ------------------------------------------------------------------- clients

    async def _connect(self, number: int, plan: ClientPlan) -> framerpc.Client:
        chance = random.Random(f"client {number} {self._scenario.seed}")
        client = framerpc.connect(
            *(f"memory://s{server}?weight={server + 1}" for server in plan.servers),
            limits=Limits(
                stream_window=self._scenario.window, handshake_timeout=self._scenario.handshake
            ),
            keepalive=Keepalive(interval=self._scenario.interval, timeout=self._scenario.patience),
            reconnect=_FullJitter(chance, 0.1, plan.cap),
            interceptors=[_pass_on] if plan.intercepted else [],
            on_retry=self._retried,
            on_state=lambda state: self._tells(number, state.value),
            retry=RetryPolicy(
                stop=lambda state: state.attempt_number >= plan.attempts,
                wait=_FullJitter(chance, 0.05, 1.0),
                share=plan.share,
                floor=plan.floor,
            ),
            hedge=None
            if plan.hedge is None
            else HedgePolicy(delay=plan.hedge, share=plan.hedge_share),
            balance=plan.balance,
        )
        self._history.states[number] = [(asyncio.get_running_loop().time(), client.state.value)]
        await client.__aenter__()
        pool = client._core.pool
        assert pool is not None
        pool._balancer._chance = chance  # so that the run can be repeated
        return client

    def _retried(self, details: framerpc.RetryDetails) -> None:
        call = _current.get(None)
        if call is not None:  # not one of ours, at the end
            call.retries += 1
        what = details.method if call is None else call
        self._note(f"{what} will be sent again in {details.wait:.3f} s after {details.error}")

    def _tells(self, number: int, state: str) -> None:
        self._history.states[number].append((asyncio.get_running_loop().time(), state))
        self._note(f"client {number} is {state}")

    def _note(self, text: str) -> None:
        self._history.events.append(Event(at=asyncio.get_running_loop().time(), text=text))

    async def _call(self, plan: CallPlan) -> None:
        """Make one call, and write down how it ended."""
        await asyncio.sleep(plan.at)
        loop = asyncio.get_running_loop()
        now = loop.time()
        call = Call(
            id=len(self._history.calls),
            plan=plan,
            idempotent=DEEDS[plan.deed].idempotent,
            began=now,
            deadline=None if plan.timeout is None else now + plan.timeout,
        )
        self._history.calls.append(call)
        _current.set(call)
        client = self._clients[plan.client]
        client = client.with_options(timeout=plan.timeout, routing_key=plan.key)
        task = asyncio.create_task(DEEDS[plan.deed].run(client, call, plan))
        if plan.cancel is not None:
            loop.call_later(plan.cancel, _give_up, call, task)
        try:
            await task
        except asyncio.CancelledError:
            call.outcome = "cancelled"
        except framerpc.FrameRPCError as error:
            call.outcome, call.executed = "error", error.executed
            call.error = f"{type(error).__name__}: {error}"
        except Exception as error:  # noqa: BLE001 - no such error is promised: the checker's business
            call.outcome, call.error = "untyped", repr(error)
        else:
            call.outcome = "ok" if call.whole else "left"
        finally:
            call.ended = loop.time()

    async def _read(self, number: int, plan: ReadPlan) -> None:
        """Subscribe, and write down what is seen; again, if that failed or it is to return."""
        await asyncio.sleep(plan.at)
        loop = asyncio.get_running_loop()
        since: dict[str, Place] | str | int | None = plan.since
        while plan.client not in self._left:
            reader = Reader(
                id=len(self._history.readers), plan=plan, since=since, began=loop.time()
            )
            self._history.readers.append(reader)
            self._reading[number] = reader
            client = self._clients[plan.client].with_options(timeout=plan.timeout)
            since = await read(client, reader, self._history) or since
            if reader.outcome == "left" and plan.returns is None:
                break
            await asyncio.sleep(plan.returns or 0.1)
        del self._reading[number]

    # ------------------------------------------------------------------- faults

    async def stop(self, server: int, grace: float) -> None:
        """Let a server drain; return when it has gone."""
        task = self._hosts[server].drain(grace)
        if task is not None:
            await asyncio.wait([task])

    async def overlap(self, server: int, grace: float) -> None:
        """Let a server drain while the next one takes its place; return when it has gone."""
        host = self._hosts[server]
        task = host.drain(grace)
        if task is not None:
            await host.start()
            await asyncio.wait([task])

    async def kill(self, server: int) -> None:
        """End a server at once; its connections are reset."""
        self._network.link(self._names[server]).cut()
        await self._hosts[server].kill()

    async def restart(self, server: int) -> None:
        """Let a server stand at its address again."""
        await self._hosts[server].start()

    async def disconnect(self, client: int) -> None:
        """Cut all connections of a client."""
        if client not in self._left:
            await self._clients[client].drop_connections()

    async def leave(self, client: int) -> None:
        """Close a client for good."""
        self._left.add(client)
        await self._clients[client].close()

    async def _see_service_return(self) -> None:
        """Let every client be served again, and write down since when it is."""
        for server in range(self._scenario.servers):
            await self.restart(server)
        self._network.heal()
        await asyncio.sleep(LONGEST_DELAY)  # until what was under way has arrived
        self._history.healed = asyncio.get_running_loop().time()
        served = [
            self._see_served(number)
            for number in range(len(self._clients))
            if number not in self._left
        ]
        await asyncio.gather(*served)

    async def _see_served(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        cap = self._scenario.clients[number].cap
        until = loop.time() + 3 * cap  # longer than promised, so that we learn how late it is
        self._history.returned[number] = None
        while loop.time() < until:
            client = self._clients[number].with_options(timeout=until - loop.time())
            self._history.probes[number] += 1
            try:
                await client.with_options(idempotent=True).call("framerpc/health")
            except framerpc.FrameRPCError as error:
                self._note(f"client {number} is not served: {error}")
                await asyncio.sleep(0.01)
            else:
                self._history.returned[number] = loop.time()
                return

    async def _see_readers_served(self) -> None:
        """Publish from all servers until each who reads has seen something of each topic."""
        loop = asyncio.get_running_loop()
        finale, first = self._history.finale, len(self._history.finale)
        until = loop.time() + _LATEST_READER
        while loop.time() < until:
            for host in self._hosts if self._reading else ():
                for topic in TOPICS:
                    one = Publish(id=(-1, len(finale)), topic=topic, keyed=False, began=loop.time())
                    finale.append(one)
                    await acknowledge(one, host.publish(topic, (one.id, b"")))
            await asyncio.sleep(0.1)
            if all(_has_seen(reader, first) for reader in self._reading.values()):
                return


def _has_seen(reader: Reader, first: int) -> bool:
    """Return whether a reader has seen something of each topic since the `first` of the finale."""
    seen = {sight.topic for sight in reader.sights if sight.id[0] == -1 and sight.id[1] >= first}
    return all(topic in seen for topic in TOPICS if matches(reader.plan.pattern, topic))


def _give_up(call: Call, task: asyncio.Task[None]) -> None:
    if not task.done():
        call.cancelled = asyncio.get_running_loop().time()
        task.cancel()


class _FullJitter(wait_base):
    """What the client's own pauses are like, with chance that can be repeated."""

    def __init__(self, chance: random.Random, first: float, cap: float) -> None:
        self._chance = chance
        self._first = first
        self._cap = cap

    def __call__(self, retry_state: RetryCallState) -> float:
        most = self._first * 2.0 ** (retry_state.attempt_number - 1)
        return self._chance.uniform(0.0, min(self._cap, most))


async def _pass_on(context: CallContext, body: Body, proceed: Handler) -> Body:
    return await proceed(context, body)
