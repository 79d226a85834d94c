"""The methods that every server offers: `framerpc/health` and `framerpc/describe`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from framerpc.contract.service import function_spec
from framerpc.version import AGENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from framerpc.contract.service import MethodSpec
    from framerpc.server.server import Server

__all__ = ["builtin_methods"]


def builtin_methods(server: Server) -> list[tuple[MethodSpec, Callable[..., Any]]]:
    """Return what can be asked of any server, for this one."""

    async def health() -> dict[str, Any]:
        """Return {"status": "serving" or "draining"} and what the server counted."""
        status = "draining" if server.draining else "serving"
        return {"status": status, "agent": AGENT, **server.statistics()}

    async def description() -> dict[str, Any]:
        """Return the services and methods of this server, with signatures and docs."""
        from framerpc.contract.fingerprint import describe  # noqa: PLC0415 - seldom asked for

        return describe(server.specs())

    return [
        (function_spec(health, "framerpc/health", idempotent=True, internal=True), health),
        (
            function_spec(description, "framerpc/describe", idempotent=True, internal=True),
            description,
        ),
    ]
