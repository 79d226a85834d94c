"""What changed between two contracts, and whether it breaks those who hold the old one.

This module owns the rules of evolution, as a pure function over two descriptions (see
`fingerprint.describe`), which may come from different processes or times. A change is breaking
if a client that was built with the old contract can fail against a server with the new one:
what it may send is no longer accepted, or what it may receive no longer fits.

Spec: protocol.md, "Changing a contract".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from framerpc.contract.acceptance import accepts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Change", "compare"]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two contracts.

    Attributes:
        where: The method, or method and parameter: "calc/add", "calc/add(b)".
        text: What changed.
        breaking: Clients with the old contract can fail.
    """

    where: str
    text: str
    breaking: bool

    def __str__(self) -> str:
        return f"{'breaking' if self.breaking else 'compatible'}: {self.where}: {self.text}"


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """List the differences that matter to callers, sorted by method.

    Args:
        old: Description of the contract that clients have.
        new: Description of the contract that servers are to have.
    """
    before = {method["name"]: method for method in old["methods"]}
    after = {method["name"]: method for method in new["methods"]}
    changes: list[Change] = []
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            changes.append(Change(name, "removed", breaking=True))
        elif name not in before:
            changes.append(Change(name, "added", breaking=False))
        else:
            changes += _Methods(before[name], after[name], old["types"], new["types"]).changes()
    return changes


class _Methods:
    """One method, before and after."""

    def __init__(
        self,
        old: Mapping[str, Any],
        new: Mapping[str, Any],
        old_types: Mapping[str, Any],
        new_types: Mapping[str, Any],
    ) -> None:
        self._old, self._new = old, new
        self._old_types, self._new_types = old_types, new_types
        self._name: str = old["name"]

    def changes(self) -> Iterator[Change]:
        yield from self._options()
        yield from self._parameters()
        yield from self._result()

    def _options(self) -> Iterator[Change]:
        """A client that sends again relies on these."""
        for option in ("idempotent", "once"):
            if self._old[option] != self._new[option]:
                lost = bool(self._old[option])
                said = "no longer" if lost else "now"
                yield Change(self._name, f"{said} {option}", breaking=lost)
        before, after = self._old.get("resume"), self._new.get("resume")
        if before != after:
            said = "now resumed" if after else "no longer resumed"
            by = f" by {after}" if after else ""
            yield Change(self._name, said + by, breaking=before is not None)

    def _result(self) -> Iterator[Change]:
        if self._old["streams_out"] != self._new["streams_out"]:
            said = "now a stream" if self._new["streams_out"] else "no longer a stream"
            yield Change(self._name, f"the result is {said}", breaking=True)
        elif self._old.get("watch", False) != self._new.get("watch", False):
            said = "now a watch" if self._new.get("watch") else "no longer a watch"
            yield Change(self._name, f"the result is {said}", breaking=True)
        elif self._old["result"] != self._new["result"] or not self._reads_old_result(both=True):
            yield Change(
                self._name,
                "the type of the result changed",
                breaking=not self._reads_old_result(),
            )

    def _reads_old_result(self, *, both: bool = False) -> bool:
        """Old clients read new results; and, for `both`, new clients read old ones."""
        old, new = self._old["result"], self._new["result"]
        fits = accepts(old, new, self._old_types, self._new_types)
        return fits and (not both or accepts(new, old, self._new_types, self._old_types))

    def _parameters(self) -> Iterator[Change]:
        old = {each["name"]: each for each in self._old["parameters"]}
        new = {each["name"]: each for each in self._new["parameters"]}
        for name in (each for each in old if each not in new):
            yield self._of(name, "removed", breaking=True)
        for name in (each for each in new if each not in old):
            required = bool(new[name]["required"])
            said = "added, and required" if required else "added, with a default"
            yield self._of(name, said, breaking=required)
        for name, before in old.items():
            if name in new:
                yield from self._parameter(name, before, new[name])
        was = [name for name, each in old.items() if each["kind"] != "named" and name in new]
        now = [name for name, each in new.items() if each["kind"] != "named"]
        if now[: len(was)] != was and all(new[name]["kind"] != "named" for name in was):
            yield Change(self._name, "the order of its parameters changed", breaking=True)

    def _parameter(
        self, name: str, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> Iterator[Change]:
        if old["kind"] != new["kind"]:
            said = {
                "positional": "by position only",
                "named": "by name only",
                "either": "both ways",
            }
            yield self._of(name, f"now given {said[new['kind']]}", breaking=new["kind"] != "either")
        if old["required"] != new["required"]:
            said_now = "now required" if new["required"] else "no longer required"
            yield self._of(name, said_now, breaking=bool(new["required"]))
        if old["stream"] != new["stream"]:
            said_now = "now a stream" if new["stream"] else "no longer a stream"
            yield self._of(name, said_now, breaking=True)
            return
        reads = accepts(new["type"], old["type"], self._new_types, self._old_types)
        back = accepts(old["type"], new["type"], self._old_types, self._new_types)
        if old["type"] != new["type"] or not (reads and back):
            yield self._of(name, "its type changed", breaking=not reads)

    def _of(self, parameter: str, text: str, *, breaking: bool) -> Change:
        return Change(f"{self._name}({parameter})", text, breaking=breaking)
