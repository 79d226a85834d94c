"""A name in the DNS: every address that it has is an endpoint.

The name is looked up again every `interval`, and when a connection is lost, off the loop and
within a deadline. A failure, an unknown name and a server that does not answer leave the last
good addresses in use (survival.md: DNS fails, changes, is slow).

The system's resolver does not tell how long an answer may be kept, hence the interval. Both
families are asked for, as far as this machine has addresses of them.
"""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from typing import TYPE_CHECKING, Final, TypeAlias

from framerpc.balancing.endpoint import Endpoint
from framerpc.connection.addresses import parse_address
from framerpc.errors import ConfigurationError, ConnectionFailed
from framerpc.resolvers.polling import PollingResolver
from framerpc.resolvers.static import checked_endpoint

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    Lookup: TypeAlias = Callable[[str, int], Awaitable[Iterable[str]]]

__all__ = ["DnsResolver", "addresses_of"]

_PREFIX: Final = "dns+"


async def addresses_of(host: str, port: int) -> list[str]:
    """Return the IP addresses of a name, as the system's resolver orders them.

    Cancelling it stops waiting; a thread may go on until the system gives up.

    Raises:
        OSError: There is none, or nobody could be asked.
        UnicodeError: It can be no name: a part of it is empty, or too long.
    """
    loop = asyncio.get_running_loop()
    # ADDRCONFIG: no IPv6 addresses on a machine that has none itself.
    flags = socket.AI_ADDRCONFIG
    infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [str(info[4][0]) for info in infos]


class DnsResolver(PollingResolver):
    """The addresses of a name, each with the port and the weight of the address given.

    Args:
        url: "tcp://name:port" or "tls://name:port"; "dns+tcp://" and "dns+tls://" mean the same.
            The certificate of a `tls://` endpoint must be for the name.
        interval: Seconds between two lookups.
        timeout: Seconds after which a lookup is given up as failed; if it succeeds later, that
            counts. 10 s is a little more than two tries of a usual system.
        pause: Seconds between two lookups at least, whoever asks.
        lookup: Returns the IP addresses of a name, given the port as well; raises `OSError`, or
            `UnicodeError` for what can be no name.

    Raises:
        ConfigurationError: The address is impossible.
    """

    def __init__(
        self,
        url: str,
        *,
        interval: float = 30.0,
        timeout: float = 10.0,
        pause: float = 1.0,
        lookup: Lookup = addresses_of,
    ) -> None:
        endpoint = checked_endpoint(url.removeprefix(_PREFIX))
        super().__init__(endpoint.url, interval=interval, timeout=timeout, pause=pause)
        self._weight = endpoint.weight
        self._address = parse_address(endpoint.url)
        self._lookup = lookup
        if self._address.scheme not in {"tcp", "tls"}:
            raise ConfigurationError(f"{url!r} has no name to look up; write dns+tcp://name:port")

    async def look(self) -> tuple[Endpoint, ...]:
        """Look the name up."""
        try:
            found = await self._lookup(self._address.host, self._address.port)
        except (OSError, UnicodeError) as exc:  # UnicodeError: it cannot be a name at all
            reason = getattr(exc, "strerror", None) or exc
            cause = f"the name does not resolve: {reason}"
            raise ConnectionFailed(self.source, 1, cause) from exc
        # In an order of its own: resolvers rotate theirs, which is no change.
        return tuple(map(self._endpoint, sorted(set(found))))

    def _endpoint(self, host: str) -> Endpoint:
        address = dataclasses.replace(self._address, host=host)
        attributes = {"server_name": self._address.host} if address.scheme == "tls" else {}
        return Endpoint(str(address), self._weight, attributes)
