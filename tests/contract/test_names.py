"""Tests of `framerpc.contract.names`."""

from __future__ import annotations

import pytest

from framerpc.contract.names import check_name
from framerpc.errors import ConfigurationError


@pytest.mark.parametrize("name", ["add", "Greeter/greet", "a.b-c_d/E9", "größe", "x" * 255])
def test_good_names_pass(name: str) -> None:
    """Letters of any script, digits, `_`, `.`, `-` and one `/` make a name."""
    check_name(name)


@pytest.mark.parametrize("name", ["", "/", "a/", "/a", "a/b/c", "a b", "a\n", "<lambda>", "a:b"])
def test_bad_names_are_refused(name: str) -> None:
    """Anything else is refused, and the text says how to mend it."""
    with pytest.raises(ConfigurationError, match=r"name=\.\.\."):
        check_name(name)


def test_length_is_counted_in_bytes() -> None:
    """128 letters of two bytes each are over 255 bytes."""
    with pytest.raises(ConfigurationError, match="255 bytes"):
        check_name("ü" * 128)


def test_prefix_of_the_framework_is_reserved() -> None:
    """Only the framework's own methods begin with `framerpc/`."""
    with pytest.raises(ConfigurationError, match="framework's own"):
        check_name("framerpc/health")
    check_name("framerpc/health", internal=True)
    check_name("framerpcs/health")
