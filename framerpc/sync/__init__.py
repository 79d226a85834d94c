"""The blocking face: the same client and server for code without an event loop.

There is no second implementation: one thread runs a loop, as long as somebody needs it, and
everything here hands work to it. A client can be shared between threads, and used where another
loop is running already, as in a notebook.
"""

from framerpc.sync.client import SyncClient, connect
from framerpc.sync.results import SyncResultStream
from framerpc.sync.serving import serve
from framerpc.sync.subscription import SyncSubscription

__all__ = ["SyncClient", "SyncResultStream", "SyncSubscription", "connect", "serve"]
