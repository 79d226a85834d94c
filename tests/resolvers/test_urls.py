"""Which resolver an address asks for."""

from __future__ import annotations

import pytest

from framerpc import ConfigurationError
from framerpc.resolvers import DnsResolver, FileResolver, Resolver, StaticResolver
from framerpc.resolvers.urls import resolver_of


@pytest.mark.parametrize(
    ("urls", "kind"),
    [
        (["tcp://a:1", "tcp://b:1?weight=2"], StaticResolver),
        (["unix:///run/a.sock"], StaticResolver),
        (["dns+tcp://service.test:1"], DnsResolver),
        (["dns+tls://service.test:1?weight=2"], DnsResolver),
        (["file:///etc/app/endpoints"], FileResolver),
    ],
)
def test_schemes(urls: list[str], kind: type[Resolver]) -> None:
    """Each scheme has its resolver."""
    assert type(resolver_of(*urls)) is kind


def test_a_source_stands_alone() -> None:
    """A name in the DNS beside a fixed address would be two sets of endpoints."""
    with pytest.raises(ConfigurationError, match=r"'dns\+tcp://a:1' .* only address; got 2"):
        resolver_of("tcp://a:1", "dns+tcp://a:1")


@pytest.mark.parametrize("urls", [[], ["dns+unix:///a"], ["dns+tcp://a"], [7], ["file"]])
def test_impossible_addresses_are_refused(urls: list[str]) -> None:
    """As by the resolvers themselves."""
    with pytest.raises(ConfigurationError):
        resolver_of(*urls)
