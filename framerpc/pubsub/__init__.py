"""Topics: patterns, histories, positions, presence and the fan-out. Pure: no loop, no clock."""
