"""The function that runs, where it is not the one that declares.

This module owns two questions about a function in a subclass of a contract: is there an
implementation at all, and does it fit the declaration? It reads code objects and signatures,
and never calls anything.

Spec: protocol.md, "Methods".
"""

from __future__ import annotations

import dis
import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from framerpc.contract.method import resolve_run
from framerpc.contract.signature import is_asynchronous, is_stream
from framerpc.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from framerpc.contract.declaration import RunOption
    from framerpc.contract.method import Run
    from framerpc.contract.signature import Signature

__all__ = ["check_implementation", "is_unimplemented"]

_HARMLESS: Final = (
    "CACHE CALL CALL_INTRINSIC_1 COPY_FREE_VARS END_FOR GEN_START LOAD_CONST LOAD_GLOBAL NOP "
    "NOT_TAKEN POP_TOP PRECALL PUSH_NULL RAISE_VARARGS RERAISE RESUME RETURN_GENERATOR"
)
_HARMLESS_OPERATIONS: Final = frozenset(_HARMLESS.split())
"""What the compiler makes of `raise NotImplementedError("text")` in any kind of function."""


def is_unimplemented(function: Any) -> bool:
    """Tell whether a function is only a declaration: abstract, or `raise NotImplementedError`.

    Decided from its code, without calling it: the only name it mentions is NotImplementedError,
    and it does nothing but raise it, with a constant text or without. Statements after the
    raise do not count, so an unreachable `yield` may make it a generator.
    """
    if getattr(function, "__isabstractmethod__", False):
        return True
    code = getattr(function, "__code__", None)
    if code is None or code.co_names != ("NotImplementedError",):
        return False
    return all(each.opname in _HARMLESS_OPERATIONS for each in dis.get_instructions(code))


def check_implementation(
    function: Any,
    label: str,
    contract: Signature,
    wanted: RunOption,
    *,
    skip_first: bool,
) -> Run:
    """Make sure that a function can stand for a declaration, and say where it runs.

    Args:
        function: What runs.
        label: What messages call it.
        contract: The declaration.
        wanted: Where the contract says it should run, if it does.
        skip_first: Its first parameter is `self` or `cls`.

    Raises:
        ConfigurationError: It is a stream and the contract says value, or the other way round;
            or it does not take what the contract promises.
    """
    if not callable(function):
        raise ConfigurationError(f"{label} is declared as a method, and is not a function here")
    streams = is_stream(function, label)
    if streams != contract.streams_out:
        said, is_ = ("a stream", "is not") if contract.streams_out else ("one value", "is a stream")
        raise ConfigurationError(
            f"the contract of {label} declares {said}, and the implementation {is_}"
            + ("; make it a generator, or annotate AsyncGenerator" if not streams else "")
        )
    _check_parameters(function, label, contract, skip_first=skip_first)
    asynchronous = is_asynchronous(function) or (
        streams and not inspect.isgeneratorfunction(function) and contract.asynchronous
    )
    if asynchronous and wanted in ("thread", "process"):
        raise ConfigurationError(
            f"{label} is asynchronous, and its contract says run={wanted!r}; make it a plain def"
        )
    actual = replace(contract, asynchronous=asynchronous)
    return resolve_run(wanted, actual, function, label)


def _check_parameters(
    function: Callable[..., Any], label: str, contract: Signature, *, skip_first: bool
) -> None:
    """Bind all ways of calling that the contract allows, without calling."""
    signature = inspect.signature(function)
    first: tuple[None, ...] = (None,) if skip_first else ()
    by_position = [each for each in contract.parameters if each.kind != "named"]
    everything = [each for each in contract.parameters if each.kind == "named"]
    least = [each for each in everything if each.required]
    either = [each for each in contract.parameters if each.kind != "positional"]
    fixed = [each for each in by_position if each.kind == "positional"]
    ways = (
        (by_position, everything),
        ([each for each in by_position if each.required], least),
        (fixed, either),
    )
    for positional, named in ways:
        try:
            signature.bind(*first, *(None for _ in positional), **{x.name: None for x in named})
        except TypeError as exc:
            raise ConfigurationError(
                f"{label} cannot be called as its contract {contract.text} promises: {exc}"
            ) from exc
