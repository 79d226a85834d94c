"""Many clients and servers in virtual time under seeded faults, and a checker of what they promise.

Clients call, publish and read; the promises are P1 to P6: `checker` has those about calls, `delivery`
those about messages (P3), `states` those about what clients say of themselves (P4).

`scenario` makes a plan of a seed, `world` carries it out, `history` is what it saw, and `checker`
says which promises the history breaks. `python -m tests.simulation --seed N -v` replays one.
"""
