"""Which of several servers gets a call: decides, and never does I/O.

`balancer.Balancer` is the room's front: it knows the endpoints, what was observed of each,
and asks a picker. Time and chance are arguments, so every decision can be repeated.

Spec: protocol.md, "Several servers".
"""

from framerpc.balancing.balancer import Balancer
from framerpc.balancing.candidate import Candidate, Choice
from framerpc.balancing.endpoint import Endpoint
from framerpc.balancing.pickers import Picker

__all__ = ["Balancer", "Candidate", "Choice", "Endpoint", "Picker"]
