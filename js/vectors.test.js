// The conformance vectors of tests/vectors/ whose receiver is a client, whole and cut.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

import { Wire } from "./framerpc.js";

const FOLDER = new URL("../tests/vectors/", import.meta.url);
const NAMES = { max_frame: "frame", max_message: "message", max_calls: "calls", stream_window: "window", max_receiving: "receiving" };
const HELLO = Uint8Array.of(0x89, 0x46, 0x52, 0x50, 0x43, 0x0d, 0x0a, 1);

const fromHex = (hex) => Uint8Array.from(Buffer.from(hex, "hex"));

function bytesOf(segments) {
  return Buffer.concat(segments.map((segment) => {
    const [piece, times] = segment.split("*");
    return Buffer.concat(Array(Number(times ?? 1)).fill(Buffer.from(piece, "hex")));
  }));
}

function plainOf(value) {
  if (Array.isArray(value)) return value.map(plainOf);
  if (typeof value !== "object" || value === null) return value;
  if ("bin" in value) return fromHex(value.bin);
  if ("bin*" in value) return Uint8Array.from(Buffer.concat(value["bin*"].map(([piece, times]) => Buffer.from(piece.repeat(times), "hex"))));
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plainOf(each)]));
}

const meansOf = (step) => (step.means ?? []).flatMap((mean) =>
  "times" in Object(mean) ? Array(mean.times).fill(plainOf(mean.mean)) : [plainOf(mean)]);

/** Buffers as the arrays of bytes that they are. */
function simple(value) {
  if (value instanceof Uint8Array) return Uint8Array.from(value);
  if (Array.isArray(value)) return value.map(simple);
  if (value === null || Object.getPrototypeOf(Object(value)) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, simple(each)]));
}

const told = (event) => (event.violation ? { violation: event.violation } : simple(event));

const DELIVERIES = {
  whole: (wire, bytes) => wire.receive(bytes),
  "byte by byte": (wire, bytes) => [...bytes].flatMap((byte) => wire.receive(Uint8Array.of(byte))),
  "in sevens": (wire, bytes) => {
    const events = [];
    for (let at = 0; at < bytes.length; at += 7) events.push(...wire.receive(bytes.subarray(at, at + 7)));
    return events;
  },
};

function welcomeOf(limits) {
  // {"version": 1, "limits": {"window": n}}, by hand: this side has no server.
  const window = limits?.window ?? 65_536;
  const width = Buffer.alloc(4);
  width.writeUInt32BE(window);
  const options = Buffer.concat([Buffer.from("82a776657273696f6e01a66c696d69747381a677696e646f77ce", "hex"), width]);
  const payload = Buffer.concat([Buffer.from([0x92, 2]), options]);
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32BE(payload.length);
  return Buffer.concat([HELLO, prefix, payload]);
}

function act(wire, step) {
  switch (step.do) {
    case "open": wire.open(step.id, step.flags); break;
    case "cancel": wire.cancel(step.id); break;
    case "end_upload": wire.endUpload(step.id); break;
    case "take": {
      const grant = wire.took(step.id, step.size);
      assert.deepEqual(grant ? [15, step.id, grant] : null, step.sends);
      break;
    }
    default: assert.fail(`cannot do ${step.do}`);
  }
}

let played = 0;
for (const file of readdirSync(FOLDER).sort()) {
  for (const vector of JSON.parse(readFileSync(new URL(file, FOLDER))).vectors) {
    if (vector.receiver !== "client") continue;
    played += 1;
    for (const [way, deliver] of Object.entries(DELIVERIES)) {
      test(`${file}: ${vector.name}, ${way}`, () => {
        const limits = Object.entries(vector.limits ?? {}).map(([key, value]) => [NAMES[key], value]);
        const wire = new Wire(Object.fromEntries(limits));
        if (vector.start === "ready") assert.equal(wire.receive(welcomeOf(vector.peer)).length, 1);
        for (const step of vector.steps) {
          if ("do" in step) act(wire, step);
          else assert.deepEqual(deliver(wire, bytesOf(step.receive)).map(told), meansOf(step));
        }
        assert.equal(wire.state, vector.state);
        assert.equal(wire.ignored, vector.ignored ?? 0);
      });
    }
  }
}

test("there are vectors for clients", () => assert.ok(played >= 60, `${played} of them`));
