"""The test kit: a virtual clock, a network with faults, a peer played by hand.

For tests of programs that use framerpc, and for framerpc's own. The pytest fixtures stand in
`framerpc.testing.plugin`, which is loaded by pytest alone.
"""

from framerpc.testing.clock import Deadlock, Unhandled, VirtualClockLoop, run, virtual_time
from framerpc.testing.faults import Direction, Faults
from framerpc.testing.faulty import Conditions
from framerpc.testing.network import LiveLink, NamedLink, Network
from framerpc.testing.peer import ScriptedPeer

__all__ = [
    "Conditions",
    "Deadlock",
    "Direction",
    "Faults",
    "LiveLink",
    "NamedLink",
    "Network",
    "ScriptedPeer",
    "Unhandled",
    "VirtualClockLoop",
    "run",
    "virtual_time",
]
