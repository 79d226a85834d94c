"""How the rules of a checker are tested: each refuses the histories that were spoilt for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.simulation.checker import check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tests.simulation.history import History

__all__ = ["complaints", "each_of"]


def each_of(wrong: Mapping[str, Iterable[Callable[[History], None]]]) -> pytest.MarkDecorator:
    """Run a test for each way to spoil a history, with the `rule` that is there for it."""
    return pytest.mark.parametrize(
        ("rule", "spoil"),
        [(rule, spoil) for rule, spoils in wrong.items() for spoil in spoils],
        ids=lambda value: value if isinstance(value, str) else value.__name__,
    )


def complaints(rule: str, history: History, spoil: Callable[[History], Any]) -> list[str]:
    """Return what a rule says of a history once it is spoilt."""
    spoil(history)
    return [sentence for sentence in check(history) if sentence.startswith(f"{rule}: ")]
