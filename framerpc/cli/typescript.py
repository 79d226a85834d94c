"""A contract as a module of TypeScript: interfaces for its types, a class for each service.

It knows the description of a contract and no server. Names that TypeScript cannot have are
changed, never what is sent: methods and fields keep their names on the wire as texts.

Spec: protocol.md, "Describing a contract".
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, cast

from framerpc.cli.common import is_list

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["module_of"]

_PLAIN: Final = {
    "any": "any",
    "none": "null",
    "bool": "boolean",
    "float": "number",
    "str": "string",
    "bytes": "Uint8Array",
    "datetime": "Date",
    "date": "string",
    "time": "string",
    "timedelta": "string",
    "duration": "string",
    "uuid": "string",
    "decimal": "string",
    "int": "number | bigint",
}
"""Types that are one word there. An integer beyond 2^53 arrives as bigint; what is sent may be
either, and what a stub returns is called number, as nearly all are."""

# fmt: off
_RESERVED: Final = frozenset({
    "arguments", "await", "break", "case", "catch", "class", "const", "continue", "debugger",
    "default", "delete", "do", "else", "enum", "eval", "export", "extends", "false", "finally",
    "for", "function", "if", "implements", "import", "in", "instanceof", "interface", "let", "new",
    "null", "options", "package", "private", "protected", "public", "return", "static", "super",
    "switch", "this", "throw", "true", "try", "typeof", "var", "void", "while", "with", "yield",
})
# fmt: on
"""Names that a parameter or a type cannot have in a stub."""

_MEMBERS: Final = frozenset({"constructor", "client"})
"""Names that a method cannot have; other reserved words it can."""

_NAME: Final = re.compile(r"[A-Za-z_$][\w$]*", re.ASCII)


def module_of(described: dict[str, Any], module: str) -> str:
    """Return the text of a module.

    Args:
        described: What `framerpc/describe` returned.
        module: Where the client is imported from.
    """
    lines = [
        f"// Written by `framerpc stub --lang ts`; contract {described['fingerprint']}.",
        "",
        "import type {",
        "  CallOptions, Client, StreamOptions, Subscription, Update, WatchOptions,",
        f"}} from {json.dumps(module)};",
    ]
    docs = {service["name"]: service["doc"] for service in described.get("services", ())}
    services: dict[str, list[dict[str, Any]]] = {}
    for method in sorted(described["methods"], key=lambda each: str(each["name"])):
        service = method["name"].rpartition("/")[0]
        if service != "framerpc":  # what the client has by itself
            services.setdefault(service, []).append(method)
    types = described["types"]
    for name in sorted(_named(list(services.values()), types, set())):
        lines += ["", *_definition(_identifier(name), types[name])]
    for service, methods in services.items():
        lines += ["", *_class(service, docs.get(service, ""), methods)]
    return "\n".join(lines) + "\n"


def _named(value: Any, types: dict[str, Any], found: set[str]) -> set[str]:
    """Return the names of the definitions that a piece of a description refers to, and theirs."""
    parts: list[Any] = []
    if isinstance(value, dict):
        schema = cast("dict[str, Any]", value)
        parts += schema.values()
        name = str(schema.get("name"))
        if schema.get("type") == "ref" and name not in found:
            found.add(name)
            parts.append(types[name])
    elif is_list(value):
        parts += value
    for part in parts:
        _named(part, types, found)
    return found


def _definition(name: str, schema: dict[str, Any]) -> Iterator[str]:
    if schema["type"] == "object":
        yield f"export interface {name} {{"
        tag = schema.get("tag")
        if tag:
            yield f"  {_key(tag[0])}: {json.dumps(tag[1])};"
        for field in schema["fields"]:
            mark = "" if field["required"] else "?"
            yield f"  {_key(field['name'])}{mark}: {_type(field['type'])};"
        yield "}"
    elif schema["type"] == "array":
        fields = ", ".join(_type(field["type"]) for field in schema["fields"])
        yield f"export type {name} = [{fields}];"
    else:
        yield f"export type {name} = {_type(schema)};"


def _type(schema: dict[str, Any]) -> str:
    write = _COMPOUND.get(schema["type"])
    return _PLAIN.get(schema["type"], "any") if write is None else write(schema)


def _list(schema: dict[str, Any]) -> str:
    return f"Array<{_type(schema.get('items', _ANY))}>"


def _dict(schema: dict[str, Any]) -> str:
    keys, values = schema.get("keys", _ANY), _type(schema.get("values", _ANY))
    if keys["type"] in {"str", "ref", "enum", "uuid", "any"}:
        return f"{{ [key: string]: {values} }}"
    return f"Map<{_type(keys)}, {values}>"


_ANY: Final = {"type": "any"}

_COMPOUND: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "ref": lambda schema: _identifier(schema["name"]),
    "enum": lambda schema: " | ".join(map(json.dumps, schema["values"])) or "never",
    "union": lambda schema: " | ".join(dict.fromkeys(map(_type, schema["any_of"]))),
    "tuple": lambda schema: f"[{', '.join(map(_type, schema['items']))}]",
    "root": lambda schema: _type(schema["items"]),
    "list": _list,
    "set": _list,
    "collection": _list,
    "dict": _dict,
}


def _class(service: str, doc: str, methods: Iterable[dict[str, Any]]) -> Iterator[str]:
    yield from _comment(doc, "")
    yield f"export class {_identifier(service or 'Functions')} {{"
    yield "  constructor(private readonly client: Client) {}"
    for method in methods:
        yield ""
        yield from _comment(method["doc"], "  ")
        yield from _method(method)
    yield "}"


def _method(method: dict[str, Any]) -> Iterator[str]:
    """Write a method: with one object of arguments where some go by name only."""
    parameters = method["parameters"]
    name = _identifier(method["name"].rpartition("/")[2], _MEMBERS)
    verb, kind, returns = _shape(method)
    options = "options"
    if method["idempotent"] and verb == "call":
        options = "{ idempotent: true, ...options }"
    if any(each["kind"] == "named" for each in parameters):
        listed = ", ".join(_parameter(each, key=True) for each in parameters)
        optional = "" if any(each["required"] for each in parameters) else " = {}"
        signature, sent = f"args: {{ {listed} }}{optional}, ", "args"
    else:
        signature = "".join(f"{_parameter(each)}, " for each in parameters)
        sent = _arguments(parameters)
    yield f"  {name}({signature}options: {kind} = {{}}): {returns} {{"
    yield f"    return this.client.{verb}({json.dumps(method['name'])}, {sent}, {options});"
    yield "  }"


def _shape(method: dict[str, Any]) -> tuple[str, str, str]:
    """Return how the client is asked, with which options, and what it returns."""
    result = method["result"]
    if method.get("watch"):
        state, change = map(_result, result["items"])
        return "watch", "WatchOptions", f"Subscription<Update<{state}, {change}>>"
    written = _result(result)
    if method["streams_out"]:
        return "stream", "StreamOptions", f"AsyncGenerator<{written}, void, undefined>"
    return "call", "CallOptions", f"Promise<{written}>"


def _arguments(parameters: list[dict[str, Any]]) -> str:
    """Return what is sent: an array, or an object out of which those not given are left."""
    if all(each["required"] for each in parameters):
        return f"[{', '.join(_identifier(each['name']) for each in parameters)}]"
    first = [_identifier(each["name"]) for each in parameters if each["kind"] == "positional"]
    pairs = [f'"": [{", ".join(first)}]'] if first else []
    for each in parameters:
        name = _identifier(each["name"])
        if each["kind"] != "positional":
            pairs.append(name if name == each["name"] else f"{_key(each['name'])}: {name}")
    return f"{{ {', '.join(pairs)} }}"


def _parameter(parameter: dict[str, Any], *, key: bool = False) -> str:
    written = _type(parameter["type"])
    if parameter["stream"]:
        written = f"AsyncIterable<{written}>"
    name = _key(parameter["name"]) if key else _identifier(parameter["name"])
    if parameter["required"] or parameter["kind"] == "positional":
        return f"{name}: {written}"
    return f"{name}?: {written} | undefined"


def _result(schema: dict[str, Any]) -> str:
    written = _type(schema)
    return "number" if written == _PLAIN["int"] else written


def _comment(text: str, indent: str) -> Iterator[str]:
    lines = text.strip().replace("*/", "* /").splitlines()
    if len(lines) == 1:
        yield f"{indent}/** {lines[0].strip()} */"
    elif lines:
        yield f"{indent}/**"
        for line in lines:
            yield f"{indent} * {line.strip()}".rstrip()
        yield f"{indent} */"


def _identifier(name: str, reserved: frozenset[str] = _RESERVED) -> str:
    """Return a name that TypeScript can have."""
    cleaned = re.sub(r"[^\w$]", "_", name, flags=re.ASCII)
    if not _NAME.fullmatch(cleaned):
        cleaned = f"_{cleaned}"
    return f"{cleaned}_" if cleaned in reserved else cleaned


def _key(name: str) -> str:
    return name if _NAME.fullmatch(name) else json.dumps(name)
