"""Live sockets: dial, listen, pump bytes through the wire protocol, keep what is in flight."""

from framerpc.connection.acceptor import Acceptor
from framerpc.connection.connection import Connection

__all__ = ["Acceptor", "Connection"]
