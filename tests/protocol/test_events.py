"""What a Wire reports besides frames."""

from __future__ import annotations

from framerpc.errors import RemoteProtocolError, Status
from framerpc.protocol.events import Refused, Violation
from framerpc.protocol.frames import Response


def test_events_show_what_they_are_about() -> None:
    """A refused body and a violation can be read in a log."""
    refused = Refused(Response(1, 70_000), 70_000, 1000, Status.MESSAGE_TOO_LARGE)
    assert "Response(id=1, body=70000)" in repr(refused)
    assert "no bytes" in repr(Violation(RemoteProtocolError("a frame of no bytes")))
