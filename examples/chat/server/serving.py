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

__all__ = ["entrance", "make_server", "serve", "shown"]


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


def entrance(server: framerpc.Server, place: str) -> HttpServer:
    """Return the address for browsers: the page, and the gateway at /rpc.

    Args:
        server: Answers the calls.
        place: `host:port`, or `:port` on this machine only.

    Raises:
        ValueError: It is no such place.
    """
    host, _, port = place.rpartition(":")
    if not port.isdecimal():
        raise ValueError(
            f"{place!r} is no HOST:PORT, as in 127.0.0.1:7080; port 0 takes a free one"
        )
    gateway = App(server)
    return HttpServer(gateway, host or "127.0.0.1", int(port), pages(gateway, "/rpc"), path="/rpc")


def shown(url: str) -> str:
    """Return an address as people use it: the page for browsers instead of what it dials."""
    return url.replace("ws://", "http://").removesuffix("rpc") if url.startswith("ws:") else url


def serve(data: Path, url: str, http: str) -> int:
    """Serve until a signal comes; print one line for each address, ports as they really are.

    What fails in a call is on standard error: its caller gets to know a number of it only.

    Args:
        data: As for `make_server`.
        url: The address for programs.
        http: The place for browsers, as for `entrance`.

    Returns:
        An exit code; what went wrong was said.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        server = make_server(data)
        server.run(url, entrance(server, http), ready=_announce)
    except (OSError, ValueError, sqlite3.Error, framerpc.FrameRPCError) as error:
        sys.stderr.write(f"chat serve: {error}\n")
        return 1
    return 0


def _announce(server: framerpc.Server) -> None:
    for url in server.urls:
        print(shown(url), flush=True)
