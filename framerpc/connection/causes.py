"""Why a transport ended, in words."""

from __future__ import annotations

__all__ = ["why_ended"]


def why_ended(exc: BaseException | None) -> str:
    """Return what ended a transport: asyncio's exception with its name, or "closed"."""
    if exc is None:
        return "closed"
    text = str(exc)
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__
