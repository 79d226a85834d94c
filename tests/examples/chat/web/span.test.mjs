// Which messages are on the page.

import assert from "node:assert/strict";
import { test } from "node:test";

import { MOST, STEP, Span } from "../../../../examples/chat/web/span.js";

const at = ({ low, high, follows }) => [low, high, follows];

test("it begins with the newest", () => {
  assert.deepEqual(at(new Span(1000)), [951, 1000, true]);
  assert.deepEqual(at(new Span(3)), [1, 3, true]);
  assert.deepEqual(at(new Span(0)), [1, 0, true]);
});

test("it grows with the room while it follows, up to a bound", () => {
  const span = new Span(0);
  for (let last = 1; last <= 10_000; last++) span.grow(last);
  assert.deepEqual(at(span), [10_000 - MOST + 1, 10_000, true]);
});

test("it stays where one reads", () => {
  const span = new Span(1000);
  span.follows = false;
  span.grow(1005);
  assert.deepEqual(at(span), [951, 1000, false]);
});

test("older ones push the newest out, and back", () => {
  const span = new Span(1000);
  while (span.older());
  assert.deepEqual(at(span), [1, MOST, false]);
  while (span.newer(1000));
  assert.deepEqual(at(span), [1000 - MOST + 1, 1000, false]);
  assert.equal(STEP < MOST, true);
});

test("it goes to a message and its neighbours", () => {
  const span = new Span(1000);
  span.around(500, 1000);
  assert.deepEqual(at(span), [475, 525, false]);
  span.around(2, 1000);
  assert.equal(span.low, 1);
});
