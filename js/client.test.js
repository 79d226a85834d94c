// The client against a server played by hand: what it sends, and what it survives.

import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { decode as unpack, encode as packed } from "@msgpack/msgpack";

import * as framerpc from "./framerpc.js";

const PREAMBLE = Buffer.from("89465250430d0a01", "hex");

function frame(...fields) {
  const payload = packed(fields);
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32BE(payload.length);
  return Buffer.concat([prefix, payload]);
}

/** One end of a connection: what the client sent, and how to answer. */
class Server {
  bytes = Buffer.alloc(0);
  closed = null;
  buffered = 0;

  send(bytes) { this.bytes = Buffer.concat([this.bytes, bytes]); }
  close(code) { this.closed ??= code; }
  start() {}

  get frames() {
    const found = [];
    for (let at = 8; at < this.bytes.length;) {
      const size = this.bytes.readUInt32BE(at);
      found.push(unpack(this.bytes.subarray(at + 4, at + 4 + size)));
      at += 4 + size;
    }
    return found;
  }

  say(...frames) { this.ondata(new Uint8Array(Buffer.concat(frames))); }
  welcome(options = {}) { this.say(PREAMBLE, frame(2, { version: 1, ...options })); }
}

const soon = () => new Promise((resolve) => setImmediate(resolve));

async function connected(options = {}, welcome = {}) {
  const servers = [];
  const dial = async () => {
    const server = new Server();
    servers.push(server);
    return server;
  };
  const client = framerpc.connect("test://", { dial, random: () => 0, ...options });
  await soon();
  if (welcome !== null) servers[0].welcome(welcome);
  return { client, servers, server: servers[0] };
}

test("the greeting is the preamble and HELLO, with limits and token", async () => {
  const { client, server } = await connected({ token: "secret" }, null);
  assert.deepEqual(server.bytes.subarray(0, 8), PREAMBLE);
  const [[kind, options]] = server.frames;
  assert.equal(kind, 1);
  assert.deepEqual(options.versions, [1]);
  assert.equal(options.token, "secret");
  assert.deepEqual(options.limits, { frame: 1_048_576, message: 16_777_216, calls: 1024, window: 262_144 });
  client.close();
  assert.equal(server.closed, 4000);
});

test("PING is answered by PONG with the same nonce", async () => {
  const { client, server } = await connected();
  server.say(frame(5, 77, null));
  await soon();
  assert.deepEqual(server.frames.at(-1), [6, 77, { calls: 0 }]);
  client.close();
});

test("too many pings end the connection", async () => {
  const { server, client } = await connected();
  server.say(...Array(17).fill(frame(5, 1, null)));
  assert.deepEqual(server.frames.at(-1).slice(0, 2), [3, 9]);
  client.close();
});

test("after CANCEL nothing is sent about a call, and its late answer reaches nobody", async () => {
  const { client, server } = await connected({}, { limits: { message: 10_000_000 } });
  const stop = new AbortController();
  const call = client.call("a/b", [new Uint8Array(1_000_000)], { signal: stop.signal });
  await soon();
  stop.abort();
  await assert.rejects(call, { name: "AbortError" });
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 0));
  assert.deepEqual(server.frames.at(-1), [11, 1, 0]);
  const next = client.call("a/b", []);
  await soon();
  assert.equal(server.frames.at(-1)[1], 3); // the id of the cancelled call is still in use
  server.say(frame(9, 1, Uint8Array.of(1)), frame(9, 3, Uint8Array.of(2)));
  assert.equal(await next, 2);
  client.close();
});

test("items and their end may come in one piece", async () => {
  const { client, server } = await connected();
  const stream = client.stream("a/b");
  const first = stream.next();
  await soon();
  server.say(frame(13, 1, Uint8Array.of(1)), frame(13, 1, Uint8Array.of(2)), frame(14, 1));
  assert.deepEqual([(await first).value, (await stream.next()).value, (await stream.next()).done], [1, 2, true]);
  client.close();
});

test("an error behind items comes when they are taken", async () => {
  const { client, server } = await connected();
  const stream = client.stream("a/b");
  const first = stream.next();
  await soon();
  server.say(frame(13, 1, Uint8Array.of(1)), frame(10, 1, 8, 2, "no more", { retry_after_ms: 5.5 }));
  assert.equal((await first).value, 1);
  await assert.rejects(stream.next(), { name: "Unavailable", executed: "yes", retryAfterMs: 5.5 });
  client.close();
});

test("an executed that does not fit its status is not believed", async () => {
  const { client, server } = await connected();
  const call = client.call("a/b");
  await soon();
  server.say(frame(10, 1, 3, 2, "what?", null));
  await assert.rejects(call, { name: "MethodNotFound", executed: "no" });
  const other = client.call("a/b");
  await soon();
  server.say(frame(10, 3, 99, 0, "later", null));
  await assert.rejects(other, { name: "RemoteError", executed: "yes", detail: "later" });
  client.close();
});

test("a malformed result is an error of its call alone", async () => {
  const { client, server } = await connected();
  for (const [index, body] of ["c1", "9101", "a2ff", "01c0", "d50100", "91".repeat(100_000)].entries()) {
    const call = client.call("a/b");
    await soon();
    server.say(frame(9, 2 * index + 1, Buffer.from(body, "hex")));
    if (body === "9101") assert.deepEqual(await call, [1]);
    else await assert.rejects(call, { name: "InvalidResult", executed: "yes" });
  }
  assert.equal(client.state, "ready");
  client.close();
});

test("a key __proto__ is a key like others", async () => {
  const { client, server } = await connected();
  const call = client.call("a/b");
  await soon();
  server.say(frame(9, 1, Buffer.from("81a95f5f70726f746f5f5f81a16101", "hex")));
  const value = await call;
  assert.equal(Object.getPrototypeOf(value), Object.prototype);
  assert.deepEqual(Object.keys(value), ["__proto__"]);
  client.close();
});

test("a server that breaks the protocol is told so, and not dialled again", async () => {
  const { client, server, servers } = await connected();
  const call = client.call("a/b");
  await soon();
  server.say(Buffer.from("00000000", "hex"));
  await assert.rejects(call, { name: "ProtocolError", executed: "maybe", closeCode: "PROTOCOL_ERROR" });
  assert.deepEqual(server.frames.at(-1).slice(0, 2), [3, 1]);
  assert.equal(server.closed, 4001);
  assert.equal(client.state, "failed");
  await assert.rejects(client.call("a/b"), { name: "ConnectionFailed", executed: "no" });
  assert.equal(servers.length, 1);
});

test("a WebSocket message that is no bytes ends the connection", async () => {
  const { client, server } = await connected();
  server.ondata(null);
  assert.deepEqual(server.frames.at(-1).slice(0, 2), [3, 1]);
  assert.equal(client.state, "failed");
});

test("a code of the WebSocket stands for a CLOSE that was not seen", async () => {
  const { client, server } = await connected({}, null);
  server.onclose("UNAUTHENTICATED", "");
  await assert.rejects(client.ready(), { name: "Unauthenticated", executed: "no" });
});

test("calls wait for a connection, to a bound, and to their deadline", async () => {
  const { client, server } = await connected({ maxWaiting: 2 }, null);
  const late = client.call("a/b", [], { timeoutMs: 5 });
  const waits = client.call("a/b");
  await assert.rejects(client.call("a/b"), { name: "ResourceExhausted", executed: "no" });
  await assert.rejects(late, { name: "DeadlineExceeded", executed: "no" });
  server.welcome();
  await soon();
  assert.equal(server.frames.length, 2); // HELLO, and the call that still waited
  server.say(frame(9, 1, Uint8Array.of(7)));
  assert.equal(await waits, 7);
  client.close();
});

test("time spent waiting is taken off the deadline", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  let clock = 0;
  const read = mock.method(performance, "now", () => clock);
  try {
    const { client, server } = await connected({}, null);
    client.call("a/b", [], { timeoutMs: 5000 }).catch(() => {});
    clock = 1500.5;
    server.welcome();
    await soon();
    assert.equal(server.frames[1][4], 3499);
    client.close();
  } finally {
    read.mock.restore();
    mock.timers.reset();
  }
});

test("a silent server is pinged, then given up, then dialled again", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  let clock = 0;
  const read = mock.method(performance, "now", () => clock);
  const pass = async (ms) => { clock += ms; mock.timers.tick(ms); await soon(); };
  try {
    const { client, server, servers } = await connected({}, { ping_ms: 5000 });
    await pass(4999);
    assert.equal(server.frames.length, 1);
    await pass(1);
    assert.deepEqual(server.frames.at(-1), [5, 0, null]);
    await pass(4999);
    assert.equal(server.closed, null);
    await pass(1);
    assert.deepEqual(server.frames.at(-1).slice(0, 2), [3, 8]);
    assert.equal(client.state, "connecting");
    await pass(0);
    await pass(1);
    assert.equal(servers.length, 2);
    client.close();
  } finally {
    read.mock.restore();
    mock.timers.reset();
  }
});

test("pauses between dials double, are random, and end at their cap", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  let dials = 0;
  const dial = async () => { dials += 1; throw new Error("refused"); };
  try {
    const client = framerpc.connect("test://", { dial, random: () => 0.5, backoff: { firstMs: 100, mostMs: 350 } });
    for (const pause of [50, 100, 175, 175]) {
      await soon();
      const before = dials;
      mock.timers.tick(pause - 1);
      assert.equal(dials, before);
      mock.timers.tick(1);
      assert.equal(dials, before + 1);
    }
    client.close();
  } finally {
    mock.timers.reset();
  }
});

test("a call that may have happened is not sent again, one that has not is", async () => {
  const { client, server } = await connected();
  const once = client.call("a/b");
  await soon();
  server.say(frame(10, 1, 8, 1, "who knows", null));
  await assert.rejects(once, { name: "Unavailable", executed: "maybe" });
  const again = client.call("a/b");
  await soon();
  server.say(frame(10, 3, 8, 0, "not now", null));
  while (server.frames.length < 4) await new Promise((resolve) => setTimeout(resolve, 0));
  const [kind, id, , , , headers] = server.frames.at(-1);
  assert.deepEqual([kind, headers], [8, { attempt: 2 }]);
  server.say(frame(9, id, Uint8Array.of(1)));
  assert.equal(await again, 1);
  client.close();
});

test("frames about a notification's id are ignored", async () => {
  const { client, server } = await connected({}, { limits: { message: 10_000_000 } });
  const note = client.notify("a/b", [new Uint8Array(300_000)]);
  await soon();
  server.say(frame(10, 1, 3, 0, "", null), frame(17, 1, Uint8Array.of(1)));
  await note;
  assert.equal(server.frames.filter(([kind]) => kind === 17).length, 5);
  assert.equal(client.state, "ready");
  client.close();
});

const item = (...fields) => packed(fields);
const STARTED = (recovered, positions, exact = true) => item(1, recovered, "e", positions, true, exact);
const MESSAGE = (topic, offset, epoch = "e") => item(0, topic, packed(offset), epoch, offset, 1);

/** A subscription to "log" whose server plays by hand; the ids of its calls are 1, 3, 5, … */
async function subscribed(options, ...items) {
  const place = await connected();
  const subscription = place.client.subscribe("log", options);
  await soon();
  place.server.say(...items.map((each) => frame(13, 1, each)));
  return { ...place, subscription };
}

async function requestAfter(server, count) {
  while (server.frames.filter(([kind]) => kind === 8).length <= count) await new Promise((resolve) => setTimeout(resolve, 1));
  const [, id, , method, , , body] = server.frames.filter(([kind]) => kind === 8)[count];
  return { id, method, args: unpack(body) };
}

test("a subscription goes on behind the last message that it has seen", async () => {
  const { client, server, subscription } = await subscribed({ since: "start" }, STARTED(true, { log: "e:4" }), MESSAGE("log", 5));
  assert.deepEqual(await subscription.started, { recovered: true, resumed: false });
  assert.equal((await subscription.next()).value.value, 5);
  const next = subscription.next();
  server.say(frame(14, 1)); // the server drains
  const again = await requestAfter(server, 1);
  assert.deepEqual(again.args[1].since, { log: "e:5" });
  assert.equal(again.args[1].mark, "e");
  for (const each of [STARTED(true, { log: "e:5" }), MESSAGE("log", 5), MESSAGE("log", 6)]) server.say(frame(13, again.id, each));
  assert.equal((await next).value.position, "e:6"); // 5 came twice, and is given once
  client.close();
});

test("a hole is not passed over: the subscription goes back to before it", async () => {
  for (const hole of [MESSAGE("log", 7), MESSAGE("log", 6, "other"), item(4, { log: "e:6" }), MESSAGE("new", 2)]) {
    const { client, server, subscription } = await subscribed({}, STARTED(true, { log: "e:4" }), MESSAGE("log", 5), hole);
    assert.equal((await subscription.next()).value.offset, 5);
    subscription.next().catch(() => {});
    const again = await requestAfter(server, 1);
    assert.deepEqual(again.args[1].since, { log: "e:5" });
    client.close();
  }
});

test("what a gap tells of is no hole, and neither is what a topic leaves out", async () => {
  const gaps = [];
  const ongap = ({ dropped }) => gaps.push(dropped);
  for (const items of [
    [STARTED(true, { log: "e:4" }), item(2, { log: 1, "": 1 }), MESSAGE("log", 7), item(4, { log: "e:7" })],
    [STARTED(true, { log: "e:4" }, false), MESSAGE("log", 7)],
  ]) {
    const { client, subscription } = await subscribed({ ongap }, ...items);
    assert.equal((await subscription.next()).value.offset, 7);
    client.close();
  }
  assert.deepEqual(gaps, [{ log: 1, "": 1 }]);
});

test("what was dropped and comes after all is no gap", async () => {
  const gaps = [];
  const ongap = ({ dropped }) => gaps.push(dropped);
  const { client, server, subscription } = await subscribed({ ongap }, STARTED(true, { log: "e:4" }), item(2, { log: 1 }));
  await subscription.started;
  const next = subscription.next();
  server.say(frame(14, 1));
  const again = await requestAfter(server, 1);
  assert.deepEqual(again.args[1].since, { log: "e:4" });
  for (const each of [STARTED(true, { log: "e:4" }), MESSAGE("log", 5)]) server.say(frame(13, again.id, each));
  assert.equal((await next).value.offset, 5);
  assert.deepEqual(gaps, []);
  client.close();
});

test("a server that cannot go back says so, and the application hears of it", async () => {
  const heard = [];
  const { client, server, subscription } = await subscribed({ onstarted: (news) => heard.push(news) }, STARTED(true, { log: "e:4" }));
  await subscription.started;
  subscription.next().catch(() => {});
  server.say(frame(10, 1, 7, 1, "too slow", null));
  const again = await requestAfter(server, 1);
  server.say(frame(13, again.id, STARTED(false, { log: "f:9" })));
  await soon();
  assert.deepEqual(heard.at(-1), { recovered: false, resumed: true });
  client.close();
});

test("a subscription that is refused ends with the reason", async () => {
  const { client, server, subscription } = await subscribed({});
  server.say(frame(10, 1, 6, 0, "not for you", null));
  await assert.rejects(subscription.started, { name: "PermissionDenied" });
  await assert.rejects(subscription.next(), { name: "PermissionDenied" });
  client.close();
});

test("what cannot be sent is refused before anything is sent", async () => {
  const { client, server } = await connected();
  for (const value of [new Map([[1, 2]]), new Set([1]), Symbol("a"), () => 1]) {
    await assert.rejects(client.call("a/b", [value]), Error);
  }
  assert.equal(server.frames.length, 1);
  client.close();
});

test("a client that is told to go dials again within the time that it is told", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    const { client, server, servers } = await connected({ random: () => 0.5 });
    server.say(frame(4, "restart", 10_000, 500), frame(5, 1, null));
    await soon();
    assert.deepEqual(server.frames.at(-1).slice(0, 2), [3, 0]); // nothing was in flight
    mock.timers.tick(249);
    await soon();
    assert.equal(servers.length, 1);
    mock.timers.tick(1);
    await soon();
    assert.equal(servers.length, 2);
    client.close();
  } finally {
    mock.timers.reset();
  }
});

test("who is woken dials at once, and not twice", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    let dials = 0, answer;
    const dial = () => { dials++; return new Promise((resolve, reject) => { answer = { resolve, reject }; }); };
    const client = framerpc.connect("test://", { dial, random: () => 0.5 });
    client.wake();
    assert.equal(dials, 1, "it dials already");
    answer.reject(new Error("unreachable"));
    await soon();
    client.wake();
    assert.equal(dials, 2);
    const server = new Server();
    answer.resolve(server);
    await soon();
    server.welcome();
    mock.timers.tick(5000);
    client.wake();
    await soon();
    assert.deepEqual([client.state, dials], ["ready", 2], "the pause is over, and it is connected");
    client.close();
    client.wake();
    assert.equal(dials, 2, "it is closed");
  } finally {
    mock.timers.reset();
  }
});

test("who is woken while the server drains waits as long as the server asks for", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    const { client, server, servers } = await connected({ random: () => 0.5 });
    server.say(frame(4, "restart", 10_000, 500), frame(5, 1, null));
    client.wake();
    await soon();
    assert.equal(servers.length, 1);
    mock.timers.tick(250);
    await soon();
    assert.equal(servers.length, 2);
    client.close();
  } finally {
    mock.timers.reset();
  }
});
