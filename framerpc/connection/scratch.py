"""The memory that bytes are received into, before anybody knows what they are."""

from __future__ import annotations

import threading
from typing import Final

__all__ = ["Scratch", "scratch"]

_SMALL_READ: Final = 64 * 1024
"""Bytes read at once while no long body is on its way, so that one peer cannot fill a turn."""


class Scratch(threading.local):
    """One receive buffer for all connections of a thread: it is empty between two wake-ups.

    256 KiB takes four parts of a long body at once; one for each connection would cost that
    much for each.
    """

    def __init__(self) -> None:
        self.large = memoryview(bytearray(256 * 1024))
        self.small = self.large[:_SMALL_READ]


scratch: Final = Scratch()
