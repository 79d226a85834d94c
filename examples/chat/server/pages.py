"""The page for browsers as a web app, with the gateway mounted in it.

What the page may do is told to the browser with each answer: scripts, styles and connections of
this place only, the map of module names by its hash, no HTML from text, no frame around it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from framerpc.gateway import App

__all__ = ["pages"]

_WEB = Path(__file__).parent.parent / "web"
_CLIENT = _WEB.parent.parent.parent / "js" / "framerpc.js"

_INLINE: Final = re.compile(r'<script type="importmap">(.*?)</script>', re.DOTALL)


def pages(gateway: App, path: str) -> Starlette:
    """Return the page, the JavaScript client that it uses, and the gateway at `path`.

    Raises:
        OSError: The page is not there.
    """
    clients = StaticFiles(directory=_CLIENT.parent)  # it knows what a browser has already

    async def client(request: Request) -> Response:
        return await clients.get_response(_CLIENT.name, request.scope)

    return Starlette(
        routes=[
            Mount(path, gateway),
            Route("/framerpc.js", client),
            Mount("/", StaticFiles(directory=_WEB, html=True)),
        ],
        middleware=[Middleware(_Careful, policy=_policy(_WEB / "index.html"))],
    )


class _Careful:
    """Adds to each answer what the browser is to be careful about."""

    def __init__(self, app: ASGIApp, policy: str) -> None:
        self._app = app
        self._headers = {
            "content-security-policy": policy,
            "cross-origin-opener-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
            # Kept, and asked about each time: a new version is there at the next visit.
            "cache-control": "no-cache",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def careful(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, careful)


def _policy(index: Path) -> str:
    """Return the Content-Security-Policy of the page."""
    script = _INLINE.search(index.read_text(encoding="utf-8"))
    assert script is not None, f"{index} has no map of module names"
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'sha256-{digest}'",
            "style-src 'self'",
            "img-src 'self' blob:",  # pictures that were sent, once they are here
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )
