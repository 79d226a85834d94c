"""Endpoints: how users write them."""

from __future__ import annotations

import pytest

from framerpc import ConfigurationError
from framerpc.balancing.endpoint import MAX_WEIGHT, Endpoint


@pytest.mark.parametrize(
    ("text", "url", "weight"),
    [
        ("tcp://10.0.0.1:7000", "tcp://10.0.0.1:7000", 1),
        ("tcp://[::1]:7000?weight=3", "tcp://[::1]:7000", 3),
        ("unix:///run/app.sock?weight=65535", "unix:///run/app.sock", MAX_WEIGHT),
        ("memory://a?", "memory://a", 1),
    ],
)
def test_parsing(text: str, url: str, weight: int) -> None:
    """The address stays as it was written, without its options."""
    assert Endpoint.parse(text) == Endpoint(url, weight)


@pytest.mark.parametrize("weight", ["0", "65536", "-1", "1.5", "", "x", "\u0661", "9" * 5000])
def test_bad_weights_are_refused(weight: str) -> None:
    """A weight is a whole number from 1 to 65,535."""
    with pytest.raises(ConfigurationError, match="weight"):
        Endpoint.parse(f"tcp://a:1?weight={weight}")


@pytest.mark.parametrize("weight", [True, 1.0, "1", None])
def test_a_weight_is_an_int(weight: object) -> None:
    """Nothing else is taken for one."""
    with pytest.raises(ConfigurationError, match="whole number"):
        Endpoint("tcp://a:1", weight)  # type: ignore[arg-type]


def test_unknown_options_are_named() -> None:
    """A mistyped option is an error that names it."""
    with pytest.raises(ConfigurationError, match="'wieght'"):
        Endpoint.parse("tcp://a:1?wieght=3")


def test_endpoints_can_be_members_of_sets() -> None:
    """Equal endpoints have equal hashes, with whatever attributes."""
    one = Endpoint("tcp://a:1", 2, {"zone": "x"})
    assert {one, Endpoint("tcp://a:1", 2, {"zone": "x"})} == {one}
    assert one != Endpoint("tcp://a:1", 2, {"zone": "y"})


def test_an_endpoint_reads_as_it_was_written() -> None:
    """Its text can be parsed again."""
    for text in ("tcp://a:1", "tcp://a:1?weight=3"):
        assert str(Endpoint.parse(text)) == text
