"""Types as plain data: what a value looks like on the wire, without the classes.

This module owns the translation of annotations into schemas: msgpack values that another
process, or another language, can read. It does not know methods, and compares nothing.

A schema is a map with "type": the name of a simple type ("int", "str", "list", ...) with its
bounds and items, or "ref" with the "name" of a definition. Definitions stand apart, so that a
type may contain itself:

    {"type": "object", "fields": [...], "closed": bool, "tag": [field, value] or nil}
    {"type": "array", ...the same: its fields go by position}
    {"type": "enum", "values": [...]}

A field is {"name", "type", "required", "always"}: a reader needs it, a writer always sends it.

Spec: protocol.md, "Describing a contract".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from msgspec import inspect as msgspec_inspect

from framerpc.contract.values import carried_type, is_model

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["Schema", "SchemaWriter"]

Schema: TypeAlias = dict[str, Any]

_SIMPLE_NAMES: Final = {
    "bytearray": "bytes",
    "memoryview": "bytes",
    "vartuple": "list",
    "frozenset": "set",
    "frozendict": "dict",
    "raw": "any",
}
"""What differs in Python and not on the wire."""

_FIELDS: Final = {"item_type": "items", "item_types": "items", "key_type": "keys",
                  "value_type": "values", "types": "any_of"}  # fmt: skip


class SchemaWriter:
    """Translate annotations, collecting the definitions that they refer to.

    Attributes:
        definitions: Schemas by name. A name is that of the class; if two classes share it, the
            second to be met gets "#2" and so on.
    """

    def __init__(self) -> None:
        self.definitions: dict[str, Schema] = {}
        self._names: dict[Hashable, str] = {}

    def schema(self, annotation: Any) -> Schema:
        """Return the schema of an annotation that `check_type` has passed."""
        return self._write(msgspec_inspect.type_info(carried_type(annotation)))

    def _write(self, info: Any) -> Schema:
        if isinstance(info, msgspec_inspect.Metadata):
            return self._write(info.type)
        cls = getattr(info, "cls", None)
        if cls is not None and cls is not object:
            return {"type": "ref", "name": self._refer(cls, info)}
        if isinstance(info, msgspec_inspect.LiteralType):
            return {"type": "enum", "values": _sorted(info.values)}
        name = type(info).__name__.removesuffix("Type").lower()
        schema: Schema = {"type": _SIMPLE_NAMES.get(name, "any" if cls is object else name)}
        for field in info.__struct_fields__ if cls is None else ():
            value: Any = getattr(info, field)
            if field in ("item_types", "types"):
                schema[_FIELDS[field]] = [self._write(each) for each in value]
            elif isinstance(value, msgspec_inspect.Type):
                schema[_FIELDS[field]] = self._write(value)
            elif value is not None:
                schema[field] = value
        if "any_of" in schema:  # the order in which a union was written means nothing
            schema["any_of"].sort(key=repr)
        return schema

    def _refer(self, cls: Any, info: Any) -> str:
        """Return the name of the definition of a class, writing it on the first occasion."""
        if cls in self._names:
            return self._names[cls]
        base = str(getattr(cls, "__name__", cls))
        name, count = base, 1
        while name in self.definitions:
            count += 1
            name = f"{base}#{count}"
        self._names[cls] = name
        self.definitions[name] = {}  # so that the type may contain itself
        self.definitions[name].update(self._define(cls, info))
        return name

    def _define(self, cls: Any, info: Any) -> Schema:
        if isinstance(info, msgspec_inspect.EnumType):
            values = [each.value for each in cls]
            return {"type": "enum", "values": _sorted(values)}
        if isinstance(info, msgspec_inspect.CustomType):
            return self._define_model(cls)
        by_position = isinstance(info, msgspec_inspect.NamedTupleType) or bool(
            getattr(info, "array_like", False)
        )
        config = getattr(cls, "__struct_config__", None)
        may_omit = isinstance(info, msgspec_inspect.TypedDictType) or bool(
            getattr(config, "omit_defaults", False)
        )
        fields = [
            {
                "name": each.encode_name,
                "type": self._write(each.type),
                "required": each.required,
                "always": each.required or not may_omit,
            }
            for each in info.fields
        ]
        if not by_position:
            fields.sort(key=lambda field: str(field["name"]))
        tag = getattr(info, "tag", None)
        return {
            "type": "array" if by_position else "object",
            "fields": fields,
            "closed": bool(getattr(info, "forbid_unknown_fields", False)),
            "tag": None if tag is None else [getattr(info, "tag_field", None), tag],
        }

    def _define_model(self, cls: Any) -> Schema:
        """Define a pydantic model by its fields, the way it describes itself."""
        if not is_model(cls):
            return {"type": "other", "name": f"{cls.__module__}.{cls.__qualname__}"}
        fields = [
            {
                "name": each.alias or name,
                "type": self._of_model(each),
                "required": bool(each.is_required()),
                "always": True,
            }
            for name, each in sorted(cls.model_fields.items())
        ]
        if getattr(cls, "__pydantic_root_model__", False):
            return {"type": "root", "items": fields[0]["type"]}
        closed = cls.model_config.get("extra") == "forbid"
        return {"type": "object", "fields": fields, "closed": closed, "tag": None}

    def _of_model(self, field: Any) -> Schema:
        try:
            schema = self.schema(field.annotation)
        except Exception:  # noqa: BLE001  # pydantic knows types that msgspec does not
            schema = {"type": "other", "name": str(field.annotation)}
        if field.metadata:
            schema = {**schema, "constraints": sorted(map(repr, field.metadata))}
        return schema


def _sorted(values: Any) -> list[Any]:
    """Order what may be of several types, the same way in every process."""
    return sorted(values, key=lambda value: (type(value).__name__, str(value)))
