"""Contracts: decorated classes and functions → specs with typed encoding and decoding.

This room owns `@service`, `@method`, `@error`, and what can be said about a contract as data:
description, fingerprint, comparison. It knows nothing of connections, frames or event loops.
"""
