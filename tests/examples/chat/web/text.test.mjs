// Texts as people read them.

import assert from "node:assert/strict";
import { test } from "node:test";

import { dayOf, fileName, linked, marked, names, sizeOf } from "../../../../examples/chat/web/text.js";

const links = (text) => linked(text).filter(({ href }) => href !== undefined).map(({ href }) => href);

test("addresses of the web become links, without the sentence behind them", () => {
  assert.deepEqual(links("see https://example.org/a?b=c#d, or (http://example.org/x_(y))."), ["https://example.org/a?b=c#d", "http://example.org/x_(y)"]);
});

test("nothing else becomes a link", () => {
  assert.deepEqual(links("javascript:alert(1) data:text/html,x ftp://example.org www.example.org http:// https://"), []);
});

test("the text of the parts is the text", () => {
  for (const text of ["", "a", "https://example.org.", "a https://example.org b https://example.com"]) {
    assert.equal(linked(text).map((part) => part.text).join(""), text);
  }
});

test("words that begin as asked are marked, the text stays whole", () => {
  const parts = marked("Search, searches; research.", "search");
  assert.deepEqual(parts.filter(({ hit }) => hit).map(({ text }) => text), ["Search", "search"]);
  assert.equal(parts.map(({ text }) => text).join(""), "Search, searches; research.");
});

test("what is special in a pattern is looked for as it is", () => {
  assert.deepEqual(marked("c++ (a.b)", "((("), [{ text: "c++ (a.b)", hit: false }]);
});

test("days are named from today", () => {
  const today = new Date(2026, 5, 15, 0, 30);
  assert.equal(dayOf(new Date(2026, 5, 15, 0, 1), today), "Today");
  assert.equal(dayOf(new Date(2026, 5, 14, 23, 59), today), "Yesterday");
  assert.match(dayOf(new Date(2025, 5, 14), today), /2025/);
});

test("sizes and lists of names are short", () => {
  assert.deepEqual([5, 2048, 3 * 1024 * 1024].map(sizeOf), ["5 B", "2 KB", "3.0 MB"]);
  assert.deepEqual([["A"], ["A", "B"], ["A", "B", "C", "D"]].map((list) => names(list)), ["A", "A and B", "A, B and 2 others"]);
});

test("the name of a file cannot turn itself around", () => {
  assert.equal(fileName("photo_\u202egnp.exe"), "photo_gnp.exe");
  assert.equal(fileName("שלום 1.txt"), "שלום 1.txt");
});
