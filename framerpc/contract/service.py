"""Services: classes whose decorated functions may be called from outside.

This module owns how the methods of a class are collected: from its bases too,
the most derived declaration first, and nothing that is not decorated. An undecorated subclass
of a service is an implementation: names, types and options come from the contract above it,
only where a method runs is decided by the function that runs.

Decorating costs next to nothing; specs are made when they are first asked for, which is where
errors in a declaration come to light: when a server or a stub is made, not when a call arrives.

Spec: protocol.md, "Methods".
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from framerpc.contract.declaration import SERVICE_NAME, declaration_of, method, service
from framerpc.contract.implementation import check_implementation, is_unimplemented
from framerpc.contract.method import MethodSpec, function_spec, resolve_run
from framerpc.contract.names import check_name
from framerpc.contract.signature import read_signature
from framerpc.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from framerpc.contract.declaration import MethodDeclaration

__all__ = [
    "MethodSpec",
    "ServiceSpec",
    "bound_methods",
    "function_spec",
    "method",
    "method_spec_of",
    "service",
    "spec_of",
]

_SPEC_ATTRIBUTE: Final = "framerpc_spec"


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """What is known about one service.

    Attributes:
        name: Name on the wire, the part before the slash.
        doc: Its docstring.
        methods: Its methods, by the name of the Python function.
        service: The class that is decorated: the contract.
    """

    name: str
    doc: str
    methods: Mapping[str, MethodSpec]
    service: type


def spec_of(obj: object) -> ServiceSpec:
    """Return the spec of a service: of a decorated class, a subclass, or an instance.

    Raises:
        ConfigurationError: It is no service, or one of its methods cannot be one.
    """
    cls = obj if isinstance(obj, type) else type(obj)
    spec: ServiceSpec | None = vars(cls).get(_SPEC_ATTRIBUTE)
    if spec is None:
        spec = _make_spec(cls)
        setattr(cls, _SPEC_ATTRIBUTE, spec)  # not inherited: read with vars()
    return spec


def method_spec_of(function: object) -> MethodSpec | None:
    """Return the spec of a decorated function, as taken from its class (`Greeter.greet`).

    Returns:
        None if it is not decorated with `@method`.

    Raises:
        ConfigurationError: It is decorated, and its class is not; or it cannot be a method.
    """
    declaration = declaration_of(function)
    if declaration is None:
        return None
    if declaration.owner is None:
        plain: Any = _function(function)
        return function_spec(plain)
    return spec_of(declaration.owner).methods[declaration.attribute]


def bound_methods(instance: object) -> list[tuple[MethodSpec, Callable[..., Any]]]:
    """Return what a server registers for an instance: specs, and what to call for each.

    A method whose function does nothing but raise NotImplementedError, or is abstract, is
    left out: it is declared, and not implemented.

    Raises:
        ConfigurationError: It is no service, or a function does not fit its declaration.
    """
    if isinstance(instance, type):
        raise ConfigurationError(
            f"{instance.__name__} is a class; pass an instance of it: {instance.__name__}()"
        )
    cls = type(instance)
    if not (methods := spec_of(cls).methods):
        raise ConfigurationError(
            f"{cls.__name__} offers nothing: decorate its methods with @framerpc.method"
        )
    return [
        (spec, getattr(instance, attribute))
        for attribute, spec in methods.items()
        if not is_unimplemented(_function(inspect.getattr_static(cls, attribute)))
    ]


def _make_spec(cls: type) -> ServiceSpec:
    contract = next((base for base in cls.__mro__ if SERVICE_NAME in vars(base)), None)
    if contract is None:
        raise ConfigurationError(
            f"{cls.__name__} is not a service: decorate the class with @framerpc.service"
            + (", and its methods with @framerpc.method" if not _declared(cls) else "")
        )
    service_name: str = vars(contract)[SERVICE_NAME]
    declared = _declared(contract)
    for attribute, (home, _) in _declared(cls).items():
        if attribute not in declared or home is not declared[attribute][0]:
            raise ConfigurationError(
                f"{home.__name__}.{attribute} is decorated with @method, and its class is not: "
                f"decorate {home.__name__} with @framerpc.service, or leave @method to the "
                f"contract, {contract.__name__}"
            )
    methods: dict[str, MethodSpec] = {}
    names: dict[str, str] = {}
    for attribute, (home, member) in declared.items():
        spec = _make_method(cls, service_name, attribute, home, member)
        if spec.name in names:
            raise ConfigurationError(
                f"{cls.__name__} has two methods named {spec.name!r}: "
                f"{names[spec.name]} and {attribute}"
            )
        names[spec.name] = attribute
        methods[attribute] = spec
    doc = inspect.getdoc(cls) or ""
    return ServiceSpec(service_name, doc, MappingProxyType(methods), contract)


def _declared(cls: type) -> dict[str, tuple[type, Any]]:
    """Return the decorated members of a class and its bases, in the order of their writing.

    An attribute keeps the place of its first declaration, and the class and member of the last.
    """
    found: dict[str, tuple[type, Any]] = {}
    for base in reversed(cls.__mro__):
        for attribute, member in vars(base).items():
            if declaration_of(member) is not None:
                found[attribute] = base, member
            elif declaration_of(getattr(member, "fget", None)) is not None:
                raise ConfigurationError(
                    f"{base.__name__}.{attribute} is a property, which cannot be called; "
                    "drop @property, or @method"
                )
    return found


def _function(member: Any) -> Any:
    """Return the function inside a staticmethod, classmethod or bound method, or it itself."""
    return getattr(member, "__func__", member)


def _namespace(cls: type) -> dict[str, Any]:
    """Return the names that annotations inside a class may use besides those of its module."""
    return {**vars(cls), cls.__name__: cls}


def _make_method(
    cls: type, service_name: str, attribute: str, home: type, member: Any
) -> MethodSpec:
    """Make the spec of one method: from its declaration, and from the function that runs."""
    function = _function(member)
    declaration: MethodDeclaration = function.framerpc_method
    name = declaration.name or attribute
    label = f"{home.__name__}.{attribute}"
    if "/" in name:
        raise ConfigurationError(f"{label}: the name of a method in a service has no `/`: {name!r}")
    name = f"{service_name}/{name}"
    # Only the framework's own services may use its prefix.
    check_name(name, internal=home.__module__.partition(".")[0] == "framerpc")
    signature = read_signature(
        function, label, skip_first=not isinstance(member, staticmethod), namespace=_namespace(home)
    )
    run = resolve_run(declaration.run, signature, function, label)
    actual = inspect.getattr_static(cls, attribute)
    if _function(actual) is not function and not is_unimplemented(_function(actual)):
        run = check_implementation(
            _function(actual),
            f"{cls.__name__}.{attribute}",
            signature,
            declaration.run,
            skip_first=not isinstance(actual, staticmethod),
        )
    spec = MethodSpec(name, attribute, signature, run, declaration)
    spec.service_doc = inspect.getdoc(cls) or ""
    return spec
