"""Errors that keep their meaning: declared by name, crossing with their fields.

This module owns `@error`, the registry of declared errors, and the encoding of their fields.
Nothing that is not declared here is ever built from bytes, and nothing is imported for it.
It does not know which frame an error travels in, nor which `method` or `executed` it gets.

A declared error reads well and can be pickled without any work by its author: its `detail`
is made of its fields, and its state is kept apart from the arguments of `__init__`.

Spec: protocol.md, "Declared errors".
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_type_hints, overload

import msgspec

from framerpc.contract import values
from framerpc.contract.names import check_name
from framerpc.errors import CallError, ConfigurationError, InvalidResult

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from framerpc.contract.values import Buffer, Decode

__all__ = ["declared_name", "decode_error", "encode_error", "error"]

E = TypeVar("E", bound=type[CallError])

_RESERVED_FIELDS: Final = frozenset(
    {"add_note", "args", "executed", "method", "retry", "status", "with_traceback"}
)
_LONGEST_FIELD: Final = 200  # characters of one field in `detail`


class _Declaration:
    """One declared error.

    Attributes:
        name: Name on the wire.
        cls: The class.
        fields: Names of the arguments of its `__init__`.
        shown: The fields that its text shows.
    """

    __slots__ = ("_decode", "cls", "fields", "name", "shown")

    def __init__(self, name: str, cls: type[CallError]) -> None:
        self.name = name
        self.cls = cls
        listed = _init_fields(cls)
        self.fields: tuple[str, ...] = ("detail",)
        self.shown: tuple[str, ...] = ("detail",)
        if listed is not None:
            self.fields = tuple(each.name for each in listed)
            self.shown = tuple(each.name for each in listed if each.repr)
        self._decode: Decode | None = None

    def decode(self, body: Buffer) -> CallError | None:
        """Build the error from its encoded fields, or return None if they do not fit."""
        if self._decode is None:
            self.compile()
        assert self._decode is not None
        try:
            given = self._decode(body)
            kept = {name: getattr(given, f"f{at}") for at, name in enumerate(self.fields)}
            present = {name: value for name, value in kept.items() if value is not msgspec.UNSET}
            return self.cls(**present)
        except Exception:  # noqa: BLE001  # whatever its __post_init__ raises: it does not fit
            return None

    def compile(self) -> None:
        """Compile the decoder of its fields.

        Raises:
            NameError: An annotation does not resolve (yet).
            ConfigurationError: A field has a type that cannot cross the wire.
        """
        hints: Mapping[str, Any] = {"detail": str}
        if _init_fields(self.cls) is not None:
            hints = get_type_hints(self.cls, include_extras=True)
        fields: list[tuple[str, Any, Any]] = []
        for at, name in enumerate(self.fields):
            kind = values.carried_type(hints.get(name, Any))
            try:
                values.check_type(kind)
            except values.UnsupportedTypeError as exc:
                raise ConfigurationError(
                    f"field `{name}` of the error {self.cls.__name__}: {exc}"
                ) from exc
            fields.append((f"f{at}", kind, msgspec.UNSET))
        rename = {f"f{at}": name for at, name in enumerate(self.fields)}
        self._decode = values.decoder(msgspec.defstruct("Fields", fields, rename=rename))


_by_name: Final[dict[str, _Declaration]] = {}
_ATTRIBUTE: Final = "framerpc_error"


class _DetailOfFields:
    """The `detail` of an error that was not given any: its name and fields, for people.

    Not a data descriptor, so an error that has a `detail` of its own keeps it.
    """

    def __get__(self, instance: CallError | None, owner: type[CallError]) -> str:
        declaration = _declaration_of(owner)
        if instance is None or declaration is None:
            return ""
        shown = [f"{name}={_brief(instance, name)}" for name in declaration.shown]
        return f"{owner.__name__}: {', '.join(shown)}" if shown else owner.__name__


def _brief(instance: CallError, name: str) -> str:
    text = repr(getattr(instance, name, None))
    return text if len(text) <= _LONGEST_FIELD else text[:_LONGEST_FIELD] + "…"


@overload
def error(cls: E, /) -> E: ...


@overload
def error(*, name: str | None = None) -> Callable[[E], E]: ...


def error(cls: Any = None, /, *, name: str | None = None) -> Any:
    """Declare an error that crosses the wire by name, with its fields.

    The class is a `@dataclass(eq=False)` that derives from `CallError`, or has no `__init__`
    of its own, in which case its one field is `detail`. Declare it on both sides.

    Args:
        cls: The class, when it is used without parentheses.
        name: Name on the wire, if it should not be that of the class.

    Raises:
        ConfigurationError: The class cannot be a declared error, or another one has its name.
    """

    def decorate(cls: Any) -> Any:
        if not (isinstance(cls, type) and issubclass(cls, CallError)):
            raise ConfigurationError(
                f"@error belongs on a subclass of framerpc.CallError, not on {cls!r}"
            )
        declaration = _Declaration(name or cls.__name__, cls)
        check_name(declaration.name, internal=True)
        _check_class(cls, declaration)
        known = _by_name.get(declaration.name)
        if known is not None and not _same(known.cls, cls):
            raise ConfigurationError(
                f"two errors are named {declaration.name!r}: {_path(known.cls)} and "
                f"{_path(cls)}; give one another name with @error(name=...)"
            )
        with contextlib.suppress(NameError):  # a forward reference: tried again when needed
            declaration.compile()
        _install(cls, declaration)
        _by_name[declaration.name] = declaration
        return cls

    return decorate if cls is None else decorate(cls)


def declared_name(error: BaseException) -> str | None:
    """Return the name under which an error crosses, or None if it is not declared.

    An error that derives from a declared one, undeclared itself, crosses as that one.
    """
    declaration = _declaration_of(type(error))
    return None if declaration is None else declaration.name


def encode_error(error: BaseException) -> tuple[str, bytes]:
    """Encode a declared error.

    Returns:
        Its name, and its fields as a msgpack map.

    Raises:
        InvalidResult: A field cannot be encoded.
        ConfigurationError: It is not declared.
    """
    declaration = _declaration_of(type(error))
    if declaration is None:
        raise ConfigurationError(f"{type(error).__name__} is not declared with @framerpc.error")
    fields = {name: getattr(error, name, None) for name in declaration.fields}
    try:
        return declaration.name, values.encode(fields)
    except Exception as exc:
        text = values.explain_unencodable(exc)
        raise InvalidResult(f"the error {declaration.name} cannot be encoded: {text}") from exc


def decode_error(name: str, body: Buffer) -> CallError | None:
    """Build a declared error from its name and encoded fields.

    Unknown fields are ignored, and missing ones get their defaults.

    Returns:
        None if no error of this name is declared here, or its class does not take the fields.

    Raises:
        ConfigurationError: An annotation of its class, which could not be resolved when it was
            declared, turns out to be a type that cannot cross the wire.
    """
    declaration = _by_name.get(name)
    if declaration is None:
        return None
    try:
        return declaration.decode(body)
    except NameError:
        return None


def _declaration_of(cls: type) -> _Declaration | None:
    found = getattr(cls, _ATTRIBUTE, None)
    return found if isinstance(found, _Declaration) else None


def _init_fields(cls: Any) -> list[dataclasses.Field[Any]] | None:
    """Return the fields that `__init__` takes, or None if the class is not a dataclass."""
    if not dataclasses.is_dataclass(cls):
        return None
    return [each for each in dataclasses.fields(cls) if each.init]


def _check_class(cls: type[CallError], declaration: _Declaration) -> None:
    """Make sure that instances can be built from their fields, and be raised.

    Raises:
        ConfigurationError: They cannot.
    """
    if _init_fields(cls) is None:
        if cls.__init__ is not CallError.__init__:
            raise ConfigurationError(
                f"the error {cls.__name__} has an __init__ of its own, so its fields are not "
                "known; make it a @dataclass(eq=False)"
            )
        return
    if getattr(cls, "__dataclass_params__").frozen:  # noqa: B009  # not in the type stubs
        raise ConfigurationError(
            f"the error {cls.__name__} is frozen, and raising an exception changes it; "
            "make it a @dataclass(eq=False)"
        )
    clashes = _RESERVED_FIELDS.intersection(declaration.fields)
    if clashes:
        raise ConfigurationError(
            f"the error {cls.__name__} has a field `{min(clashes)}`, which every CallError has "
            "already; rename it"
        )
    taken = inspect.signature(cls.__init__).parameters.keys() - {"self"}
    if taken != set(declaration.fields):
        raise ConfigurationError(
            f"the __init__ of the error {cls.__name__} does not take its fields "
            f"({', '.join(declaration.fields)}); leave it to @dataclass, and use __post_init__"
        )


def _same(old: type, new: type) -> bool:
    """Tell whether a class is declared again: a module reloaded, a notebook cell run twice."""
    return (old.__module__, old.__qualname__) == (new.__module__, new.__qualname__)


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _install(cls: type[CallError], declaration: _Declaration) -> None:
    """Add the conveniences that its author did not write."""
    target: Any = cls
    setattr(target, _ATTRIBUTE, declaration)
    if _init_fields(cls) is not None:
        if "detail" not in declaration.fields and "detail" not in vars(cls):
            target.detail = _DetailOfFields()
        if cls.__reduce__ is CallError.__reduce__:
            target.__reduce__ = _reduce


def _reduce(self: CallError) -> tuple[Any, ...]:
    """Pickle by state: what `__init__` was given is in the fields."""
    declaration = _declaration_of(type(self))
    fields = () if declaration is None else declaration.fields
    state = {name: getattr(self, name) for name in fields if hasattr(self, name)}
    return _rebuild, (type(self), self.args, {**state, **self.__dict__})


def _rebuild(cls: type[CallError], args: tuple[Any, ...], state: dict[str, Any]) -> CallError:
    """Unpickle a declared error without running its `__init__`."""
    again = cls.__new__(cls, *args)
    for name, value in state.items():
        setattr(again, name, value)
    return again
