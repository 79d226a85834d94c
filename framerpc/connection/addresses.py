"""Addresses as users write them: `tcp://`, `tls://`, `unix://` and `memory://`.

Which options an address may have is known here; what they mean, and whether their values do,
only to those who use them (`balancing.endpoint` for the weight).

Spec: protocol.md, "Transports".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from framerpc.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["DIAL_OPTIONS", "Address", "parse_address"]

DIAL_OPTIONS: Final = frozenset({"weight"})
"""What may stand behind the "?" of an address to be dialled."""

_EXAMPLES: Final = (
    "tcp://127.0.0.1:7000, tls://example.org:7000, unix:///run/app.sock, memory://name"
)
_MAX_PORT: Final = 65_535
_MAX_UNIX_PATH: Final = 107
"""Bytes of a Unix socket's path: Linux' sockaddr_un has 108 with the terminating zero."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens, or a client dials.

    Attributes:
        scheme: "tcp", "tls", "unix" or "memory".
        host: Host name or IP address; empty for unix and memory.
        port: TCP port, 0 for any free one.
        path: Path of a Unix socket, or name of a memory address.
        options: What stands behind the "?": a weight.
        server_name: The name that the certificate must be for, where `host` is not it.
    """

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    server_name: str = ""

    def __str__(self) -> str:
        if self.scheme in {"tcp", "tls"}:
            host = f"[{self.host}]" if ":" in self.host else self.host
            return f"{self.scheme}://{host}:{self.port}"
        return f"{self.scheme}://{self.path}"


def parse_address(url: str, options: Collection[str] = DIAL_OPTIONS) -> Address:
    """Return the address that `url` stands for.

    Args:
        url: What a user wrote.
        options: The options that it may have: none for one to listen at.

    Raises:
        ConfigurationError: It is none of ours, or has an option that it may not have; the text
            says what it should look like.
    """
    if not isinstance(url, str):  # pyright: ignore[reportUnnecessaryIsInstance] - users err
        raise ConfigurationError(f"an address is a text such as {_EXAMPLES}; got {url!r}")
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in {"tcp", "tls", "unix", "memory"}:
        raise ConfigurationError(f"unknown address {url!r}; write one of {_EXAMPLES}")
    place, _, query = rest.partition("?")
    given = _options(url, query, options)
    if scheme in {"tcp", "tls"}:
        host, port = _host_and_port(url, scheme, place)
        return Address(scheme, host=host, port=port, options=given)
    if not place:
        raise ConfigurationError(f"{url!r} names no {'path' if scheme == 'unix' else 'place'}")
    if scheme == "unix" and len(place.encode()) > _MAX_UNIX_PATH:
        raise ConfigurationError(
            f"the socket path in {url!r} has {len(place.encode())} bytes, the system allows "
            f"{_MAX_UNIX_PATH}"
        )
    return Address(scheme, path=place, options=given)


def _host_and_port(url: str, scheme: str, place: str) -> tuple[str, int]:
    host, colon, digits = place.removesuffix("/").rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    name = host[1:-1] if bracketed else host
    plain = bracketed or ":" not in name  # an IPv6 address needs its brackets
    if not (colon and name and plain and digits.isascii() and digits.isdigit()) or "/" in name:
        raise ConfigurationError(f"bad address {url!r}; write {scheme}://host:port")
    port = int(digits)
    if port > _MAX_PORT:
        raise ConfigurationError(f"bad address {url!r}: a port is at most {_MAX_PORT}")
    return name, port


def _options(url: str, query: str, allowed: Collection[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for pair in query.split("&") if query else ():
        name, _, value = pair.partition("=")
        if name not in allowed:
            choice = ", ".join(f"?{each}=" for each in sorted(allowed)) or "none here"
            raise ConfigurationError(
                f"{url!r} has the option {name!r}, which it may not have; allowed: {choice}"
            )
        given[name] = value
    return given
