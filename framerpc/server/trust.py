"""Who may see tracebacks.

A rule that fails gives nothing away: what cannot be found out is taken for a no.

Spec: protocol.md, "Errors".
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from framerpc.call import CallContext

__all__ = ["trusting"]

_logger: Final = logging.getLogger("framerpc.server")


def trusting(trusted: bool | Callable[[CallContext], bool]) -> Callable[[CallContext], bool]:  # noqa: FBT001 - as the option has it
    """Return what says of a caller whether it may see tracebacks."""

    def trusts(context: CallContext) -> bool:
        if isinstance(trusted, bool):
            return trusted
        try:
            return trusted(context)
        except Exception:
            _logger.exception("! trusted() failed for %r", context)
            return False

    return trusts
