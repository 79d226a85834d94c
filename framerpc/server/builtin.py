"""The methods that every server offers: its health, its contract, and what goes with topics.

Spec: protocol.md, "Methods" and "Topics".
"""

from __future__ import annotations

from collections.abc import AsyncIterator  # noqa: TC003 - read when the methods are declared
from typing import TYPE_CHECKING, Any, cast

from framerpc.contract.service import function_spec
from framerpc.protocol.topics import (
    HISTORY,
    PRESENCE,
    PUBLISH,
    SUBSCRIBE,
    HistoryOptions,
    PublishOptions,
    SubscribeOptions,
)
from framerpc.version import AGENT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from framerpc.call import Body, Buffer, CallContext, Handler
    from framerpc.contract.service import MethodSpec
    from framerpc.server.server import Server

__all__ = ["add_builtin_methods"]


def add_builtin_methods(server: Server) -> None:
    """Register what can be asked of any server, for this one."""

    async def health() -> dict[str, Any]:
        """Return {"status": "serving" or "draining"} and what the server counted."""
        status = "draining" if server.draining else "serving"
        return {"status": status, "agent": AGENT, **server.statistics()}

    async def description() -> dict[str, Any]:
        """Return the services and methods of this server, with signatures and docs."""
        from framerpc.contract.fingerprint import describe  # noqa: PLC0415 - seldom asked for

        return describe(server.specs())

    for name, function in (("framerpc/health", health), ("framerpc/describe", description)):
        spec = function_spec(function, name, idempotent=True, internal=True)
        server.dispatcher.add(spec, function)
    topics = server.topics
    for name, declared, run in (
        (SUBSCRIBE, _subscribe, topics.subscribe),
        (PUBLISH, _publish, topics.published),
        (HISTORY, _history, topics.history),
        (PRESENCE, _presence, topics.presence),
    ):
        spec = function_spec(declared, name, idempotent=name != PUBLISH, internal=True)
        server.dispatcher.add_handler(spec, _about_topics(spec, run))


def _about_topics(spec: MethodSpec, run: Callable[..., Awaitable[Body]]) -> Handler:
    """Return the Handler of a method that is given its call, and returns a body."""
    decode = spec.decode_arguments

    async def handle(context: CallContext, body: Body) -> Body:
        args, kwargs = decode(cast("Buffer", body))  # none of them takes a stream
        return await run(context, *args, **kwargs)

    return handle


# What these declare is what callers see; what they do is done by `Topics`.


def _subscribe(pattern: str, options: SubscribeOptions | None = None) -> AsyncIterator[bytes]:
    """Follow the topics that a pattern matches."""
    raise NotImplementedError


async def _publish(topic: str, data: bytes, options: PublishOptions | None = None) -> list[Any]:
    """Publish a message."""
    raise NotImplementedError


async def _history(topic: str, options: HistoryOptions | None = None) -> list[Any]:
    """Read a page of the history of a topic."""
    raise NotImplementedError


def _presence(topic: str) -> AsyncIterator[bytes]:
    """Follow who is on a topic."""
    raise NotImplementedError
