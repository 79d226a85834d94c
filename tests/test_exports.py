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


def test_front_door_only_re_exports() -> None:
    """`framerpc/__init__.py` is a docstring, imports of its rooms, and `__all__`."""
    docstring, *body = ast.parse(PATHS["framerpc"].read_text(encoding="utf-8")).body
    assert isinstance(docstring, ast.Expr)
    for statement in body:
        if isinstance(statement, ast.ImportFrom):
            assert (statement.module or "").startswith(("framerpc.", "__future__"))
        else:
            assert isinstance(statement, ast.Assign)
            assert ast.unparse(statement.targets[0]) == "__all__"


def test_front_door_agrees_with_its_rooms() -> None:
    """What the front door offers is what it imports, and each room offers it, too."""
    imported: dict[str, str] = {}
    for statement in ast.parse(PATHS["framerpc"].read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.ImportFrom) and statement.module != "__future__":
            for alias in statement.names:
                assert alias.asname is None
                imported[alias.name] = statement.module or ""
    assert sorted(imported) == sorted(framerpc.__all__)
    hidden = {
        name: module
        for name, module in imported.items()
        if name not in importlib.import_module(module).__all__
    }
    assert hidden == {}
