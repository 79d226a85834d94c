"""The same frames in WebSocket messages: framerpc inside a web server, for browsers.

`App` is an ASGI app for any server and framework; `framerpc.gateway.http` runs it with uvicorn.
"""

from __future__ import annotations

from framerpc.gateway.app import App

__all__ = ["App"]
