"""Who may open a WebSocket: the subprotocol, and the pages that may connect.

A browser sends cookies and its user's network position along with whatever a foreign page asks
for, but it also says which page that is, in `Origin`. This module decides on these headers alone
and does no I/O. Who the user is, is decided later, by the token in HELLO, which no browser adds by
itself.

Spec: protocol.md, "WebSocket".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

from framerpc.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SUBPROTOCOL", "Door"]

SUBPROTOCOL: Final = "framerpc.v1"


class Door:
    """Decides about requests for a WebSocket.

    Args:
        origins: Pages that may connect besides those of the same host, as "https://example.org"
            or "https://example.org:8443"; "*" for all pages in the world.

    Raises:
        ConfigurationError: One of them is no origin.
    """

    def __init__(self, origins: Iterable[str] = ()) -> None:
        given = cast("object", origins)  # users err
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise ConfigurationError(f"origins is a list of texts, got {origins!r}")
        self._origins = frozenset(map(_checked, origins))

    def refusal(self, scope: Mapping[str, Any]) -> tuple[int, str] | None:
        """Return the HTTP status and the reason to refuse a request with, or None.

        Args:
            scope: The request, of the type "websocket" (ASGI).
        """
        if SUBPROTOCOL not in scope.get("subprotocols", ()):
            return 400, f"ask for the subprotocol {SUBPROTOCOL}"
        origins = _values(scope, b"origin")
        if not origins:  # no browser
            return None
        if len(origins) == 1 and self._admits(origins[0], _values(scope, b"host")):
            return None
        return 403, "this page may not connect here: its origin is not allowed"

    def _admits(self, origin: str, hosts: list[str]) -> bool:
        if "*" in self._origins or origin in self._origins:
            return True
        # Only the host is compared: behind a proxy that ends TLS, the scheme is not the page's.
        scheme, separator, place = origin.partition("://")
        return bool(separator) and scheme in _DEFAULT_PORTS and hosts == [place]


_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def _checked(origin: str) -> str:
    """Return an origin as browsers write it."""
    if origin == "*":
        return origin
    try:
        parts = urlsplit(origin)
        port = parts.port
    except (ValueError, AttributeError):  # a port that is none; something that is no text
        parts, port = urlsplit(""), None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or origin.count("/") != 2:  # noqa: PLR2004 - those of "://"
        raise ConfigurationError(
            f"{origin!r} is no origin; write https://example.org, or https://example.org:8443"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    usual = port is None or port == _DEFAULT_PORTS[parts.scheme]
    return f"{parts.scheme}://{host}" if usual else f"{parts.scheme}://{host}:{port}"


def _values(scope: Mapping[str, Any], name: bytes) -> list[str]:
    """Return the values of a header, in lower case: hosts and schemes have no other meaning."""
    return [
        value.decode("latin-1").strip().lower()
        for key, value in scope["headers"]
        if key.lower() == name
    ]
