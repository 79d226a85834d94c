"""The chat in a terminal: windows and keys around a session."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from examples.chat.client import home
from examples.chat.terminal.app import ChatApp

if TYPE_CHECKING:
    import argparse

__all__ = ["main_open"]


def main_open(options: argparse.Namespace) -> int:
    """Open the chat; return an exit code."""
    url = home.address(options.url)
    try:
        token = home.choose(url, options.account)
    except home.NoToken as error:
        if options.account is not None or home.known(url):
            sys.stderr.write(f"chat: {error}\n")
            return 1
        token = ""
    except (OSError, ValueError) as error:
        sys.stderr.write(f"chat: {error}\n")
        return 1
    app = ChatApp(url, token)
    app.run()
    for line in app.farewell:
        print(line)
    return app.return_code or 0
