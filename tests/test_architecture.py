"""The house plan: which room may import which, and how large a room may be.

The tables below are the plan. A new edge in them is a decision about the design, never the
cure for an ImportError. Imports are read from the syntax tree, so that those under
`TYPE_CHECKING` and inside functions count as well.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parent.parent
PACKAGE: Final = ROOT / "framerpc"

# Room -> the rooms that it may import, from the bottom of the house to its top: a row names
# only rows above it. A module may always import its own room.
LOWER: Final[dict[str, set[str]]] = {
    "version": set(),
    "errors": set(),
    "adapters.uvloop": {"errors"},  # chooses a loop, and knows nothing of what runs on it
    "given": {"errors"},
    "config": {"errors"},
    "topic_config": {"errors", "config"},
    "deadline": {"errors"},
    "concurrency": {"errors"},
    "contract": {"errors", "concurrency"},  # a declaration may hold that option
    "codecs": {"errors"},
    "protocol": {"errors", "config", "codecs"},
    "call": {"errors", "deadline"},
    # `call` for the type of a body only: it is what the connection carries, unopened.
    "connection.addresses": {"errors"},  # text, and nothing that could be dialled
    "connection": {"errors", "config", "deadline", "protocol", "call", "connection.addresses"},
    "balancing": {"errors", "config"},
    "resolvers": {"errors", "config", "balancing", "connection.addresses"},
    "pubsub": {"errors", "config", "topic_config", "protocol"},
    "backplane": {"errors", "config", "topic_config", "pubsub"},
}
BELOW: Final = set(LOWER) - {"adapters.uvloop"}
UPPER: Final[dict[str, set[str]]] = {
    "client": BELOW,
    "server": BELOW | {"adapters.uvloop"},  # `Server.run` owns its loop
    # From here on, what builds on the public names; see PRIVATE.
    "sync": BELOW | {"client", "server", "adapters.uvloop", "framerpc"},
    "gateway": BELOW | {"server", "framerpc"},
    "adapters": BELOW | {"client", "server", "framerpc"},
    "testing": BELOW | {"client", "server", "sync", "adapters.uvloop", "framerpc"},
    # `gateway` for serve --http, `testing` for the checks of conformance.
    "cli": BELOW
    | {"client", "server", "sync", "gateway", "testing", "adapters.uvloop", "framerpc"},
}
MATRIX: Final = LOWER | UPPER

# What `sync`, `adapters` and `cli` import besides public names, and why.
ON_PUBLIC_NAMES: Final = ("sync", "adapters", "cli")
PRIVATE: Final[dict[str, set[str]]] = {
    "sync": {
        "framerpc.adapters.uvloop.new_event_loop",  # the portal owns a loop
        "framerpc.client.options.UNCHANGED",  # a view may leave an option as it is
        "framerpc.given.check_seconds",  # what is given to `serve` is told before it listens
        "framerpc.contract.service.spec_of",  # a blocking stub has the methods of the contract
    },
    "cli": {
        "framerpc.adapters.uvloop.run",  # a command owns its loop
        "framerpc.client.retry.DEFAULT_RECONNECT",  # a command gives up at first, not for good
        "framerpc.connection.addresses.parse_address",  # --http takes a host and a port
        "framerpc.gateway.App",  # the public name of the gateway, which is no front-door name
    },
}

# Rooms that compute and nothing else: bytes, time and chance come in as arguments.
PURE: Final = (
    "errors",
    "config",
    "topic_config",
    "concurrency",
    "contract",
    "codecs",
    "protocol",
    "connection.addresses",
    "balancing",
    "pubsub",
)
IMPURE: Final = {
    "asyncio",
    "concurrent",
    "logging",
    "multiprocessing",
    "random",
    "secrets",
    "select",
    "selectors",
    "signal",
    "socket",
    "ssl",
    "subprocess",
    "threading",
    "time",
    "uvloop",
}

# A foreign package -> the only place that may import it: replacing it changes that place only.
SINGLE_IMPORTER: Final[dict[str, tuple[str, ...]]] = {
    "msgpack": ("framerpc.codecs",),
    "pytest": ("framerpc.testing.plugin",),
    "tenacity": ("framerpc.client.retry",),
    "uvicorn": ("framerpc.gateway.http",),
    "uvloop": ("framerpc.adapters.uvloop",),
    "websockets": (),  # what uvicorn speaks WebSocket with
    # Contracts accept them without knowing them.
    "attrs": (),
    "pydantic": (),
}

MOST_LINES: Final = 450
# Files that may be longer, up to their own limit, and why.
LONGER: Final = {
    "errors.py": 500,  # one tree, read as one
    "config.py": 500,  # every option with the reason for its default, read as one
}


@dataclass(frozen=True)
class Import:
    """One imported name.

    Attributes:
        importer: Module that imports.
        module: Module imported from.
        name: What is taken from it; empty for the module itself.
        level: Leading dots of a relative import.
        at_runtime: Not under `if TYPE_CHECKING`, and not inside a function.
        line: Where.
    """

    importer: str
    module: str
    name: str
    level: int
    at_runtime: bool
    line: int

    @property
    def target(self) -> str:
        """The module that is really imported: `from framerpc.a import b` may mean a module."""
        full = f"{self.module}.{self.name}" if self.name else self.module
        return full if full in MODULES else self.module

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.name or '*'} from {self.module}"


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES: Final = {_module(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def _imports_in(module: str, node: ast.AST, *, at_runtime: bool = True) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(module, alias.name, "", 0, at_runtime, child.lineno)
        elif isinstance(child, ast.ImportFrom):
            for alias in child.names:
                origin = child.module or ""
                yield Import(module, origin, alias.name, child.level, at_runtime, child.lineno)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            for body in (child.body, child.orelse):
                for statement in body:
                    wrapper = ast.Module([statement], [])
                    runs = at_runtime and body is child.orelse
                    yield from _imports_in(module, wrapper, at_runtime=runs)
        else:
            function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            yield from _imports_in(module, child, at_runtime=at_runtime and not function)


IMPORTS: Final = [
    found
    for module, path in MODULES.items()
    for found in _imports_in(module, ast.parse(path.read_text(encoding="utf-8")))
]
OWN: Final = [found for found in IMPORTS if found.module.split(".")[0] == "framerpc"]


def _public_names() -> set[str]:
    """Return the names in `__all__` of the front door, without importing it."""
    for statement in ast.parse(MODULES["framerpc"].read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
            return set(ast.literal_eval(statement.value))
    return set()


def _room(module: str) -> str:
    """Return the room of a module: the longest name in the matrix, "framerpc" for the front."""
    inside = module.removeprefix("framerpc").removeprefix(".")
    if not inside:
        return "framerpc"
    return inside if inside in MATRIX else inside.split(".")[0]


def test_rows_point_up_the_table() -> None:
    """A room of the matrix may import only rooms that stand above it, so there is no cycle."""
    seen = {"framerpc"}
    for room, allowed in MATRIX.items():
        assert allowed <= seen, f"{room} may import {allowed - seen}, which come later"
        seen.add(room)


def test_client_and_server_are_strangers() -> None:
    """Neither side of the wire may import the other."""
    assert "server" not in MATRIX["client"]
    assert "client" not in MATRIX["server"]


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_room(module: str) -> None:
    """A module stands in a room of the house plan."""
    assert _room(module) in {*MATRIX, "framerpc"}


def test_imports_follow_the_matrix() -> None:
    """No import leaves the rows of the matrix."""
    wrong = [
        str(found)
        for found in OWN
        if (room := _room(found.importer)) != "framerpc"
        and _room(found.target) not in {room, *MATRIX[room]}
    ]
    assert not wrong


def test_rooms_above_use_public_names() -> None:
    """What stands on the public names takes nothing else, but for the names listed."""
    public = _public_names()
    wrong = [
        str(found)
        for found in OWN
        if (room := _room(found.importer)) in ON_PUBLIC_NAMES
        and _room(found.target) not in {room, "framerpc"}
        and found.at_runtime
        and found.name not in public
        and f"{found.module}.{found.name}" not in PRIVATE.get(room, set())
    ]
    assert not wrong


def test_private_names_listed_are_needed() -> None:
    """The list of exceptions holds nothing that is no longer imported."""
    used = {f"{found.module}.{found.name}" for found in OWN}
    assert set().union(*PRIVATE.values()) <= used


def test_pure_rooms_touch_nothing() -> None:
    """Rooms that only compute import no loop, socket, thread, clock or chance."""
    wrong = [
        str(found)
        for found in IMPORTS
        if _room(found.importer) in PURE and found.module.split(".")[0] in IMPURE
    ]
    assert not wrong


def test_foreign_packages_have_one_importer() -> None:
    """Each foreign package is known to one place."""
    wrong = [
        str(found)
        for found in IMPORTS
        if (places := SINGLE_IMPORTER.get(found.module.split(".")[0])) is not None
        and not found.importer.startswith(places)
    ]
    assert not wrong


def test_imports_are_absolute() -> None:
    """Every import says the full name, so that rooms can be found by searching."""
    assert not [str(found) for found in IMPORTS if found.level]


def test_modules_have_no_cycles() -> None:
    """No module imports itself, not through any number of others.

    Imports for types only, or inside a function, do not count here.
    """
    graph = {module: set[str]() for module in MODULES}
    for found in OWN:
        if found.at_runtime and found.target in MODULES and found.target != found.importer:
            graph[found.importer].add(found.target)
    while ready := [module for module, needs in graph.items() if not needs]:
        for module in ready:
            del graph[module]
        for needs in graph.values():
            needs.difference_update(ready)
    assert not graph


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_small(module: str) -> None:
    """A module holds one idea, and fits its limit of lines."""
    path = MODULES[module]
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= LONGER.get(path.relative_to(PACKAGE).as_posix(), MOST_LINES)


@pytest.mark.parametrize(
    "path",
    sorted(Path(__file__).parent.rglob("test_*.py")),
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_tests_say_what_they_show(path: Path) -> None:
    """Each test has a docstring: a sentence that is true when it passes."""
    silent = [
        f"{path.name}:{node.lineno} {node.name}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert not silent
