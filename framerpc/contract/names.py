"""What a method or an error may be called on the wire.

Spec: protocol.md, "Methods" and "Limits".
"""

from __future__ import annotations

import re
from typing import Final

from framerpc.errors import ConfigurationError

__all__ = ["RESERVED_PREFIX", "check_name"]

RESERVED_PREFIX: Final = "framerpc/"
"""Names of the framework's own methods begin with it."""

_NAME: Final = re.compile(r"[\w.-]+(?:/[\w.-]+)?")
_LONGEST: Final = 255  # bytes of UTF-8


def check_name(name: str, *, internal: bool = False) -> None:
    """Make sure that a method may have this name on the wire.

    Args:
        name: The whole name, "Service/method" or "function".
        internal: It may be one of the framework's own.

    Raises:
        ConfigurationError: It may not.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} cannot be a name: it takes letters, digits, `_`, `.`, `-` and one `/`; "
            "give another with name=..."
        )
    if len(name.encode()) > _LONGEST:
        raise ConfigurationError(
            f"a name takes at most {_LONGEST} bytes, and {name[:40]!r}… is longer; "
            "give another with name=..."
        )
    if name.startswith(RESERVED_PREFIX) and not internal:
        raise ConfigurationError(
            f"{name!r}: names that begin with {RESERVED_PREFIX!r} are the framework's own; "
            "give another with name=..."
        )
