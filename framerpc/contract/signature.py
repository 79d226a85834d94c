"""What a function declares: its parameters, its result, and which of them are streams.

This module owns the reading of signatures: annotations are resolved, streams are told from
values by their annotation, and a signature that the wire cannot carry is refused with a
reason. It does not know services, names on the wire, or bytes.

Which annotations are streams:

    parameter   AsyncIterator, AsyncIterable, AsyncGenerator; Iterator, Generator in a `def`
    result      the same; and a generator function that has no annotation

Iterable is not: it arrives as a list. A result may also be a `Watch`: a stream of its own kind.

Spec: protocol.md, "Arguments".
"""

from __future__ import annotations

import collections.abc
import functools
import inspect
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias, get_args, get_origin
from typing import get_type_hints as resolve

from framerpc.contract.values import UnsupportedTypeError, carried_type, check_type
from framerpc.contract.watching import Watch
from framerpc.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Kind", "Parameter", "Signature", "is_asynchronous", "is_stream", "read_signature"]

Kind: TypeAlias = Literal["positional", "either", "named"]
"""How an argument may be given: by position only, either way, by name only."""

_KINDS: Final[Mapping[Any, Kind]] = {
    inspect.Parameter.POSITIONAL_ONLY: "positional",
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "either",
    inspect.Parameter.KEYWORD_ONLY: "named",
}
_ASYNC_STREAMS: Final = frozenset(
    {
        collections.abc.AsyncIterator,
        collections.abc.AsyncIterable,
        collections.abc.AsyncGenerator,
    }
)
_SYNC_STREAMS: Final = frozenset({collections.abc.Iterator, collections.abc.Generator})
_STREAM_NAMES: Final = frozenset(each.__name__ for each in _ASYNC_STREAMS | _SYNC_STREAMS | {Watch})
_EMPTY: Final = inspect.Parameter.empty
_MODULE_PREFIX: Final = re.compile(r"\b(?:\w+\.)+(?:<locals>\.)?(?=\w)")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a method, without `self`.

    Attributes:
        name: Its name, on the wire too.
        kind: How it may be given.
        required: It has no default.
        annotation: Type of the value; of the items if it is a stream.
        stream: The argument is a stream.
        default: What it is when it is not given.
    """

    name: str
    kind: Kind
    required: bool
    annotation: Any
    stream: bool = False
    default: Any = field(default=_EMPTY, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function declares.

    Attributes:
        parameters: In order.
        result: Type of the result; of its items if it is a stream; of a watch, the tuple of its
            state and its changes.
        streams_out: The result is a stream.
        watch: The stream is a watch.
        asynchronous: To be called on the event loop: an `async def`, or a `def` that says it
            returns an asynchronous stream.
        text: For people.
        doc: The docstring.
    """

    parameters: tuple[Parameter, ...]
    result: Any
    streams_out: bool
    asynchronous: bool
    text: str
    doc: str
    watch: bool = False

    @property
    def stream(self) -> Parameter | None:
        """The parameter that is a stream, if there is one."""
        return next((each for each in self.parameters if each.stream), None)


def read_signature(
    function: Callable[..., Any],
    label: str,
    *,
    skip_first: bool = False,
    namespace: Mapping[str, Any] | None = None,
) -> Signature:
    """Read what a function declares, and make sure that the wire can carry it.

    Args:
        function: The function, or any callable.
        label: What messages call it, such as "Greeter.greet".
        skip_first: Leave out the first parameter: `self`, or `cls`.
        namespace: Names that its annotations may use besides those of its module.

    Raises:
        ConfigurationError: The wire cannot carry it.
    """
    try:
        raw = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as exc:
        raise ConfigurationError(f"{label} has no signature that can be read: {exc}") from exc
    if skip_first:
        if not raw or raw[0].kind not in _KINDS or raw[0].kind is inspect.Parameter.KEYWORD_ONLY:
            raise ConfigurationError(f"{label} takes no `self`; add it, or use @staticmethod")
        del raw[0]
    hints = _hints(function, label, namespace or {})
    on_loop = is_asynchronous(function)
    streams_out, result = _read_result(function, hints.get("return", _EMPTY), label)
    watch = _is_watch(hints.get("return"))
    if watch or (streams_out and _stream_origin(hints.get("return")) in _ASYNC_STREAMS):
        on_loop = True
    parameters = tuple(_read_parameter(each, hints, label, on_loop=on_loop) for each in raw)
    if sum(each.stream for each in parameters) > 1:
        raise ConfigurationError(f"{label} takes two streams; a call carries at most one")
    text = _text(raw, hints)
    return Signature(parameters, result, streams_out, on_loop, text, _doc(function), watch)


def _doc(function: Callable[..., Any]) -> str:
    """Return the docstring; a partial's own is about partials."""
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.getdoc(function) or ""


def is_asynchronous(function: Callable[..., Any]) -> bool:
    """Tell whether a function is an `async def`, a generator or not, looking through partials."""
    while isinstance(function, functools.partial):
        function = function.func
    if not inspect.isroutine(function):  # an object with __call__
        function = type(function).__call__
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def is_stream(function: Callable[..., Any], label: str) -> bool:
    """Tell whether the result of a function is a stream, whatever its other types are.

    An annotation that does not resolve is judged by its text: types come from the contract.
    """
    if _generates(function):
        return True
    try:
        annotation = _hints(function, label, {}).get("return", _EMPTY)
    except ConfigurationError:
        text = str(getattr(function, "__annotations__", {}).get("return", ""))
        return text.partition("[")[0].rpartition(".")[2] in _STREAM_NAMES
    return _is_watch(annotation) or _stream_origin(annotation) is not None


def _hints(
    function: Callable[..., Any], label: str, namespace: Mapping[str, Any]
) -> dict[str, Any]:
    target: Any = function
    while isinstance(target, functools.partial):
        target = target.func
    if not inspect.isroutine(target):
        target = type(target).__call__
    try:
        try:
            return resolve(target, include_extras=True)
        except NameError:  # a second chance: a class that is nested in the service
            return resolve(target, localns=dict(namespace), include_extras=True)
    except Exception as exc:
        raise ConfigurationError(
            f"the annotations of {label} cannot be resolved: {exc}; the types must be reachable "
            "from its module (not local to a function, not imported under TYPE_CHECKING only)"
        ) from exc


def _bare(annotation: Any) -> Any:
    """Return what an alias (`type X = ...`) or an `Annotated` stands for."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = annotation.__origin__
        elif hasattr(annotation, "__value__"):
            annotation = annotation.__value__
        else:
            return annotation


def _stream_origin(annotation: Any) -> Any | None:
    bare = _bare(annotation)
    origin = get_origin(bare) or bare
    try:
        return origin if origin in _ASYNC_STREAMS or origin in _SYNC_STREAMS else None
    except TypeError:  # unhashable: not a type at all
        return None


def _is_watch(annotation: Any) -> bool:
    bare = _bare(annotation)
    return (get_origin(bare) or bare) is Watch


def _generates(function: Callable[..., Any]) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function)


def _read_result(function: Callable[..., Any], annotation: Any, label: str) -> tuple[bool, Any]:
    if _is_watch(annotation):
        types: Any = get_args(_bare(annotation)) or (Any, Any)  # of the state, of a change
        return True, _checked(tuple[types], f"the watch that {label} returns")
    origin = _stream_origin(annotation)
    if origin is None and not _generates(function):
        return False, _checked(annotation, f"the result of {label}")
    if origin is None:
        if annotation is not _EMPTY:
            raise ConfigurationError(
                f"{label} is a generator, but its result is annotated as {_name(annotation)}; "
                "annotate AsyncGenerator[T, None], or Iterator[T] in a plain def"
            )
        return True, Any
    if origin in _SYNC_STREAMS and is_asynchronous(function):
        raise ConfigurationError(
            f"the result of {label} is a blocking iterator, which would block the event loop; "
            "annotate AsyncGenerator or AsyncIterator, or make it a plain def"
        )
    item = (get_args(_bare(annotation)) or (Any,))[0]
    return True, _checked(item, f"the items of the result of {label}")


def _read_parameter(
    raw: inspect.Parameter, hints: Mapping[str, Any], label: str, *, on_loop: bool
) -> Parameter:
    where = f"parameter `{raw.name}` of {label}"
    if raw.kind not in _KINDS:
        star = "*" if raw.kind is inspect.Parameter.VAR_POSITIONAL else "**"
        raise ConfigurationError(
            f"{label} takes {star}{raw.name}, which has no fixed shape; take a list or a dict"
        )
    annotation = hints.get(raw.name, _EMPTY)
    origin = _stream_origin(annotation)
    required = raw.default is _EMPTY
    if origin is None:
        checked = _checked(annotation, where)
        return Parameter(raw.name, _KINDS[raw.kind], required, checked, default=raw.default)
    if not required:
        raise ConfigurationError(f"{where} is a stream, so it cannot have a default")
    if (origin in _ASYNC_STREAMS) != on_loop:
        wanted = "AsyncIterator[T] in an async def" if on_loop else "Iterator[T] in a plain def"
        raise ConfigurationError(f"{where} is a stream of the wrong kind; annotate {wanted}")
    item = (get_args(_bare(annotation)) or (Any,))[0]
    checked = _checked(item, f"the items of {where}")
    return Parameter(raw.name, _KINDS[raw.kind], required, checked, stream=True)


def _checked(annotation: Any, where: str) -> Any:
    """Return the type to decode for an annotation, once it is known to be carried."""
    if annotation is _EMPTY:
        return Any
    carried = carried_type(annotation)
    try:
        check_type(carried)
    except UnsupportedTypeError as exc:
        raise ConfigurationError(f"the type of {where}, {_name(annotation)}: {exc}") from exc
    return carried


def _name(annotation: Any) -> str:
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__ if annotation is not type(None) else "None"
    return _MODULE_PREFIX.sub("", repr(annotation))


def _text(parameters: list[inspect.Parameter], hints: Mapping[str, Any]) -> str:
    """Write a signature for people: short type names, and the defaults."""
    parts: list[str] = []
    before: Any = None
    for each in parameters:
        if before is inspect.Parameter.POSITIONAL_ONLY and each.kind is not before:
            parts.append("/")
        if each.kind is inspect.Parameter.KEYWORD_ONLY and each.kind is not before:
            parts.append("*")
        before = each.kind
        typed = f": {_name(hints[each.name])}" if each.name in hints else ""
        equals = " = " if typed else "="
        default = "" if each.default is _EMPTY else f"{equals}{each.default!r}"
        parts.append(f"{each.name}{typed}{default}")
    if before is inspect.Parameter.POSITIONAL_ONLY:
        parts.append("/")
    result = f" -> {_name(hints['return'])}" if "return" in hints else ""
    return f"({', '.join(parts)}){result}"
