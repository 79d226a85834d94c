"""A fixed list of endpoints, as a user writes it: wrong ones are refused when it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from framerpc.balancing.endpoint import Endpoint
from framerpc.connection.addresses import parse_address
from framerpc.errors import ConfigurationError
from framerpc.resolvers.resolver import Resolution, Resolver

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ["StaticResolver", "checked_endpoint"]


class StaticResolver(Resolver):
    """A fixed list of endpoints.

    Args:
        endpoints: At least one: addresses such as "tcp://10.0.0.1:7000?weight=3", or endpoints.

    Raises:
        ConfigurationError: There is none, or one is impossible.
    """

    def __init__(self, *endpoints: str | Endpoint) -> None:
        if not endpoints:
            raise ConfigurationError('no address to connect to; pass one, "tcp://127.0.0.1:7000"')
        self._endpoints = tuple(
            each if isinstance(each, Endpoint) else checked_endpoint(each) for each in endpoints
        )

    def __repr__(self) -> str:
        return f"<StaticResolver {', '.join(map(str, self._endpoints))}>"

    @property
    def initial(self) -> tuple[Endpoint, ...]:
        """All of them."""
        return self._endpoints

    @property
    def fixed(self) -> bool:
        """Always true."""
        return True

    async def watch(self) -> AsyncGenerator[Resolution, None]:
        """Yield all of them, and end."""
        yield Resolution(self._endpoints)


def checked_endpoint(text: str) -> Endpoint:
    """Return the endpoint that `text` stands for, whose address can be dialled.

    Raises:
        ConfigurationError: It is no address, or has an unknown option or a bad weight.
    """
    parse_address(text)
    return Endpoint.parse(text)
