"""Typed RPC and streams on framed sockets: services by decorator, no code generation.

>>> import framerpc
>>> @framerpc.service
... class Greeter:
...     @framerpc.method
...     async def greet(self, name: str) -> str:
...         return f"Hello, {name}."
"""

import logging as _logging

from framerpc.call import Body, CallContext, Handler, Interceptor, Stream, current_call
from framerpc.client.channel import State
from framerpc.client.client import Client, connect
from framerpc.client.results import ResultStream
from framerpc.config import Keepalive, Limits
from framerpc.contract.declared import error
from framerpc.contract.service import method, service
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
from framerpc.protocol.frames import Outcome
from framerpc.server.peers import Credentials
from framerpc.server.server import Server
from framerpc.version import __version__

# A library stays silent until its user configures logging.
_logging.getLogger("framerpc").addHandler(_logging.NullHandler())

__all__ = [
    "Body",
    "CallContext",
    "CallError",
    "Cancelled",
    "Client",
    "ConfigurationError",
    "ConnectionFailed",
    "ConnectionLost",
    "Credentials",
    "DeadlineExceeded",
    "FrameRPCError",
    "Handler",
    "Interceptor",
    "InvalidArgument",
    "InvalidResult",
    "Keepalive",
    "Limits",
    "LocalProtocolError",
    "MessageTooLarge",
    "MethodNotFound",
    "Outcome",
    "PermissionDenied",
    "ProtocolError",
    "RemoteError",
    "RemoteProtocolError",
    "ResourceExhausted",
    "ResultStream",
    "Server",
    "State",
    "Status",
    "Stream",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "__version__",
    "connect",
    "current_call",
    "error",
    "method",
    "service",
]
