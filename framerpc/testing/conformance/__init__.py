"""Does a server keep protocol.md? Bytes, good and bad, over real connections, and what it answers.

>>> results = await examine("tcp://127.0.0.1:7000")  # doctest: +SKIP
"""

from __future__ import annotations

from framerpc.testing.conformance.examination import Check, Outcome, Result, checks, examine

__all__ = ["Check", "Outcome", "Result", "checks", "examine"]
