"""The numbers of the protocol."""

from __future__ import annotations

from framerpc.protocol.kinds import EXECUTED, KNOWN_FLAGS, Flag


def test_executed_is_numbered_by_its_place() -> None:
    """0 is no, 1 is maybe, 2 is yes."""
    assert EXECUTED == ("no", "maybe", "yes")


def test_known_flags_are_all_flags() -> None:
    """A flag that has a name is one that a callee may know."""
    assert Flag(KNOWN_FLAGS) == Flag.WANTS_STREAM | Flag.SENDS_STREAM
