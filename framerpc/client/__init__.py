"""The calling side: a channel that keeps a connection, and the client and stubs on top of it."""

from framerpc.client.client import Client
from framerpc.client.connect import connect

__all__ = ["Client", "connect"]
