// Files up and down: whole or not at all.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";

import { CHUNK, download, upload } from "../../../../examples/chat/web/transfers.js";
import { Client, declared, lost, settle } from "./fakes.mjs";

const CONTENT = Uint8Array.from({ length: 3 * CHUNK + 17 }, (_, i) => i * 7 % 251);
const FILE = { id: 1, name: "a.bin", type: "", size: CONTENT.length, sha256: createHash("sha256").update(CONTENT).digest("hex") };
const never = new AbortController().signal;
const chunks = (skip) => Array.from({ length: 4 - skip }, (_, i) => CONTENT.subarray((skip + i) * CHUNK, (skip + i + 1) * CHUNK));
const picture = Object.assign(new Blob([CONTENT], { type: "image/png" }), { name: "a.png" });

async function gathered(parts) {
  const found = [];
  for await (const part of parts) found.push(part);
  return found;
}

test("an upload goes chunk by chunk, and tells its progress", async () => {
  let taken;
  const client = new Client({ "Chat/upload": async (args) => {
    taken = { ...args, parts: await gathered(args.parts) };
    return FILE;
  } });
  const progress = [];
  assert.equal(await upload(client, 1, picture, { signal: never, progress: (sent) => progress.push(sent) }), FILE);
  assert.deepEqual(taken.parts.map(({ length }) => length), [CHUNK, CHUNK, CHUNK, 17]);
  assert.deepEqual(Buffer.concat(taken.parts), Buffer.from(CONTENT));
  assert.deepEqual([taken.name, taken.type, progress.at(-1)], ["a.png", "image/png", CONTENT.length]);
});

test("an upload that breaks off begins anew; one that is refused does not", async () => {
  let tries = 0;
  const client = new Client({ "Chat/upload": async ({ parts }) => {
    await gathered(parts);
    if (++tries < 3) throw lost();
    return FILE;
  } });
  await upload(client, 1, picture, { signal: never, pause: settle });
  assert.equal(tries, 3);
  const strict = new Client({ "Chat/upload": () => { tries++; throw declared("TooMany", {}); } });
  await assert.rejects(upload(strict, 1, picture, { signal: never, pause: settle }), { errorName: "TooMany" });
  assert.equal(tries, 4);
});

test("an upload that nobody wants any more ends", async () => {
  const stop = new AbortController();
  const client = new Client({ "Chat/upload": () => { stop.abort(new Error("left")); throw lost(); } });
  await assert.rejects(upload(client, 1, picture, { signal: stop.signal, pause: settle }));
  assert.equal(client.calls.length, 1);
});

test("a download goes on where it was", async () => {
  const asked = [];
  const client = new Client({ async *"Chat/download"({ skip }) {
    asked.push(skip);
    yield chunks(skip)[0];
    if (asked.length < 3) throw lost();
    yield* chunks(skip).slice(1);
  } });
  const blob = await download(client, FILE, { type: "", pause: settle });
  assert.deepEqual(asked, [0, 1, 2]);
  assert.deepEqual(new Uint8Array(await blob.arrayBuffer()), CONTENT);
});

test("a download that is not what was sent is none", async () => {
  const client = new Client({ async *"Chat/download"() { yield* [...chunks(0).slice(0, 3), new Uint8Array(17)]; } });
  await assert.rejects(download(client, FILE, { type: "" }), /damaged/);
  const short = new Client({ async *"Chat/download"() { yield chunks(0)[0]; } });
  await assert.rejects(download(short, FILE, { type: "" }), /ends after 65536 of/);
});

test("a file that cannot be read any more is not tried for ever", async () => {
  const client = new Client({ "Chat/upload": async ({ parts }) => gathered(parts) });
  const gone = Object.assign(new Blob(["text"]), { name: "a.txt", slice: () => { throw new DOMException("it was moved", "NotFoundError"); } });
  let pauses = 0;
  const pause = async () => { if (++pauses > 3) throw new Error("it is tried for ever"); };
  await assert.rejects(upload(client, 1, gone, { signal: never, pause }), { name: "NotFoundError" });
});
