"""Where a worker process finds a method, and what it cannot find.

A worker gets a name and imports it. What has no such name is refused when it is registered, not
when it is called. This module knows neither processes nor pipes.

Spec: protocol.md, "Cancellation" and "Limits".
"""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any, cast

from framerpc.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from framerpc.contract.service import MethodSpec

__all__ = ["Target", "check_importable", "resolve"]


class Target:
    """Where a worker finds a method.

    Attributes:
        module: Name of the module.
        qualname: Name of the class, or of a bare function, in it.
        attribute: Name of the method; empty for a bare function.
    """

    __slots__ = ("attribute", "module", "qualname")

    def __init__(self, module: str, qualname: str, attribute: str) -> None:
        self.module = module
        self.qualname = qualname
        self.attribute = attribute

    def __repr__(self) -> str:
        dot = "." if self.attribute else ""
        return f"<Target {self.module}:{self.qualname}{dot}{self.attribute}>"


def check_importable(spec: MethodSpec, function: Callable[..., Any]) -> Target:
    """Return where a worker process finds a method.

    Args:
        spec: Its declaration.
        function: What was registered: bound to an instance, or bare.

    Raises:
        ConfigurationError: It cannot run in another process; the text says why.
    """
    problem = _unsuited(spec, function)
    owner = getattr(function, "__self__", None)
    if owner is None or inspect.ismodule(owner):
        found: Any = function
        attribute = ""
    else:
        found = cast("Any", owner if inspect.isclass(owner) else type(owner))
        attribute = spec.attribute
    module = getattr(found, "__module__", None) or ""
    qualname = getattr(found, "__qualname__", "")
    problem = problem or _unimportable(found, module, qualname)
    if problem:
        raise ConfigurationError(f'{spec.name} cannot have run="process": {problem}')
    return Target(module, qualname, attribute)


def resolve(found: Any, qualname: str) -> Any:
    """Return what a dotted name means inside a module; None if nothing."""
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


def _unsuited(spec: MethodSpec, function: Callable[..., Any]) -> str | None:
    if spec.streams_in or spec.streams_out:
        return "streams do not reach worker processes; leave `run` out"
    if inspect.iscoroutinefunction(function):
        return "a worker process has no event loop; make it a plain `def`"
    return None


def _unimportable(found: Any, module: str, qualname: str) -> str | None:
    """Say why a worker cannot import a class or a function; None if it probably can."""
    if not module or not qualname:
        return f"{found!r} has no name to import it by; wrap it in a function"
    if "<lambda>" in qualname:
        return "a lambda has no name to import it by; make it a function of a module"
    if "<locals>" in qualname:
        return f"{qualname} is defined inside a function; move it to the top level of its module"
    if module == "__main__" and not hasattr(sys.modules[module], "__file__"):
        return "the main module is no file that a worker could import; move it to a module"
    # A function that is being decorated is not yet in its module, so only classes can be tried.
    if inspect.isclass(found) and resolve(sys.modules.get(module), qualname) is not found:
        return f"{module}.{qualname} is not that class; give it its own name in its module"
    return None
