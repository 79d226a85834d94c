"""What a method promises about being called again: which promises it can keep.

This module owns the rules for the options `once` and `resume`. It does not know who calls
again, nor when.

Spec: protocol.md, "Once" and "Resuming".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from framerpc.errors import ConfigurationError

if TYPE_CHECKING:
    from framerpc.contract.declaration import MethodDeclaration
    from framerpc.contract.signature import Signature

__all__ = ["check_promises"]


def check_promises(label: str, declaration: MethodDeclaration, signature: Signature) -> None:
    """Refuse a promise that a method of this shape cannot keep.

    Raises:
        ConfigurationError: `once` on a method with a stream; `resume` without a stream to resume,
            or without the parameter that says where to go on.
    """
    if declaration.once and (signature.streams_out or signature.stream is not None):
        raise ConfigurationError(
            f"{label} has a stream, so it cannot be `once`: that is for a single result, which "
            "can be kept and sent again"
        )
    name = declaration.resume
    if name is None:
        return
    if not signature.streams_out:
        raise ConfigurationError(f"{label} has no stream to resume; remove resume={name!r}")
    if signature.stream is not None:
        raise ConfigurationError(
            f"{label} cannot be resumed: the stream that it takes cannot be sent again"
        )
    found = next((each for each in signature.parameters if each.name == name), None)
    wrong = ""
    if found is None:
        wrong = f"it has no parameter {name!r}"
    elif found.kind != "named":
        wrong = f"{name} can be given by position; put it behind a `*`"
    elif found.annotation is not int or found.default != 0:
        wrong = f"{name} must be declared as `int = 0`, exactly"
    if wrong:
        raise ConfigurationError(
            f"{label} cannot be resumed: it needs a keyword parameter that says how many items to "
            f"leave out, as in `def {label.rpartition('.')[2]}(..., *, {name}: int = 0)`; {wrong}"
        )
