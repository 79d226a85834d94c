"""Many clients and servers in virtual time under seeded faults, and a checker of what they promise.

`scenario` makes a plan of a seed, `world` carries it out, `history` is what it saw, and `checker`
says which promises the history breaks. `python -m tests.simulation --seed N -v` replays one.
"""
