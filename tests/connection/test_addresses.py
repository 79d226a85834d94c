"""Addresses: what is one, and which options it may have."""

from __future__ import annotations

import pytest

import framerpc
from framerpc import ConfigurationError
from framerpc.connection.addresses import Address, parse_address
from tests.services import Work


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("tcp://h:1", Address("tcp", host="h", port=1)),
        ("tls://[::1]:65535", Address("tls", host="::1", port=65_535)),
        ("unix:///a/b", Address("unix", path="/a/b")),
        ("memory://m", Address("memory", path="m")),
        ("tcp://h:1?weight=3", Address("tcp", host="h", port=1, options={"weight": "3"})),
        ("unix:///a?weight=3", Address("unix", path="/a", options={"weight": "3"})),
        ("memory://m?", Address("memory", path="m")),
    ],
)
def test_addresses_to_dial(url: str, address: Address) -> None:
    """A weight may stand behind any of them."""
    assert parse_address(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "tcp://h:1?wait=3",
        "tcp://h:1?weight=1&x",
        "unix:///a?Weight=3",
        "memory://m?&",
        "tcp://h:1?=1",
    ],
)
def test_unknown_options_are_refused(url: str) -> None:
    """With the address, the option, and those that there are."""
    with pytest.raises(ConfigurationError, match=r"has the option '.*', .*allowed: \?weight="):
        parse_address(url)


def test_an_address_to_listen_at_has_no_options() -> None:
    """The text says that there are none."""
    with pytest.raises(ConfigurationError, match=r"'weight', which it may not have.*none here"):
        parse_address("tcp://h:1?weight=3", options=())


async def test_a_server_refuses_a_weight() -> None:
    """Before it has done anything."""
    server = framerpc.Server(Work())
    with pytest.raises(ConfigurationError, match="weight"):
        async with server.listen("tcp://127.0.0.1:0?weight=3"):
            pass
