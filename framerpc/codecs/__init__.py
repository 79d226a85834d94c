"""Plain values to msgpack and back."""

from framerpc.codecs.envelope import packb, unpackb

__all__ = ["packb", "unpackb"]
