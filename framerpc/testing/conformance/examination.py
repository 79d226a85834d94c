"""Checks by number, and running them: each on its own connection, beside one that must not notice.

Spec: protocol.md, "Conformance".
"""

from __future__ import annotations

import asyncio
import enum
import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from framerpc.testing.conformance.probe import CannotTell, Probe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

__all__ = ["Check", "Outcome", "Result", "check", "checks", "examine"]

Trial: TypeAlias = "Callable[[Probe], Awaitable[None]]"


class Outcome(enum.Enum):
    """What became of a check."""

    HOLDS = "holds"
    FAILS = "fails"
    UNCHECKED = "could not be checked"


@dataclass(frozen=True, slots=True)
class Check:
    """Something that every server does.

    Attributes:
        requirement: Its number in protocol.md, such as "R-FRAME-2".
        claim: A sentence that is true of a server that keeps it.
        trial: Tries it.
        slow: It waits for a timeout of the server's.
    """

    requirement: str
    claim: str
    trial: Trial
    slow: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What one check found.

    Attributes:
        check: Which.
        outcome: Whether it holds.
        reason: What the server did instead, or why it could not be checked.
    """

    check: Check
    outcome: Outcome
    reason: str = ""


_CHECKS: list[Check] = []


def check(requirement: str, claim: str, *, slow: bool = False) -> Callable[[Trial], Trial]:
    """Register a check; use it as a decorator."""

    def register(trial: Trial) -> Trial:
        _CHECKS.append(Check(requirement, claim, trial, slow))
        return trial

    return register


def checks() -> list[Check]:
    """Return all checks, in the order in which they are made."""
    for module in ("basics", "calls"):  # they register
        importlib.import_module(f"framerpc.testing.conformance.{module}")
    return list(_CHECKS)


async def examine(
    url: str, *, token: str | None = None, timeout: float = 5.0, slow: bool = False
) -> AsyncIterator[Result]:
    """Try a server, check by check; yields each result as it is found.

    Args:
        url: `tcp://host:port` or `unix:///path`.
        token: What the server wants to see.
        timeout: Seconds that the server may take for an answer.
        slow: Also wait for the server's own timeouts, up to a minute each.

    Raises:
        OSError: The server cannot be reached.
        AssertionError: It does not welcome a client that keeps all rules, so nothing can be said.
    """
    async with Probe(url, token) as witness:
        async with asyncio.timeout(timeout):
            await witness.enter()
        for each in checks():
            if each.slow and not slow:
                yield Result(each, Outcome.UNCHECKED, "it would take a timeout of the server's")
            else:
                yield await _try(each, url, token, 60.0 if each.slow else timeout)
        yield await _try_witness(witness, timeout)


async def _try(each: Check, url: str, token: str | None, timeout: float) -> Result:
    try:
        async with asyncio.timeout(timeout), Probe(url, token) as probe:
            await each.trial(probe)
    except CannotTell as exc:
        return Result(each, Outcome.UNCHECKED, str(exc))
    except AssertionError as exc:
        return Result(each, Outcome.FAILS, str(exc))
    except TimeoutError:
        return Result(each, Outcome.FAILS, f"nothing happened within {timeout:.3g} s")
    except (EOFError, OSError) as exc:
        return Result(each, Outcome.FAILS, f"the connection ended: {type(exc).__name__}")
    return Result(each, Outcome.HOLDS)


async def _try_witness(witness: Probe, timeout: float) -> Result:
    """See that the connection that kept all rules is as it was."""

    async def lives(_probe: Probe) -> None:
        async with asyncio.timeout(timeout):
            await witness.lives()

    claim = "violations on other connections do not touch one that keeps the rules"
    each = Check("R-VIOLATION-2", claim, lives)
    try:
        await lives(witness)
    except (AssertionError, EOFError, OSError) as exc:  # TimeoutError is an OSError
        return Result(each, Outcome.FAILS, str(exc) or f"no answer within {timeout:.3g} s")
    return Result(each, Outcome.HOLDS)
