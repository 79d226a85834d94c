"""A contract as plain data, and as a number: description and fingerprint.

This module owns what a server tells about itself (`describe`), and a hash that two sides can
compare to know that they mean the same contract (`fingerprint`). Docstrings, the order of
writing, names of classes and where a method runs do not matter to the fingerprint; names of
methods and parameters, types as the wire shows them, and options do. What a difference means
is said by `comparison.compare`.

Spec: protocol.md, "Describing a contract".
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from framerpc.contract.comparison import Change, compare
from framerpc.contract.names import RESERVED_PREFIX
from framerpc.contract.schema import SchemaWriter
from framerpc.contract.service import ServiceSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from framerpc.contract.method import MethodSpec
    from framerpc.contract.schema import Schema

__all__ = ["Change", "compare", "describe", "fingerprint"]

_FORMAT: Final = 1
_SIZE: Final = 16  # bytes: enough that two contracts never share one by chance


def describe(specs: Iterable[ServiceSpec | MethodSpec]) -> dict[str, Any]:
    """Describe a contract in plain msgpack values, sorted by name.

    Returns:
        {"format": 1, "fingerprint": bytes, "services": [{"name", "doc"}], "methods":
        [{"name", "doc", "signature", "idempotent", "once", "resume", "run", "streams_in",
        "streams_out", "parameters": [{"name", "kind", "required", "stream", "type"}], "result": schema}],
        "types": {name: schema}}; schemas are those of the module `schema`.
        A method whose result is a watch has "watch": True besides.
    """
    described = _describe(specs)
    return {**described, "fingerprint": _hash(described).hex()}


def fingerprint(specs: Iterable[ServiceSpec | MethodSpec]) -> bytes:
    """Return 16 bytes that are the same for the same contract, in every process.

    The framework's own methods are left out.
    """
    return _hash(_describe(specs))


def _describe(specs: Iterable[ServiceSpec | MethodSpec]) -> dict[str, Any]:
    methods: dict[str, MethodSpec] = {}
    services: dict[str, str] = {}
    for spec in specs:
        listed = spec.methods.values() if isinstance(spec, ServiceSpec) else (spec,)
        methods.update((each.name, each) for each in listed)
    writer = SchemaWriter()
    described: list[dict[str, Any]] = []
    for _, spec in sorted(methods.items()):
        described.append(_describe_method(spec, writer))
        if spec.service_doc is not None:
            services[spec.name.rpartition("/")[0]] = spec.service_doc
    return {
        "format": _FORMAT,
        "services": [{"name": name, "doc": doc} for name, doc in sorted(services.items())],
        "methods": described,
        "types": writer.definitions,
    }


def _describe_method(spec: MethodSpec, writer: SchemaWriter) -> dict[str, Any]:
    return {
        "name": spec.name,
        "doc": spec.doc,
        "signature": spec.signature,
        "idempotent": spec.idempotent,
        "once": spec.once,
        "resume": spec.resume,
        "run": spec.run,
        "streams_in": spec.streams_in,
        "streams_out": spec.streams_out,
        **({"watch": True} if spec.watch else {}),
        "parameters": [
            {
                "name": each.name,
                "kind": each.kind,
                "required": each.required,
                "stream": each.stream,
                "type": writer.schema(each.annotation),
            }
            for each in spec.parameters
        ],
        "result": writer.schema(spec.result),
    }


def _hash(described: dict[str, Any]) -> bytes:
    """Hash what matters of a description; class names give way to their place."""
    seen: dict[str, int] = {}
    said = [
        [
            [method[key] for key in ("name", "idempotent", "once", "resume", "streams_out")],
            [
                [each[key] for key in ("name", "kind", "required", "stream")]
                + [_inlined(each["type"], described["types"], seen)]
                for each in method["parameters"]
            ],
            _inlined(method["result"], described["types"], seen),
            *(["watch"] if method.get("watch") else []),
        ]
        for method in described["methods"]
        if not method["name"].startswith(RESERVED_PREFIX)
    ]
    text = json.dumps([_FORMAT, said], sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=_SIZE).digest()


def _inlined(part: Any, types: dict[str, Schema], seen: dict[str, int]) -> Any:
    """Write definitions where they are first used, so that their names do not matter."""
    if _is_list(part):
        return [_inlined(each, types, seen) for each in part]
    if not _is_map(part):
        return part
    if part.get("type") != "ref":
        return {key: _inlined(value, types, seen) for key, value in part.items()}
    name: str = part["name"]
    if name in seen:
        return seen[name]
    seen[name] = len(seen)
    return _inlined(types[name], types, seen)


def _is_list(part: object) -> TypeGuard[list[Any]]:
    return isinstance(part, list)


def _is_map(part: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(part, dict)
