"""Does everything that one type writes fit what another type reads?

This module owns the rules by which schemas fit each other, as pure functions over plain data.
They lean to "no": a "yes" is a promise that no value written with the one schema is refused by
a reader of the other. They know no methods.

Spec: protocol.md, "Changing a contract".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

__all__ = ["accepts"]

_Schema: TypeAlias = Mapping[str, Any]

_TEXTUAL: Final = frozenset({"date", "time", "timedelta", "uuid", "decimal"})
_LISTS: Final = frozenset({"list", "set", "collection"})
_UPPER: Final = ("lt", "le", "max_length")
_LOWER: Final = ("gt", "ge", "min_length")
_EXACT: Final = ("multiple_of", "pattern", "tz", "constraints")


def accepts(reader: _Schema, writer: _Schema, reader_types: _Schema, writer_types: _Schema) -> bool:
    """Tell whether every value of `writer` can be read as `reader`.

    Args:
        reader: Schema of the side that decodes.
        writer: Schema of the side that encodes.
        reader_types: The definitions that `reader` refers to.
        writer_types: The definitions that `writer` refers to.
    """
    return _Pair(reader_types, writer_types).fit(reader, writer)


class _Pair:
    """Two sets of definitions, and which of them are taken to fit while that is looked into."""

    def __init__(self, reader_types: _Schema, writer_types: _Schema) -> None:
        self._reader_types = reader_types
        self._writer_types = writer_types
        self._assumed: set[tuple[str, str]] = set()  # of schemas, one of them a reference

    def fit(self, reader: _Schema, writer: _Schema) -> bool:
        if not _bounds_fit(reader, writer):
            return False
        if writer["type"] == "union":
            return all(self.fit(reader, each) for each in writer["any_of"])
        if reader["type"] == "union":
            return any(self.fit(each, writer) for each in reader["any_of"])
        if "ref" not in (reader["type"], writer["type"]):
            return reader["type"] == "any" or self._same_shape(reader, writer)
        pair = repr(reader), repr(writer)
        if pair in self._assumed:
            return True
        before = self._assumed
        self._assumed = {*before, pair}
        fits = self.fit(_resolve(reader, self._reader_types), _resolve(writer, self._writer_types))
        if not fits:  # nor does what was found to fit while this was assumed
            self._assumed = before
        return fits

    def _same_shape(self, reader: _Schema, writer: _Schema) -> bool:
        wanted, written = reader["type"], writer["type"]
        if wanted in _LISTS and written in _LISTS:
            return self.fit(reader["items"], writer["items"])
        if wanted in _LISTS and written == "tuple":
            return all(self.fit(reader["items"], each) for each in writer["items"])
        if wanted != written:
            return _converts(reader, writer)
        rule = _RULES.get(wanted)
        return rule(self, reader, writer) if rule else True

    def dicts(self, reader: _Schema, writer: _Schema) -> bool:
        return self.fit(reader["keys"], writer["keys"]) and self.fit(
            reader["values"], writer["values"]
        )

    def tuples(self, reader: _Schema, writer: _Schema) -> bool:
        return len(reader["items"]) == len(writer["items"]) and all(
            map(self.fit, reader["items"], writer["items"])
        )

    def objects(self, reader: _Schema, writer: _Schema) -> bool:
        """Fit maps by field name: what is needed must be there, what is there must fit."""
        written = {field["name"]: field for field in writer["fields"]}
        known = {field["name"] for field in reader["fields"]}
        if reader["tag"] != writer["tag"] or (reader["closed"] and not written.keys() <= known):
            return False
        return all(
            self.fit(field["type"], written[field["name"]]["type"])
            and (written[field["name"]]["always"] or not field["required"])
            if field["name"] in written
            else not field["required"]
            for field in reader["fields"]
        )

    def arrays(self, reader: _Schema, writer: _Schema) -> bool:
        """Fit arrays by position: the reader may know fewer fields, or more that are optional."""
        ours, theirs = reader["fields"], writer["fields"]
        if reader["tag"] != writer["tag"] or (reader["closed"] and len(theirs) > len(ours)):
            return False
        rest = ours[len(theirs) :]
        return not any(field["required"] for field in rest) and all(
            self.fit(our["type"], their["type"]) for our, their in zip(ours, theirs, strict=False)
        )


def _values_fit(_pair: _Pair, reader: _Schema, writer: _Schema) -> bool:
    return all(value in reader["values"] for value in writer["values"])


def _names_fit(_pair: _Pair, reader: _Schema, writer: _Schema) -> bool:
    return bool(reader["name"] == writer["name"])


_RULES: Final[Mapping[str, Callable[[_Pair, _Schema, _Schema], bool]]] = {
    "array": _Pair.arrays,
    "dict": _Pair.dicts,
    "enum": _values_fit,
    "object": _Pair.objects,
    "other": _names_fit,
    "tuple": _Pair.tuples,
}


def _resolve(schema: _Schema, types: _Schema) -> _Schema:
    """Follow a reference to its definition, and a root model to what it holds."""
    while schema["type"] in ("ref", "root"):
        schema = types[schema["name"]] if schema["type"] == "ref" else schema["items"]
    return schema


def _converts(reader: _Schema, writer: _Schema) -> bool:
    """Tell whether a reader takes a type that is not its own."""
    wanted, written = reader["type"], writer["type"]
    if wanted == "str":
        return written in _TEXTUAL or (written == "enum" and _all_are(writer, str))
    if wanted == "int":
        return written == "enum" and _all_are(writer, int)
    if wanted == "float":
        return bool(written == "int")
    return False


def _all_are(schema: _Schema, kind: type) -> bool:
    """Tell whether all values of an enum are of one type; a bool is no int on the wire."""
    return all(type(value) is kind for value in schema["values"])


def _bounds_fit(reader: _Schema, writer: _Schema) -> bool:
    """Tell whether the reader's bounds allow whatever the writer's do."""
    for key in _EXACT:
        if reader.get(key) is not None and reader[key] != writer.get(key):
            return False
    for keys, sign in ((_UPPER, 1), (_LOWER, -1)):
        for key in keys:
            limit, own = reader.get(key), writer.get(key)
            if limit is not None and (own is None or own * sign > limit * sign):
                return False
    return True
