"""protocol.md, "Several servers" and "Transports", have the numbers of the code."""

from __future__ import annotations

import inspect

from framerpc.connection import eyeballs
from framerpc.resolvers import DnsResolver, FileResolver, file, polling
from framerpc.resolvers.urls import resolver_of
from tests.protocol import spec

SOURCES = spec.tables("Several servers")[0]
TEXT = spec.section("Several servers")


def default(kind: type[polling.PollingResolver], name: str) -> float:
    """Return the default of an option."""
    value = inspect.signature(kind).parameters[name].default
    assert isinstance(value, float)
    return value


def test_sources_and_their_intervals() -> None:
    """Each row with a scheme of its own makes the resolver that looks so often."""
    looked_at = {row["source"].split("`")[0]: row["looked at"] for row in SOURCES}
    assert looked_at == {
        "addresses": "once",
        "dns+tcp://name:port": f"every {default(DnsResolver, 'interval'):.0f} s",
        "file:///path": f"every {default(FileResolver, 'interval'):.0f} s",
    }
    assert type(resolver_of("dns+tcp://name:1")) is DnsResolver
    assert type(resolver_of("file:///path")) is FileResolver


def test_numbers_in_the_text() -> None:
    """Timeouts, pauses and sizes are those of the code."""
    for kind in (DnsResolver, FileResolver):
        assert f"within {default(kind, 'timeout'):.0f} s" in TEXT
    pauses = (default(DnsResolver, "pause"), default(FileResolver, "pause"))
    assert "after {:.0f} s (a file: {} s)".format(*pauses) in TEXT
    assert f"up to {polling._LONGEST_PAUSE:.0f} s" in TEXT
    assert f"at most {file._MAX_FILE:,} bytes" in TEXT
    assert f"still for {file._SETTLE} s" in TEXT


def test_the_delay_of_happy_eyeballs() -> None:
    """It is RFC 8305's."""
    assert f"{eyeballs.DELAY} s apart" in spec.section("Transports")
