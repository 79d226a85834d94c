// What the browser keeps, and what happens where it keeps nothing.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Drafts, allowed, keep } from "../../../../examples/chat/web/storage.js";
import { Storage } from "./fakes.mjs";

const full = Object.assign(new Storage(), { setItem() { throw new Error("full"); } });
const drafts = (storage, name = "Ada") => new Drafts(storage, () => name);

test("a storage that the browser forbids is one that is empty, and always full", () => {
  for (const get of [() => { throw new Error("denied"); }, () => undefined, () => null]) {
    const storage = allowed(get);
    assert.deepEqual([storage.length, storage.key(0), storage.getItem("a"), keep(storage, "a", "b")], [0, null, null, false]);
    storage.removeItem("a");
  }
});

test("what was kept is there, and said to be", () => {
  const storage = new Storage();
  assert.equal(keep(allowed(() => storage), "a", "b"), true);
  assert.equal(storage.getItem("a"), "b");
});

test("a draft survives a reload of the page, until it was sent", () => {
  const storage = new Storage();
  drafts(storage).set(1, "half a sent");
  assert.deepEqual([drafts(storage).get(1), drafts(storage).get(2), drafts(storage, "Bob").get(1)], ["half a sent", "", ""]);
  drafts(storage).set(1, "");
  assert.equal(storage.length, 0);
});

test("a draft that cannot be kept is there as long as the page is", () => {
  const one = drafts(full);
  one.set(1, "half a sent");
  assert.equal(one.get(1), "half a sent");
});

test("who logs out leaves no draft behind, and nothing else is touched", () => {
  const storage = new Storage();
  storage.setItem("other", "stays");
  const one = drafts(storage);
  for (const room of [1, 2, 3]) one.set(room, "text");
  one.clear();
  assert.deepEqual([storage.length, storage.getItem("other"), one.get(1)], [1, "stays", ""]);
});
