"""How arguments bind to parameters: as in Python, without a function.

This module owns the complaints: too many, missing, unexpected, given twice. It sees how many
arguments are given by position and which by name, never their values or bytes.

Spec: protocol.md, "Arguments".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from framerpc.contract.values import shorten
from framerpc.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from framerpc.contract.signature import Parameter

__all__ = ["Binding"]

_MOST_WAYS: Final = 64  # ways of giving arguments to remember: a peer may try them all


class Binding:
    """The parameters of one method, and what may be given for them.

    Attributes:
        positional: The parameters that can be given by position.
        by_name: Those that can be given by name.
        fewest: As many arguments by position are enough, if none is given by name.
        most: As many can be given by position.
        stream: Name of the parameter that is a stream, or None.
        stream_at: Its position, or None.
    """

    __slots__ = (
        "_good_ways",
        "_method",
        "_required",
        "by_name",
        "fewest",
        "most",
        "positional",
        "stream",
        "stream_at",
    )

    def __init__(self, method: str, parameters: Sequence[Parameter]) -> None:
        self._method = method
        self._required = tuple(
            (index, each.name) for index, each in enumerate(parameters) if each.required
        )
        self._good_ways: set[tuple[object, ...]] = set()
        self.positional: tuple[Parameter, ...] = tuple(
            each for each in parameters if each.kind != "named"
        )
        self.by_name: Mapping[str, Parameter] = {
            each.name: each for each in parameters if each.kind != "positional"
        }
        self.most = len(self.positional)
        self.fewest = sum(each.required for each in self.positional)
        if any(each.required for each in parameters if each.kind == "named"):
            self.fewest = self.most + 1  # never enough without names
        self.stream = next((each.name for each in parameters if each.stream), None)
        self.stream_at = next(
            (index for index, each in enumerate(self.positional) if each.stream), None
        )

    def check(self, count: int, names: Collection[str]) -> None:
        """Check the number of arguments by position, and the names of the others.

        Raises:
            InvalidArgument: They do not bind.
        """
        way = (count, *names)
        if way not in self._good_ways:
            self._check(count, names)
            if len(self._good_ways) < _MOST_WAYS:
                self._good_ways.add(way)

    def check_names(self, names: Iterable[str]) -> None:
        """Check that each name can be given.

        Raises:
            InvalidArgument: One cannot.
        """
        for name in names:
            if name in self.by_name:
                continue
            if any(each.name == name for each in self.positional):
                raise self.refusal(f"argument `{name}` can only be given by position")
            raise self.refusal(shorten(f"unexpected argument `{name}`"))

    def _check(self, count: int, names: Collection[str]) -> None:
        if count > self.most:
            plural = "" if self.most == 1 else "s"
            only = " by position" if any(x.kind == "named" for x in self.by_name.values()) else ""
            raise self.refusal(f"takes {self.most} argument{plural}{only}, got {count}")
        self.check_names(names)
        for each in self.positional[:count]:
            if each.name in names:
                raise self.refusal(f"argument `{each.name}` is given twice")
        for index, name in self._required:
            if index >= count and name not in names:
                raise self.refusal(f"missing argument `{name}`")

    def refusal(self, detail: str) -> InvalidArgument:
        """Return the error that says so; the work was not done."""
        error = InvalidArgument(detail)
        error.method = self._method
        return error
