"""Plain values to msgpack and back."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framerpc.codecs import packb, unpackb
from framerpc.errors import RemoteProtocolError

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


@given(PLAIN)
def test_plain_values_come_back(value: object) -> None:
    """What was packed is what is unpacked."""
    assert unpackb(packb(value)) == value


@given(st.binary(max_size=100))
def test_any_bytes_are_a_value_or_a_remote_error(data: bytes) -> None:
    """No other exception comes out."""
    with contextlib.suppress(RemoteProtocolError):
        unpackb(data)


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\xc0\xc0", b"\x91", b"\x91" * 5000, b"\xa1\xff"])
def test_what_is_no_msgpack_is_refused(data: bytes) -> None:
    """Empty, reserved, trailing, truncated, too deep, not UTF-8."""
    with pytest.raises(RemoteProtocolError):
        unpackb(data)
