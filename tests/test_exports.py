"""Every module says what it offers, and the front door offers what its rooms do."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import Final

import pytest

import framerpc

PACKAGE: Final = Path(framerpc.__file__).parent


def _module(path: Path) -> str:
    parts = ("framerpc", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATHS: Final = {_module(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def _offers_something(module: str) -> bool:
    """Whether a module holds more than its docstring, and is meant to be imported."""
    tree = ast.parse(PATHS[module].read_text(encoding="utf-8"))
    return len(tree.body) > 1 and not module.endswith(".__main__")


def _place(name: str) -> tuple[int, str]:
    """Return what names are sorted by, as ruff does it: CONSTANTS, Classes, the rest."""
    if name.isupper() and len(name) > 1:
        return 0, name
    return (1, name) if name[0].isupper() else (2, name)


@pytest.mark.parametrize("module", [module for module in PATHS if _offers_something(module)])
def test_all_is_sorted_and_true(module: str) -> None:
    """`__all__` is there, sorted, without doubles, and every name in it exists."""
    loaded = importlib.import_module(module)
    names = loaded.__all__
    assert list(names) == sorted(set(names), key=_place)
    assert [name for name in names if not hasattr(loaded, name)] == []


def _re_exports(tree: ast.Module | ast.If) -> dict[str, str]:
    """Return the names imported from rooms directly in a block, with their module."""
    return {
        alias.asname or alias.name: statement.module or ""
        for statement in tree.body
        if isinstance(statement, ast.ImportFrom)
        and (statement.module or "").startswith("framerpc.")
        for alias in statement.names
    }


FRONT: Final = ast.parse(PATHS["framerpc"].read_text(encoding="utf-8"))
AT_ONCE: Final = _re_exports(FRONT)
# What is loaded at its first use stands in an `if TYPE_CHECKING` for the type checkers.
LATER: Final = {
    name: module
    for statement in FRONT.body
    if isinstance(statement, ast.If)
    for name, module in _re_exports(statement).items()
}


def test_front_door_only_re_exports() -> None:
    """`framerpc/__init__.py` defines nothing that a user could import from there alone."""
    defined = {
        statement.name
        for statement in FRONT.body
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
    }
    assert defined <= {"__getattr__", "__dir__"}
    assert sorted(AT_ONCE | LATER) == sorted(framerpc.__all__)


@pytest.mark.parametrize("name", framerpc.__all__)
def test_front_door_agrees_with_its_rooms(name: str) -> None:
    """A public name is the very object that its room offers, loaded from where it says."""
    room = importlib.import_module((AT_ONCE | LATER)[name])
    assert name in room.__all__
    assert getattr(framerpc, name) is getattr(room, name)


def test_types_and_loading_agree() -> None:
    """What is loaded late comes from where the type checkers are told that it comes from."""
    assert getattr(framerpc, "_LATER", {}) == LATER
