"""Contracts: decorated classes and functions → specs with typed encoding and decoding.

This room owns `@service`, `@method`, `@error`, and what can be said about a contract as data:
description, fingerprint, comparison. It knows nothing of connections, frames or event loops.
"""

from framerpc.contract.declared import error
from framerpc.contract.method import MethodSpec, function_spec
from framerpc.contract.service import (
    ServiceSpec,
    bound_methods,
    method,
    method_spec_of,
    service,
    spec_of,
)

__all__ = [
    "MethodSpec",
    "ServiceSpec",
    "bound_methods",
    "error",
    "function_spec",
    "method",
    "method_spec_of",
    "service",
    "spec_of",
]
