"""RPC and messaging on framed sockets: typed services by decorator, no code generation.

>>> import framerpc
>>> @framerpc.service
... class Greeter:
...     @framerpc.method
...     async def greet(self, name: str) -> str:
...         return f"Hello, {name}."

The client and the server are loaded when they are first used: most processes are one of them,
and importing framerpc to declare a contract should cost next to nothing.
"""

from __future__ import annotations

import importlib as _importlib
import logging as _logging
from typing import TYPE_CHECKING as _TYPE_CHECKING

from framerpc.call import Body, CallContext, Handler, Interceptor, Stream, current_call
from framerpc.concurrency import AdaptiveConcurrency
from framerpc.config import (
    BalancingPolicy,
    HedgePolicy,
    Keepalive,
    Limits,
    RetryPolicy,
    Watchdog,
)
from framerpc.contract.declaration import method, service
from framerpc.contract.declared import error
from framerpc.contract.topic import Topic
from framerpc.contract.watching import Change, Snapshot, Watch
from framerpc.errors import (
    CallError,
    Cancelled,
    ConfigurationError,
    ConnectionFailed,
    ConnectionLost,
    DeadlineExceeded,
    FrameRPCError,
    InvalidArgument,
    InvalidResult,
    LocalProtocolError,
    MessageTooLarge,
    MethodNotFound,
    PermissionDenied,
    ProtocolError,
    RemoteError,
    RemoteProtocolError,
    ResourceExhausted,
    Status,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from framerpc.topic_config import TopicLimits, TopicPolicy
from framerpc.version import __version__

if _TYPE_CHECKING:
    from framerpc.backplane.memory import MemoryStore
    from framerpc.backplane.sqlite import SqliteStore
    from framerpc.balancing.candidate import Candidate, Choice
    from framerpc.balancing.endpoint import Endpoint
    from framerpc.balancing.pickers import Picker
    from framerpc.client.client import Client
    from framerpc.client.connect import connect
    from framerpc.client.messages import (
        Gap,
        History,
        Member,
        Message,
        Presence,
        PresenceChange,
    )
    from framerpc.client.results import ResultStream
    from framerpc.client.retry import RetryDetails
    from framerpc.client.state import State
    from framerpc.client.subscription import Subscription
    from framerpc.client.watching import PresenceStream, WatchStream
    from framerpc.protocol.frames import Outcome
    from framerpc.pubsub.events import Published
    from framerpc.pubsub.positions import Position
    from framerpc.resolvers.dns import DnsResolver
    from framerpc.resolvers.file import FileResolver
    from framerpc.resolvers.polling import PollingResolver
    from framerpc.resolvers.resolver import Resolution, Resolver
    from framerpc.resolvers.static import StaticResolver
    from framerpc.server.ageing import ConnectionAge
    from framerpc.server.peers import Credentials
    from framerpc.server.reply_store import ReplyStore
    from framerpc.server.server import Server
    from framerpc.server.sqlite_replies import SQLiteReplies
    from framerpc.server.topics import TopicAction

__all__ = [
    "AdaptiveConcurrency",
    "BalancingPolicy",
    "Body",
    "CallContext",
    "CallError",
    "Cancelled",
    "Candidate",
    "Change",
    "Choice",
    "Client",
    "ConfigurationError",
    "ConnectionAge",
    "ConnectionFailed",
    "ConnectionLost",
    "Credentials",
    "DeadlineExceeded",
    "DnsResolver",
    "Endpoint",
    "FileResolver",
    "FrameRPCError",
    "Gap",
    "Handler",
    "HedgePolicy",
    "History",
    "Interceptor",
    "InvalidArgument",
    "InvalidResult",
    "Keepalive",
    "Limits",
    "LocalProtocolError",
    "Member",
    "MemoryStore",
    "Message",
    "MessageTooLarge",
    "MethodNotFound",
    "Outcome",
    "PermissionDenied",
    "Picker",
    "PollingResolver",
    "Position",
    "Presence",
    "PresenceChange",
    "PresenceStream",
    "ProtocolError",
    "Published",
    "RemoteError",
    "RemoteProtocolError",
    "ReplyStore",
    "Resolution",
    "Resolver",
    "ResourceExhausted",
    "ResultStream",
    "RetryDetails",
    "RetryPolicy",
    "SQLiteReplies",
    "Server",
    "Snapshot",
    "SqliteStore",
    "State",
    "StaticResolver",
    "Status",
    "Stream",
    "Subscription",
    "Topic",
    "TopicAction",
    "TopicLimits",
    "TopicPolicy",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "Watch",
    "WatchStream",
    "Watchdog",
    "__version__",
    "connect",
    "current_call",
    "error",
    "method",
    "service",
]

_LATER = {
    "Candidate": "framerpc.balancing.candidate",
    "Choice": "framerpc.balancing.candidate",
    "Client": "framerpc.client.client",
    "ConnectionAge": "framerpc.server.ageing",
    "Credentials": "framerpc.server.peers",
    "DnsResolver": "framerpc.resolvers.dns",
    "Endpoint": "framerpc.balancing.endpoint",
    "FileResolver": "framerpc.resolvers.file",
    "Gap": "framerpc.client.messages",
    "History": "framerpc.client.messages",
    "Member": "framerpc.client.messages",
    "MemoryStore": "framerpc.backplane.memory",
    "Message": "framerpc.client.messages",
    "Outcome": "framerpc.protocol.frames",
    "Picker": "framerpc.balancing.pickers",
    "Position": "framerpc.pubsub.positions",
    "Presence": "framerpc.client.messages",
    "PresenceChange": "framerpc.client.messages",
    "PresenceStream": "framerpc.client.watching",
    "Published": "framerpc.pubsub.events",
    "PollingResolver": "framerpc.resolvers.polling",
    "ReplyStore": "framerpc.server.reply_store",
    "Resolution": "framerpc.resolvers.resolver",
    "Resolver": "framerpc.resolvers.resolver",
    "ResultStream": "framerpc.client.results",
    "RetryDetails": "framerpc.client.retry",
    "SQLiteReplies": "framerpc.server.sqlite_replies",
    "Server": "framerpc.server.server",
    "SqliteStore": "framerpc.backplane.sqlite",
    "State": "framerpc.client.state",
    "StaticResolver": "framerpc.resolvers.static",
    "Subscription": "framerpc.client.subscription",
    "TopicAction": "framerpc.server.topics",
    "WatchStream": "framerpc.client.watching",
    "connect": "framerpc.client.connect",
}


def __getattr__(name: str) -> object:
    """Load what is only needed by those who call, or by those who serve (PEP 562)."""
    if name not in _LATER:
        raise AttributeError(f"module 'framerpc' has no attribute {name!r}")
    value: object = getattr(_importlib.import_module(_LATER[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


# A library stays silent until its user configures logging.
_logging.getLogger("framerpc").addHandler(_logging.NullHandler())
