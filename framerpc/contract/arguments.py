"""The arguments of one method: what the caller wrote ⇄ a body.

This module owns the two shapes of an arguments body and how they bind to parameters. An array
holds positional arguments; a map holds named ones, with the positional ones under the empty
string. It does not know functions or services, and defaults stay with Python: an argument that
was not given is not passed to the handler.

Strategy: the first byte of a body tells how many positional arguments it holds, and for each
number that the method can take there is one decoder of a tuple of just these types. A call
without names therefore costs one look-up and one decode; everything else takes the long way.

Spec: protocol.md, "Arguments".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from framerpc.contract import values
from framerpc.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from framerpc.contract.signature import Parameter
    from framerpc.contract.values import Buffer, Decode

__all__ = ["ArgumentsCodec"]

_FIXARRAY: Final = 0x90  # msgpack: 0x90 to 0x9f are arrays of 0 to 15
_ARRAY_HEADS: Final = {0xDC: 2, 0xDD: 4}  # head byte: bytes of the length after it
_NO_NAMES: Final[Mapping[str, Any]] = {}
_UNEXPECTED: Final = "Object contains unknown field "


class ArgumentsCodec:
    """Encode and decode the arguments of one method.

    May be used from any thread.

    Args:
        method: Name of the method on the wire, for the errors.
        parameters: What it takes, in order.
    """

    __slots__ = (
        "_by_head",
        "_either",
        "_fewest",
        "_method",
        "_most",
        "_named",
        "_parameters",
        "_positional",
        "_required",
        "_stream",
        "_stream_at",
    )

    def __init__(self, method: str, parameters: Sequence[Parameter]) -> None:
        self._method = method
        self._parameters = tuple(parameters)
        self._positional = tuple(each for each in parameters if each.kind != "named")
        self._either = {each.name: each for each in parameters if each.kind != "positional"}
        self._required = tuple(
            (index, each.name) for index, each in enumerate(parameters) if each.required
        )
        self._stream = next((each.name for each in parameters if each.stream), None)
        self._stream_at = next(
            (index for index, each in enumerate(self._positional) if each.stream), None
        )
        # The numbers of arguments that need no closer look when none of them is named.
        self._most = len(self._positional)
        self._fewest = sum(each.required for each in self._positional)
        if any(each.required for each in parameters if each.kind == "named"):
            self._fewest = self._most + 1  # never enough without names
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
                return values.encode(args), None
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
        self._bind(len(args), kwargs)
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
        name, at = self._stream or "", self._stream_at
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
            count = _length_of_array(body)
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
        self._bind(count, _NO_NAMES)
        args: tuple[Any, ...] = self._decoder(count)(body)
        return args

    def _decode_map(self, body: Buffer) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if self._named is None:
            self._named = self._compile_named()
        given = self._named(body)
        kwargs: dict[str, Any] = {}
        for index, name in enumerate(self._either):
            value = getattr(given, f"f{index}")
            if value is not msgspec.UNSET:
                kwargs[name] = value
        if given.positional is msgspec.UNSET:
            self._bind(0, kwargs)
            return (), kwargs
        inner = memoryview(given.positional)
        count = _length_of_array(inner)
        if count is None:
            raise self._refusal("the value under the empty string is not an array")
        self._bind(count, kwargs)
        return self._decoder(count)(inner), kwargs

    def _decoder(self, count: int) -> Decode:
        """Return the decoder of exactly `count` positional arguments, compiling it once."""
        head = _FIXARRAY + count
        found = self._by_head.get(head)
        if found is None:
            types = tuple(
                type(None) if each.stream else each.annotation for each in self._positional[:count]
            )
            found = values.decoder(tuple[types])  # type: ignore[valid-type]
            if self._fewest <= count <= min(self._most, 15):
                self._by_head[head] = found
        return found

    def _compile_named(self) -> Decode:
        """Compile the decoder of a map: a struct without names of its own, so none can clash."""
        fields: list[tuple[str, Any, Any]] = [("positional", msgspec.Raw, msgspec.UNSET)]
        rename = {"positional": ""}
        for index, each in enumerate(self._either.values()):
            kind = type(None) if each.stream else each.annotation
            fields.append((f"f{index}", kind, msgspec.UNSET))
            rename[f"f{index}"] = each.name
        return values.decoder(
            msgspec.defstruct("Arguments", fields, rename=rename, forbid_unknown_fields=True)
        )

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
        at = self._stream_at
        if at is not None and at < len(args):
            return (*args[:at], stream, *args[at + 1 :]), kwargs
        kwargs[self._stream] = stream
        return args, kwargs

    # -- what is wrong -------------------------------------------------------------------

    def _bind(self, count: int, names: Collection[str]) -> None:
        """Check number and names of arguments, as Python would.

        Raises:
            InvalidArgument: They do not bind.
        """
        if count > self._most:
            plural = "" if self._most == 1 else "s"
            only = " by position" if len(self._parameters) > self._most else ""
            raise self._refusal(f"takes {self._most} argument{plural}{only}, got {count}")
        for name in names:
            if name not in self._either:
                raise self._refusal(self._unexpected(name))
        for index, each in enumerate(self._positional[:count]):
            if each.name in names:
                raise self._refusal(f"argument `{each.name}` is given twice, as number {index + 1}")
        for index, name in self._required:
            by_position = index < count and index < self._most
            if not by_position and name not in names:
                raise self._refusal(f"missing argument `{name}`")

    def _unexpected(self, name: str) -> str:
        if any(each.name == name for each in self._positional):
            return f"argument `{name}` is given by name, and can only be given by position"
        return values.shorten(f"unexpected argument `{name}`")

    def _misfit(self, error: Exception) -> InvalidArgument:
        """Translate what a decoder has raised; a path begins with a parameter."""
        place, text = values.explain(error)
        if not place:
            if text.startswith(_UNEXPECTED):
                return self._refusal(self._unexpected(text.removeprefix(_UNEXPECTED).strip("`")))
            return self._refusal(f"the arguments are {text}")
        if place.startswith("["):
            index, _, rest = place[1:].partition("]")
            place = self._positional[int(index)].name + rest
        place = place.removeprefix(".")
        if place == self._stream:
            return self._refusal(f"{place}: a stream is expected, not a value")
        return self._refusal(f"{place}: {text}")

    def _unencodable(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> InvalidArgument:
        """Find the argument that cannot be encoded."""
        names = [each.name for each in self._positional]
        for name, value in [*zip(names, args, strict=False), *kwargs.items()]:
            try:
                values.encode(value)
            except Exception as exc:  # noqa: BLE001  # whatever it is becomes the sentence
                return self._refusal(f"{name}: {values.explain_unencodable(exc)}")
        return self._refusal("the arguments cannot be encoded")

    def _refusal(self, detail: str) -> InvalidArgument:
        error = InvalidArgument(detail)
        error.method = self._method
        return error


def _length_of_array(body: Buffer) -> int | None:
    """Return how many elements an encoded array announces, or None if it is no array."""
    head = body[0] if body else 0x80  # an empty body is left to the decoder of maps to refuse
    if _FIXARRAY <= head < _FIXARRAY + 16:
        return head - _FIXARRAY
    size = _ARRAY_HEADS.get(head)
    return None if size is None else int.from_bytes(body[1 : 1 + size], "big")
