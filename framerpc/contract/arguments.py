"""The arguments of one method: what the caller wrote ⇄ a body.

This module owns the two shapes of an arguments body. An array holds positional arguments; a
map holds named ones, with the positional ones under the empty string. It does not know
functions or services, and defaults stay with Python: an argument that was not given is not
passed to the handler. Which arguments are missing or too many is said by `binding`.

Strategy: the first byte of a body tells how many positional arguments it holds, and for each
number that the method can take there is one decoder of a tuple of just these types. A call
without names therefore costs one look-up and one decode; everything else takes the long way.

Spec: protocol.md, "Arguments".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypedDict

import msgspec

from framerpc.contract import values
from framerpc.contract.binding import Binding
from framerpc.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from framerpc.contract.signature import Parameter
    from framerpc.contract.values import Buffer, Decode

__all__ = ["ArgumentsCodec"]

_FIXARRAY: Final = 0x90  # msgpack: 0x90 to 0x9f are arrays of 0 to 15
_FIXMAP: Final = 0x80  # and 0x80 to 0x8f are maps
_ARRAY_HEADS: Final = {0xDC: 2, 0xDD: 4}  # head byte: bytes of the length after it
_MAP_HEADS: Final = {0xDE: 2, 0xDF: 4}
_NO_NAMES: Final[Mapping[str, Any]] = {}
_encode: Final = values.encode
_decode_names: Final = values.decoder(dict[str, msgspec.Raw])


class ArgumentsCodec:
    """Encode and decode the arguments of one method.

    May be used from any thread.

    Args:
        method: Name of the method on the wire, for the errors.
        parameters: What it takes, in order.
    """

    __slots__ = ("_binding", "_by_head", "_fewest", "_most", "_named", "_stream")

    def __init__(self, method: str, parameters: Sequence[Parameter]) -> None:
        self._binding = Binding(method, parameters)
        self._fewest, self._most = self._binding.fewest, self._binding.most
        self._stream = self._binding.stream
        self._by_head: dict[int, Decode] = {}
        self._named: Decode | None = None

    def encode(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[bytes, Any | None]:
        """Encode what the caller wrote, leaving types to the receiver.

        Returns:
            The body, and the argument that is a stream, or None.

        Raises:
            InvalidArgument: The arguments do not bind, or one cannot be encoded.
        """
        if not kwargs and self._fewest <= len(args) <= self._most and self._stream is None:
            try:
                return _encode(args), None
            except Exception as exc:
                raise self._unencodable(args, kwargs) from exc
        return self._encode_any(args, kwargs)

    def decode(
        self, body: Buffer, stream: Any | None = None
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Decode a body into what to call the handler with.

        Args:
            body: The encoded arguments.
            stream: What to pass for the parameter that is a stream.

        Raises:
            InvalidArgument: The body does not fit; the text names the parameter.
        """
        decode = self._by_head.get(body[0]) if body else None
        if decode is None:
            return self._decode_any(body, stream)
        try:
            args = decode(body)
        except Exception as exc:
            raise self._misfit(exc) from exc
        if stream is None and self._stream is None:
            return args, {}
        return self._with_stream(args, {}, stream)

    # -- the long way --------------------------------------------------------------------

    def _encode_any(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[bytes, Any | None]:
        self._binding.check(len(args), kwargs)
        stream = None
        if self._stream is not None:
            args, kwargs, stream = self._take_stream(args, kwargs)
        body: Any = args
        if kwargs:
            body = {"": args, **kwargs} if args else kwargs
        try:
            return values.encode(body), stream
        except Exception as exc:
            raise self._unencodable(args, kwargs) from exc

    def _take_stream(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Sequence[Any], Mapping[str, Any], Any]:
        """Put nil where the stream is, and return the stream."""
        name, at = self._stream or "", self._binding.stream_at
        if at is not None and at < len(args):
            stream, args = args[at], (*args[:at], None, *args[at + 1 :])
        else:
            stream, kwargs = kwargs[name], {**kwargs, name: None}
        if not hasattr(stream, "__aiter__") and not hasattr(stream, "__iter__"):
            raise self._refusal(f"{name}: a stream is expected, not a `{type(stream).__name__}`")
        return args, kwargs, stream

    def _decode_any(
        self, body: Buffer, stream: Any | None
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        try:
            count = _length(body, _FIXARRAY, _ARRAY_HEADS)
            if count is None:
                args, kwargs = self._decode_map(body)
            else:
                args, kwargs = self._decode_array(body, count), {}
        except InvalidArgument:
            raise
        except Exception as exc:
            raise self._misfit(exc) from exc
        return self._with_stream(args, kwargs, stream)

    def _decode_array(self, body: Buffer, count: int) -> tuple[Any, ...]:
        self._binding.check(count, _NO_NAMES)
        args: tuple[Any, ...] = self._decoder(count)(body)
        return args

    def _decode_map(self, body: Buffer) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if self._named is None:
            self._named = self._compile_named()
        kwargs: dict[str, Any] = self._named(body)
        if len(kwargs) != _length(body, _FIXMAP, _MAP_HEADS):
            self._refuse_unknown(body)
        if "" not in kwargs:
            self._binding.check(0, kwargs)
            return (), kwargs
        inner = memoryview(kwargs.pop(""))
        count = _length(inner, _FIXARRAY, _ARRAY_HEADS)
        if count is None:
            raise self._refusal("the value under the empty string is not an array")
        self._binding.check(count, kwargs)
        return self._decoder(count)(inner), kwargs

    def _decoder(self, count: int) -> Decode:
        """Return the decoder of exactly `count` positional arguments, compiling it once."""
        head = _FIXARRAY + count
        found = self._by_head.get(head)
        if found is None:
            types = tuple(
                type(None) if each.stream else each.annotation
                for each in self._binding.positional[:count]
            )
            found = values.decoder(tuple[types])  # type: ignore[valid-type]
            if self._fewest <= count <= min(self._most, 15):
                self._by_head[head] = found
        return found

    def _compile_named(self) -> Decode:
        """Compile the decoder of a map: it leaves out the names that it does not know."""
        make: Any = TypedDict  # type checkers want to see the fields
        fields: dict[str, Any] = {"": msgspec.Raw}
        for name, each in self._binding.by_name.items():
            fields[name] = type(None) if each.stream else each.annotation
        return values.decoder(make("Arguments", fields, total=False))

    def _refuse_unknown(self, body: Buffer) -> None:
        """Complain of the names that were left out; names given twice are fine, the last wins."""
        self._binding.check_names(name for name in _decode_names(body) if name)

    def _with_stream(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], stream: Any | None
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Put the stream where nil holds its place."""
        if self._stream is None:
            if stream is None:
                return args, kwargs
            raise self._refusal("none of its arguments is a stream, and one was sent")
        if stream is None:
            raise self._refusal(f"{self._stream}: a stream is expected, and none was sent")
        at = self._binding.stream_at
        if at is not None and at < len(args):
            return (*args[:at], stream, *args[at + 1 :]), kwargs
        kwargs[self._stream] = stream
        return args, kwargs

    # -- what is wrong -------------------------------------------------------------------

    def _misfit(self, error: Exception) -> InvalidArgument:
        """Translate what a decoder has raised; a path begins with a parameter."""
        place, text = values.explain(error)
        if not place:
            verb = "are" if text.startswith(("not ", "nested", "refused")) else "do not fit:"
            return self._refusal(f"the arguments {verb} {text}")
        if place.startswith("["):
            index, _, rest = place[1:].partition("]")
            place = self._binding.positional[int(index)].name + rest
        place = place.removeprefix(".")
        if place == self._stream:
            return self._refusal(f"{place}: a stream is expected, not a value")
        return self._refusal(f"{place}: {text}")

    def _unencodable(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> InvalidArgument:
        """Find the argument that cannot be encoded."""
        names = [each.name for each in self._binding.positional]
        for name, value in [*zip(names, args, strict=False), *kwargs.items()]:
            try:
                values.encode(value)
            except Exception as exc:  # noqa: BLE001  # whatever it is becomes the sentence
                return self._refusal(f"{name}: {values.explain_unencodable(exc)}")
        return self._refusal("the arguments cannot be encoded")

    def _refusal(self, detail: str) -> InvalidArgument:
        return self._binding.refusal(detail)


def _length(body: Buffer, fix: int, heads: Mapping[int, int]) -> int | None:
    """Return how many elements an encoded array or map announces, or None if it is neither.

    Args:
        body: The encoded value; not validated.
        fix: Head of an empty one; the 15 heads after it announce 1 to 15 elements.
        heads: The other heads, and how many bytes of length follow them.
    """
    head = body[0] if body else 0
    if fix <= head < fix + 16:
        return head - fix
    size = heads.get(head)
    return None if size is None else int.from_bytes(body[1 : 1 + size], "big")
