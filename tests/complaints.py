"""What Python may say on standard error of a program that is all right."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["SLOW_STEP"]

SLOW_STEP: Final = re.compile(r"^Executing <.* took \d+\.\d+ seconds\n", re.MULTILINE)
"""In its debug mode asyncio tells of each step that held the loop for 0.1 s. That is about the
speed of the machine, and of what a program itself computes (program 10 hashes 128 MiB in one
step; a first use loads modules)."""
