"""Which resolver an address asks for, so that one can be named where only text can be written.

| address | resolver |
| --- | --- |
| `tcp://`, `tls://`, `unix://`, `memory://`, one or several | `StaticResolver` |
| `dns+tcp://name:port`, `dns+tls://name:port` | `DnsResolver` |
| `file:///path` | `FileResolver` |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from framerpc.errors import ConfigurationError
from framerpc.resolvers.dns import DnsResolver
from framerpc.resolvers.file import FileResolver
from framerpc.resolvers.static import StaticResolver

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from framerpc.resolvers.resolver import Resolver

__all__ = ["resolver_of"]

_ALONE: Final[Mapping[str, Callable[[str], Resolver]]] = {
    "dns+tcp": DnsResolver,
    "dns+tls": DnsResolver,
    "file": FileResolver,
}


def resolver_of(*urls: str) -> Resolver:
    """Return the resolver that these addresses ask for.

    Raises:
        ConfigurationError: One is impossible, or one that names a source does not stand alone.
    """
    sources = [url for url in urls if _scheme(url) in _ALONE]
    if not sources:
        return StaticResolver(*urls)
    if len(urls) > 1:
        raise ConfigurationError(
            f"{sources[0]!r} says where all endpoints are and must be the only address; "
            f"got {len(urls)}"
        )
    return _ALONE[_scheme(sources[0])](sources[0])


def _scheme(url: str) -> str:
    scheme, separator, _ = str(url).partition("://")  # users err: what is no text has none
    return scheme if separator else ""
