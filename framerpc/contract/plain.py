"""Calls without a contract at hand: any value out, plain msgpack values back.

This module owns how `client.call("Service/method", ...)` turns arguments into a body. It checks
no names and no types: only the server has the contract.

Spec: protocol.md, "Arguments".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from framerpc.contract import values
from framerpc.errors import InvalidArgument, InvalidResult

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from framerpc.contract.values import Buffer

__all__ = ["decode_value", "encode_arguments", "encode_value"]

_decode = values.decoder(Any)


def encode_arguments(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[bytes, Any | None]:
    """Encode the arguments of a call whose contract is not known.

    An asynchronous iterator among them is the stream of the call; nil stands in its place.

    Returns:
        The body, and the stream or None.

    Raises:
        InvalidArgument: A value cannot be encoded, or there are two streams.
    """
    named = dict(kwargs)
    positional = tuple(args)
    streams = [value for value in (*positional, *named.values()) if _is_stream(value)]
    if streams:
        if len(streams) > 1:
            raise InvalidArgument("a call carries at most one stream among its arguments")
        positional = tuple(None if _is_stream(value) else value for value in positional)
        named = {name: None if _is_stream(value) else value for name, value in named.items()}
    if "" in named:
        raise InvalidArgument("the empty string cannot name an argument")
    body: Any = positional
    if named:
        body = {"": positional, **named} if positional else named
    try:
        return values.encode(body), streams[0] if streams else None
    except Exception as exc:
        raise InvalidArgument(_blame(positional, named, exc)) from exc


def encode_value(value: object) -> bytes:
    """Encode one value: an item of a stream, or a result.

    Raises:
        InvalidArgument: It cannot be encoded.
    """
    try:
        return values.encode(value)
    except Exception as exc:
        raise InvalidArgument(values.explain_unencodable(exc)) from exc


def decode_value(body: Buffer) -> Any:
    """Decode one value into plain objects (and aware datetimes).

    Raises:
        InvalidResult: It is not msgpack, or has an extension type that we do not know.
    """
    try:
        return _decode(body)
    except Exception as exc:
        _, text = values.explain(exc)
        raise InvalidResult(f"the value is {text}") from exc


def _is_stream(value: object) -> bool:
    """Tell whether an argument is a stream: something to iterate asynchronously."""
    cls = type(value)
    return hasattr(cls, "__aiter__") or hasattr(cls, "__anext__")


def _blame(positional: Sequence[Any], named: Mapping[str, Any], error: Exception) -> str:
    """Say which argument cannot be encoded."""
    places = [(f"argument {index}", value) for index, value in enumerate(positional, 1)]
    places += [(f"argument `{name}`", value) for name, value in named.items()]
    for place, value in places:
        try:
            values.encode(value)
        except Exception as exc:  # noqa: BLE001  # whatever it is becomes the sentence
            return f"{place}: {values.explain_unencodable(exc)}"
    return values.explain_unencodable(error)
