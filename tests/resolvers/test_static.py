"""Static lists: what is written is what there is."""

from __future__ import annotations

import pytest

from framerpc import ConfigurationError
from framerpc.balancing import Endpoint
from framerpc.resolvers import Resolution, StaticResolver

A, B = Endpoint("tcp://a:1", 3), Endpoint("memory://b")


async def test_a_list_is_known_at_once_and_for_ever() -> None:
    """With its weights, and without anything to watch."""
    resolver = StaticResolver("tcp://a:1?weight=3", B)
    assert resolver.initial == (A, B)
    assert resolver.fixed
    assert [each async for each in resolver.watch()] == [Resolution((A, B))]


@pytest.mark.parametrize("url", ["tcp://a", "http://a:1", "tcp://a:1?weight=0", "tcp://a:1?w=1", 7])
def test_impossible_addresses_are_refused(url: str) -> None:
    """When the resolver is made."""
    with pytest.raises(ConfigurationError):
        StaticResolver("tcp://a:1", url)


def test_an_empty_list_is_refused() -> None:
    """There would be nobody to call."""
    with pytest.raises(ConfigurationError, match="no address"):
        StaticResolver()


def test_its_text_names_all() -> None:
    """For logs."""
    assert repr(StaticResolver(A, B)) == "<StaticResolver tcp://a:1?weight=3, memory://b>"


async def test_refreshing_it_is_harmless() -> None:
    """There is nothing to look at."""
    resolver = StaticResolver(A)
    resolver.refresh()
    assert resolver.initial == (A,)
