"""The serving side: listener, peers, dispatcher and the workers behind it."""

from __future__ import annotations

__all__: list[str] = []
