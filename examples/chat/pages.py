"""The page for browsers as a web app, with the gateway mounted in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import FileResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

if TYPE_CHECKING:
    from starlette.requests import Request

    from framerpc.gateway import App

__all__ = ["pages"]

_HERE = Path(__file__).parent
_CLIENT = _HERE.parent.parent / "js" / "framerpc.js"


def pages(gateway: App, path: str) -> Starlette:
    """Return the page, the JavaScript client that it uses, and the gateway at `path`."""

    async def client(_request: Request) -> FileResponse:
        return FileResponse(_CLIENT)

    return Starlette(
        routes=[
            Mount(path, gateway),
            Route("/framerpc.js", client),
            Mount("/", StaticFiles(directory=_HERE / "web", html=True, check_dir=False)),
        ]
    )
