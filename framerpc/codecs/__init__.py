"""The msgpack profile: values to bytes and back, with limits."""

from framerpc.codecs.envelope import packb, unpackb

__all__ = ["packb", "unpackb"]
