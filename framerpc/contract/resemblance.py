"""Whether a result is of the class that its method declares: a look at the class, not inside.

A forgotten `return` is found where it was forgotten, at the server, and costs a right result
no more than the look at its type. What is inside a list or an object is left to the caller,
who decodes all of it anyway.

Spec: protocol.md, "Arguments and results".
"""

from __future__ import annotations

import inspect
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin, is_typeddict

__all__ = ["Resemblance"]


class Resemblance:
    """The classes that results of one declared type have.

    Args:
        annotation: The declared type, of which `check_type` has passed.

    Attributes:
        exact: Classes of which every instance will do; None if anything may.
    """

    __slots__ = ("_bases", "exact")

    def __init__(self, annotation: Any) -> None:
        classes = _classes(annotation)
        known = None if None in classes else frozenset(filter(None, classes))
        self.exact: frozenset[type] | None = known
        # A subclass of int may be bool, which is no int on the wire.
        self._bases = tuple((known or frozenset()) - _EXACT_ONLY)

    def fits(self, value: object) -> bool:
        """Return whether a value is of the right class, or of a subclass that will do as well."""
        return self.exact is None or type(value) in self.exact or isinstance(value, self._bases)


_EXACT_ONLY: Final = frozenset({bool, int, float, type(None)})

_ALSO: Final[dict[type, tuple[type, ...]]] = {
    float: (int,),  # an integer is a float that needs no decimals
    bytes: (bytearray, memoryview),
}


def _classes(annotation: Any) -> set[type | None]:
    """Return the classes of a declared type; None among them stands for anything."""
    origin = get_origin(annotation) or annotation
    if origin is Annotated:
        return _classes(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return {each for member in get_args(annotation) for each in _classes(member)}
    if origin is None:
        return {type(None)}
    if is_typeddict(origin):
        return {dict}
    if not isinstance(origin, type) or origin in (Any, object) or inspect.isabstract(origin):
        return {None}
    return {origin, *_ALSO.get(origin, ())}
