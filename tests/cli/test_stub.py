"""`framerpc stub`: a contract as a module of TypeScript."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

import framerpc
import framerpc.sync
from framerpc.cli.main import main


class Colour(enum.Enum):
    """What can be chosen."""

    RED = "red"
    BLUE = "blue"


@dataclass
class Item:
    """What is sold."""

    name: str
    colour: Colour
    parts: list[Item]
    price: float | None = None


@framerpc.service
class Shop:
    """Where things are
    sold */ and bought.
    """

    @framerpc.method(idempotent=True)
    async def find(self, text: str, limit: int = 10) -> list[Item]:
        """Look for items."""
        return []

    @framerpc.method
    async def delete(self, *, item: str, when: dt.datetime | None = None) -> dict[str, int]:
        return {}

    @framerpc.method
    async def export(self, class_: str, at: tuple[int, bytes]) -> AsyncIterator[Any]:
        yield class_

    @framerpc.method
    async def load(self, items: AsyncIterator[Item]) -> int:
        return 0

    @framerpc.method
    def follow(self) -> framerpc.Watch[dict[int, str], Item]:
        return framerpc.Watch("shop", dict)


@pytest.fixture
def stub(capsys: pytest.CaptureFixture[str]) -> str:
    """The module that is printed for the shop."""
    with framerpc.sync.serve(framerpc.Server(Shop()), "tcp://127.0.0.1:0", grace=0) as server:
        assert main(["stub", "--lang", "ts", "--module", "./rpc.js", server.url]) == 0
    return capsys.readouterr().out


PARTS = """
} from "./rpc.js";
---
export type Colour = "blue" | "red";
---
export interface Item {
  colour: Colour;
  name: string;
  parts: Array<Item>;
  price?: number | null;
}
---
/**
 * Where things are
 * sold * / and bought.
 */
export class Shop {
---
  /** Look for items. */
  find(text: string, limit?: number | bigint | undefined, options: CallOptions = {}): \
Promise<Array<Item>> {
    return this.client.call("Shop/find", { text, limit }, { idempotent: true, ...options });
---
  delete(args: { item: string, when?: Date | null | undefined }, options: CallOptions = {}): \
Promise<{ [key: string]: number | bigint }> {
    return this.client.call("Shop/delete", args, options);
---
  export(class_: string, at: [number | bigint, Uint8Array], options: StreamOptions = {}): \
AsyncGenerator<any, void, undefined> {
    return this.client.stream("Shop/export", [class_, at], options);
---
  load(items: AsyncIterable<Item>, options: CallOptions = {}): Promise<number> {
    return this.client.call("Shop/load", [items], options);
---
  follow(options: WatchOptions = {}): \
Subscription<Update<Map<number | bigint, string>, Item>> {
    return this.client.watch("Shop/follow", [], options);
"""


@pytest.mark.parametrize("part", PARTS.strip("\n").split("\n---\n"))
def test_types_and_methods_have_their_counterparts(stub: str, part: str) -> None:
    """Each type and each method stands there as TypeScript has it, with its documentation."""
    assert f"\n{part}\n" in stub


def test_what_belongs_to_the_framework_is_left_out(stub: str) -> None:
    """What the client has by itself needs no stub, and neither do its types."""
    assert "framerpc/" not in stub
    assert "HistoryOptions" not in stub
