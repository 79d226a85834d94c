"""The tables of states."""

from __future__ import annotations

import pytest

from framerpc.protocol.frames import Kind
from framerpc.protocol.states import (
    CALLEE,
    CALLER,
    CONNECTION,
    CONSUMER,
    PRODUCER,
    CallState,
    ConnectionState,
    Flow,
    Role,
)


def test_every_state_has_a_row() -> None:
    """No state was forgotten in any table."""
    assert set(CALLER) == set(CALLEE) == set(CallState)
    assert set(CONSUMER) == set(PRODUCER) == set(Flow)
    for role in Role:
        assert set(CONNECTION[role]) == set(ConnectionState)


@pytest.mark.parametrize("table", [CALLER, CALLEE])
def test_a_frame_for_an_idle_call_never_makes_it_alive_by_itself(table: object) -> None:
    """Only a REQUEST opens a call."""
    rows = CALLER if table is CALLER else CALLEE
    opening = {kind for kind, step in rows[CallState.IDLE].items() if step.state != CallState.IDLE}
    assert opening == ({Kind.REQUEST} if table is CALLEE else set())


def test_nothing_leaves_closed() -> None:
    """A closed connection stays closed."""
    for role in Role:
        assert CONNECTION[role][ConnectionState.CLOSED] == {}
