"""The version of this distribution, and how it introduces itself to peers."""

from __future__ import annotations

import platform
from typing import Final

__all__ = ["AGENT", "__version__"]

__version__: Final = "0.1.0"

AGENT: Final = f"framerpc/{__version__} python/{platform.python_version()}"
"""Told in the handshake, for the peer's logs."""
