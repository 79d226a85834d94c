"""The chat's server: the service with its rules, at the addresses for programs and for browsers."""

from __future__ import annotations

import logging
import sqlite3
import sys
import time
from pathlib import Path

import framerpc
from examples.chat.server.pages import pages
from examples.chat.server.service import POLICIES, Chat
from examples.chat.server.state.database import Database
from framerpc.gateway import App
from framerpc.gateway.http import HttpServer

__all__ = ["entrance", "make_server", "place_of", "serve", "shown"]


def make_server(data: Path) -> framerpc.Server:
    """Return a server of the chat.

    Args:
        data: The folder for its state; made if there is none.

    Raises:
        OSError: The folder cannot be made.
        sqlite3.Error: The database cannot be opened.
        ValueError: The database belongs to another version.
    """
    data.mkdir(parents=True, exist_ok=True)
    chat = Chat(Database(data / "chat.db", time.time))
    server = framerpc.Server(
        chat,
        authenticate=chat.authenticate,
        authorize=chat.authorize,
        authorize_topic=chat.authorize_topic,
        topics=POLICIES,
    )
    server.on_stop(chat.close)
    return server


def entrance(server: framerpc.Server, host: str, port: int) -> HttpServer:
    """Return the address for browsers: the page, and the gateway at /rpc."""
    gateway = App(server)
    return HttpServer(gateway, host, port, pages(gateway, "/rpc"), path="/rpc")


def place_of(text: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`; without a host it is this machine.

    Raises:
        ValueError: It is no such place.
    """
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) >= 2**16:
        raise ValueError(f"{text!r} is no HOST:PORT, as in 127.0.0.1:7080; port 0 takes a free one")
    return host or "127.0.0.1", int(port)


def shown(url: str) -> str:
    """Return an address as people use it: the page for browsers instead of what it dials."""
    return url.replace("ws://", "http://").removesuffix("rpc") if url.startswith("ws:") else url


def serve(data: Path, url: str, http: str) -> int:
    """Serve until a signal comes; print one line for each address, ports as they really are.

    What fails in a call is on standard error: its caller gets to know a number of it only.

    Args:
        data: As for `make_server`.
        url: The address for programs.
        http: The place for browsers, as for `place_of`.

    Returns:
        An exit code; what went wrong was said.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        place = place_of(http)  # before anything is opened that would have to be closed
        server = make_server(data)
        server.run(url, entrance(server, *place), ready=_announce)
    except (OSError, ValueError, sqlite3.Error, framerpc.FrameRPCError) as error:
        sys.stderr.write(f"chat serve: {error}\n")
        return 1
    return 0


def _announce(server: framerpc.Server) -> None:
    for url in server.urls:
        print(shown(url), flush=True)
