"""Live sockets: dial, listen, pump bytes through the wire protocol, keep what is in flight."""

from framerpc.connection.connection import Acceptor, Connection

__all__ = ["Acceptor", "Connection"]
