// Numbers and names of the client against the tables of protocol.md.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { CLOSE_CODES, FINAL_CLOSES, STATUSES } from "./framerpc.js";

const TEXT = readFileSync(new URL("../protocol.md", import.meta.url), "utf8");

function rows(heading, columns) {
  const section = TEXT.split(`\n## ${heading}\n`)[1].split("\n## ")[0];
  const lines = section.split("\n").filter((line) => /^\| \d+ \|/.test(line));
  return lines.map((line) => line.split("|").slice(1, columns + 1).map((cell) => cell.trim()));
}

test("statuses are those of the table: names, executed, retrying", () => {
  const written = rows("Errors", 4).map(([number, name, executed, retry]) => [number, [name, executed.split(", "), retry === "yes"]]);
  const ours = Object.entries(STATUSES).map(([number, [name, , executed, retry]]) => [number, [name, executed, retry]]);
  assert.deepEqual(ours, written);
});

test("close codes are those of the table, and who may dial again", () => {
  const written = rows("Close codes", 4);
  assert.deepEqual(CLOSE_CODES, written.map(([, name]) => name));
  assert.deepEqual([...FINAL_CLOSES], written.filter(([, , , again]) => again === "no").map(([, name]) => name));
});
