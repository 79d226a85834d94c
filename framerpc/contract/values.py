"""Values and bytes: one encoder for everything, one decoder per declared type.

This module owns the mapping between Python types and msgpack (msgspec's, plus pydantic
models, which are recognised by their methods and never imported) and the sentences that say
why bytes do not fit a type. It knows nothing of methods, parameters or calls.

Strategy: an encoder looks at the value alone, so there is one for the process. A decoder is
compiled for one type; whoever owns the type keeps it. Types are checked when a method is
registered (`check_type`), so that a type the wire cannot carry is found before the first call.

Spec: protocol.md, "Values".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final, Never, NoReturn, TypeAlias, get_args, get_origin

import msgspec
from msgspec import inspect as msgspec_inspect

__all__ = [
    "Buffer",
    "Decode",
    "UnsupportedTypeError",
    "carried_type",
    "check_type",
    "decoder",
    "encode",
    "explain",
    "explain_unencodable",
    "is_model",
    "shorten",
]

Buffer: TypeAlias = bytes | bytearray | memoryview

Decode: TypeAlias = Callable[[Buffer], Any]
"""Bytes in, the value of one declared type out; raises whatever `explain` puts into words."""

# Types that pydantic leaves inside a dumped model and msgspec does not know. Their text is
# what a model takes back. A SecretStr is not here: its text is not its value.
_TEXT_MODULES: Final = frozenset(
    {"ipaddress", "pathlib", "pathlib._local", "pydantic.networks", "pydantic_core._pydantic_core"}
)
_SIMPLE: Final = (Any, bool, bytes, float, int, str, type(None))  # nothing to look into
_TUPLES: Final = ("fields", "item_types", "types")  # of msgspec's descriptions
_PLACE: Final = re.compile(r" - at (`key` in )?`\$([^`]*)`\Z")
_LONGEST_TEXT: Final = 400  # characters; a text may quote what a stranger has sent


class UnsupportedTypeError(Exception):
    """A type cannot cross the wire; the text says why."""


def is_model(cls: object) -> bool:
    """Tell whether a class is a pydantic model, without importing pydantic."""
    return hasattr(cls, "model_validate") and hasattr(cls, "model_dump")


def _encode_other(value: object) -> Any:
    """Take apart what msgspec does not know; its encoder calls this."""
    if is_model(value) and not isinstance(value, type):
        model: Any = value
        # Python mode: bytes stay bytes. round_trip: what model_validate takes back.
        return model.model_dump(by_alias=True, round_trip=True)
    if type(value).__module__ in _TEXT_MODULES:
        return str(value)
    name = type(value).__qualname__
    advice = "; was an await forgotten?" if hasattr(type(value), "__await__") else ""
    raise TypeError(f"values of type `{name}` cannot be sent{advice}")


def _decode_other(cls: Any, value: object) -> Any:
    """Build what msgspec cannot build; its decoders call this."""
    return value if cls is object else cls.model_validate(value)


def _refuse_extension(code: int, _data: memoryview) -> Never:
    raise ValueError(f"unknown msgpack extension type {code}")


encode: Final[Callable[[object], bytes]] = msgspec.msgpack.Encoder(enc_hook=_encode_other).encode
"""Encode any value; raises whatever `explain_unencodable` puts into words."""


def decoder(annotation: Any) -> Decode:
    """Compile a decoder for a type that `check_type` has passed."""
    return msgspec.msgpack.Decoder(
        annotation, dec_hook=_decode_other, ext_hook=_refuse_extension
    ).decode


def carried_type(annotation: Any) -> Any:
    """Return the type that is decoded for an annotation: the same one, but for a few.

    `object` is anything, `Iterable[T]` arrives as a list, and a result that never comes is nil.
    """
    if annotation is object:
        return Any
    if annotation in (Never, NoReturn, None):
        return type(None)
    if (get_origin(annotation) or annotation) is Iterable:
        (item,) = get_args(annotation) or (Any,)
        return list[item]  # type: ignore[valid-type]
    return annotation


def check_type(annotation: Any) -> None:
    """Make sure that values of a type can be decoded.

    Raises:
        UnsupportedTypeError: They cannot.
    """
    if annotation in _SIMPLE:
        return
    try:
        info = msgspec_inspect.type_info(annotation)
    except NameError as exc:
        raise UnsupportedTypeError(
            f"its annotations cannot be resolved: {exc}; define the type at module level"
        ) from exc
    except Exception as exc:
        raise UnsupportedTypeError(str(exc)) from exc
    _check_info(info, set())


def _check_info(info: Any, seen: set[int]) -> None:
    """Walk msgspec's description of a type, looking for classes that nobody can build."""
    if id(info) in seen:
        return
    seen.add(id(info))
    if isinstance(info, msgspec_inspect.CustomType):
        if info.cls is not object and not is_model(info.cls):
            raise UnsupportedTypeError(f"values of type `{info.cls.__qualname__}` cannot be sent")
        return
    for name in info.__struct_fields__:
        part: Any = getattr(info, name)
        children: Any = part if name in _TUPLES else (part,)
        for child in children:
            if isinstance(child, (msgspec_inspect.Type, msgspec_inspect.Field)):
                _check_info(child, seen)


def explain(error: BaseException) -> tuple[str, str]:
    """Put into words why bytes could not be decoded.

    Returns:
        A place and a sentence. The place is a path inside the value such as "[0].price", or
        empty; it names at most what the declared types name, and indices.
    """
    if isinstance(error, RecursionError):
        return "", "nested too deeply"
    if not isinstance(error, msgspec.ValidationError):
        if isinstance(error, ValueError):  # msgspec's own, bad UTF-8, an unknown extension
            return "", shorten(f"not valid msgpack: {error}")
        return "", f"refused by their type ({type(error).__name__})"
    text, place, key = str(error), "", ""
    found = _PLACE.search(text)
    if found is not None:
        text, place, key = text[: found.start()], found[2], " in a key" if found[1] else ""
    inner, text = _first_of_model(error.__cause__, text)
    return place + inner, shorten(text + key)


def _first_of_model(cause: BaseException | None, text: str) -> tuple[str, str]:
    """Return place and text of the first complaint of a pydantic model, else `text` as it is."""
    complaints: Any = getattr(cause, "errors", None)
    if not callable(complaints):
        return "", text
    listed: Any = complaints()
    where = "".join(f"[{at}]" if isinstance(at, int) else f".{at}" for at in listed[0]["loc"])
    return where, str(listed[0]["msg"])


def explain_unencodable(error: Exception) -> str:
    """Put into words why a value could not be encoded."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply, or contains itself"
    return shorten(str(error) or type(error).__name__)


def shorten(text: str) -> str:
    """Cut a text that may quote what a stranger has sent."""
    return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + "…"
