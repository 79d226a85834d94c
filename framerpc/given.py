"""What a user has given, checked where it was given: an option of the wrong kind names itself.

It knows kinds, and what a time is; what else a number may be is said by the options that hold it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

from framerpc.errors import ConfigurationError

__all__ = ["check", "check_callable", "check_each", "check_methods", "check_seconds"]


def check(name: str, value: object, kind: type | tuple[type, ...], wanted: str) -> None:
    """Refuse an option that is of another kind.

    Raises:
        ConfigurationError: It is; the text names the option, and what is wanted.
    """
    if not isinstance(value, kind):
        raise ConfigurationError(f"{name} must be {wanted}, got {value!r}")


def check_callable(name: str, value: object, wanted: str) -> None:
    """Refuse what cannot be called and is not None, without showing it: it may be a secret."""
    if value is not None and not callable(value):
        raise ConfigurationError(f"{name} must be {wanted}, got a {type(value).__name__}")


def check_each(name: str, values: object, kind: type, wanted: str) -> None:
    """Refuse what is no list of this kind. A text is none, nor what can be gone through only once."""
    if isinstance(values, str | bytes) or not isinstance(values, Sequence):
        raise ConfigurationError(f"{name} must be a list of {wanted}, got {values!r}")
    for value in cast("Sequence[object]", values):
        if not isinstance(value, kind):
            raise ConfigurationError(f"{name} must be a list of {wanted}; {value!r} is none")


def check_seconds(name: str, value: object) -> None:
    """Refuse what is no finite number of seconds, 0 or more."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= cast("float", value) < math.inf:
        raise ConfigurationError(f"{name} must be a number of seconds >= 0, got {value!r}")


def check_methods(name: str, value: object, protocol: type, wanted: str) -> None:
    """Refuse what has not all public methods of a protocol and is not None.

    What finds its attributes only when it is asked (`__getattr__`) is taken at its word.
    """
    if value is None or hasattr(type(value), "__getattr__"):
        return
    methods = [each for each in vars(protocol) if not each.startswith("_")]
    missing = [each for each in methods if not callable(getattr(value, each, None))]
    if missing:
        raise ConfigurationError(
            f"{name} must be {wanted}; {value!r} has no {', '.join(missing)}()"
        )
