"""What `@service` and `@method` write down at import time: names and options, nothing else.

This module owns the decorators and where their options are kept: on the function or the class
itself, which is returned as it came, so that type checkers and callers see no difference.
Reading signatures is left for later, when somebody asks for the spec.

Spec: protocol.md, "Methods".
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeVar, overload

from framerpc.concurrency import check_concurrency
from framerpc.contract.names import check_name
from framerpc.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from framerpc.concurrency import ConcurrencyLimit

__all__ = [
    "SERVICE_NAME",
    "MethodDeclaration",
    "RunOption",
    "declaration_of",
    "method",
    "service",
]

RunOption: TypeAlias = Literal["loop", "thread", "process"] | None

_ATTRIBUTE: Final = "framerpc_method"

SERVICE_NAME: Final = "framerpc_service"
"""The attribute of a service class that holds its name."""

C = TypeVar("C", bound=type)
F = TypeVar("F")


@dataclass(slots=True)
class MethodDeclaration:
    """The options of one method, as written.

    Attributes:
        name: Name on the wire after the service's, if it is not the function's own.
        idempotent: It may be sent again without harm.
        once: It is executed at most once, also when it is sent again.
        resume: The parameter that says how many items of its stream to leave out.
        run: Where it runs, if that was said.
        owner: The service class that it is in; filled in by `@service`.
        attribute: Its name there; filled in by `@service`.
        max_concurrency: How many calls of it run at once, or None.
    """

    name: str | None = None
    idempotent: bool = False
    once: bool = False
    run: RunOption = None
    resume: str | None = None
    owner: type | None = None
    attribute: str = ""
    max_concurrency: ConcurrencyLimit | None = None


@overload
def method(function: F, /) -> F: ...


@overload
def method(
    *,
    name: str | None = None,
    idempotent: bool = False,
    once: bool = False,
    run: RunOption = None,
    resume: str | None = None,
    max_concurrency: ConcurrencyLimit | None = None,
) -> Callable[[F], F]: ...


def method(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    idempotent: bool = False,
    once: bool = False,
    run: RunOption = None,
    resume: str | None = None,
    max_concurrency: ConcurrencyLimit | None = None,
) -> Any:
    """Declare that a function of a service may be called from outside.

    Args:
        function: The function, when it is used without parentheses.
        name: Name on the wire, if it should not be the function's own.
        idempotent: Calling it twice does no harm, so it may be sent again when it is unknown
            whether it was executed.
        once: It is executed at most once, and yet may be sent again after a lost connection: the
            server knows the number of the call, and answers with what its one run ended with.
            Not for methods with streams.
        run: "loop", "thread" or "process". An `async def` runs on the event loop, a `def` in a
            worker thread unless this says otherwise.
        resume: For a result that is a stream: the name of an `int` parameter, by keyword only and
            with the default 0, that says how many items to leave out. With it a client goes on
            with the stream after a lost connection.
        max_concurrency: How many calls of it a server runs at once, or an `AdaptiveConcurrency`.
            A call beyond that gets `ResourceExhausted` at once. No part of the contract.

    Raises:
        ConfigurationError: It was put on something that is not a function, or the limit is none.
    """
    check_concurrency(max_concurrency)
    declaration = MethodDeclaration(
        name, idempotent, once, run, resume, max_concurrency=max_concurrency
    )
    if function is None:
        return functools.partial(_declare, declaration)
    return _declare(declaration, function)


def _declare(declaration: MethodDeclaration, function: Any) -> Any:
    if isinstance(function, (staticmethod, classmethod)):
        kind = "staticmethod" if isinstance(function, staticmethod) else "classmethod"
        raise ConfigurationError(
            f"@method is above @{kind} on {function.__name__}; swap the two lines"
        )
    if isinstance(function, (property, type)) or not callable(function):
        raise ConfigurationError(
            f"@method belongs on a function, not on a {type(function).__name__}"
            + ("; write @method(...) with keyword arguments" if isinstance(function, str) else "")
        )
    try:
        setattr(function, _ATTRIBUTE, declaration)
    except AttributeError as exc:
        raise ConfigurationError(
            f"@method cannot mark {function!r}; wrap it in a function of your own"
        ) from exc
    return function


def declaration_of(function: object) -> MethodDeclaration | None:
    """Return what `@method` wrote down for a function (or a bound method of it), or None."""
    found = getattr(getattr(function, "__func__", function), _ATTRIBUTE, None)
    return found if isinstance(found, MethodDeclaration) else None


@overload
def service(cls: C, /) -> C: ...


@overload
def service(*, name: str | None = None) -> Callable[[C], C]: ...


def service(cls: Any = None, /, *, name: str | None = None) -> Any:
    """Declare a class whose decorated functions may be called from outside.

    Args:
        cls: The class, when it is used without parentheses.
        name: Name on the wire, if it should not be that of the class.

    Raises:
        ConfigurationError: It was put on something that is not a class.
    """

    def decorate(cls: Any) -> Any:
        if not isinstance(cls, type):
            raise ConfigurationError(
                f"@service belongs on a class, not on a {type(cls).__name__}; "
                "plain functions are registered with @server.method"
            )
        check_name(f"{name or cls.__name__}/x", internal=True)
        setattr(cls, SERVICE_NAME, name or cls.__name__)
        for attribute, member in vars(cls).items():
            declaration = declaration_of(member)
            if declaration is not None and declaration.owner is None:
                declaration.owner, declaration.attribute = cls, attribute
        return cls

    return decorate if cls is None else decorate(cls)
