// The client against a server of the Python package, through the gateway and over TCP.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { createInterface } from "node:readline";

import WebSocket from "ws";

import * as framerpc from "./framerpc.js";
import { tcp } from "./tcp.js";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const PYTHON = process.env.PYTHON ?? `${ROOT}/.venv/bin/python`;

async function serve() {
  const words = ["-m", "framerpc.cli.main", "serve", "tests.gateway.live:server", "--print-urls",
    "--bind", "tcp://127.0.0.1:0", "--http", "127.0.0.1:0", "--grace", "0"];
  const child = spawn(PYTHON, words, { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
  const urls = [];
  let complaints = "";
  child.stderr.on("data", (bytes) => { complaints += bytes; });
  for await (const line of createInterface({ input: child.stdout })) {
    if (urls.push(line) === 2) break;
  }
  assert.equal(urls.length, 2, complaints || `${PYTHON} serves nothing`);
  return { child, urls };
}

async function* numbers(upto, taken = []) {
  try {
    for (let n = 0; n < upto; n++) yield n;
  } finally {
    taken.push("closed");
  }
}

async function until(condition) {
  for (let i = 0; i < 2000; i++) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assert.fail("it never came true");
}

let server;
before(async () => { server = await serve(); });
after(async () => {
  server.child.kill();
  await once(server.child, "exit");
});

for (const way of ["tcp", "ws"]) {
  describe(`over ${way}`, () => {
    let client, dials = 0;
    const inner = way === "tcp" ? tcp : framerpc.webSocket(WebSocket);
    const dial = (...place) => { dials += 1; return inner(...place); };
    const connect = (options) =>
      framerpc.connect(server.urls[way === "tcp" ? 0 : 1], { dial, backoff: { firstMs: 1 }, ...options });
    before(async () => {
      client = connect();
      await client.ready();
    });
    after(() => client.close());

    test("a call returns its result, with positional and named arguments", async () => {
      assert.equal(await client.call("Live/add", [2, 3]), 5);
      assert.equal(await client.call("Live/add", { a: 2 }), 12);
      assert.equal(await client.call("Live/add", { "": [2], b: 3 }), 5);
    });

    test("every kind of value comes back as it went", async () => {
      const value = [null, true, -1, 2 ** 40, 2n ** 63n, -(2n ** 62n), 1.5, "höhö 😀", Uint8Array.of(0, 255),
        [1, [2]], { a: { b: "c" } }, new Date("2026-01-02T03:04:05.678Z")];
      assert.deepEqual(await client.call("Live/echo", [value]), value);
      assert.deepEqual(await client.call("Live/moved", [{ x: 1, y: 2 }, [1, 1]]), { x: 2, y: 3, name: null });
      assert.deepEqual(await client.call("Live/tomorrow", [new Date(0)]), new Date(86_400_000));
    });

    test("long bodies travel in parts both ways, and short calls pass them", async () => {
      const long = new Uint8Array(5_000_000).fill(7);
      const order = [];
      const slow = client.call("Live/echo", [long]).then((back) => { order.push("long"); return back; });
      await client.call("Live/echo", [1]);
      order.push("short");
      assert.deepEqual(Buffer.compare(await slow, long), 0);
      assert.deepEqual(order, ["short", "long"]);
    });

    test("a download gives its items in order, with credit, to its end", async () => {
      const items = [];
      for await (const item of client.stream("Live/count", [5000])) items.push(item);
      assert.deepEqual(items, [...Array(5000).keys()]);
      let bytes = 0;
      for await (const item of client.stream("Live/count", [30, 100_000])) bytes += item.length;
      assert.equal(bytes, 3_000_000);
    });

    test("leaving a download cancels it at the server", async () => {
      const [before] = await client.call("Live/seen");
      for await (const item of client.stream("Live/count", [1e9])) if (item === 10) break;
      await until(async () => (await client.call("Live/seen"))[0] === before + 1);
    });

    test("an upload is taken to its end, with credit", async () => {
      assert.equal(await client.call("Live/total", [numbers(5000)]), 12_497_500);
      async function* chunks() { for (let i = 0; i < 20; i++) yield new Uint8Array(200_000); }
      assert.equal(await client.call("Live/sizes", { chunks: chunks() }), 4_000_000);
    });

    test("a server that answers early ends the upload", async () => {
      const taken = [];
      assert.equal(await client.call("Live/first", [numbers(1e9, taken)]), 0);
      await until(() => taken.length === 1);
    });

    test("an upload that fails is the outcome of its call", async () => {
      async function* broken() { yield 1; throw new RangeError("no more"); }
      await assert.rejects(client.call("Live/total", [broken()]), RangeError);
    });

    test("streams flow both ways at once", async () => {
      const items = [];
      for await (const item of client.stream("Live/doubled", [numbers(1000)])) items.push(item);
      assert.deepEqual(items, [...Array(1000).keys()].map((n) => 2 * n));
    });

    test("an abort signal ends the call and the handler", async () => {
      const [before] = await client.call("Live/seen");
      const stop = new AbortController();
      const call = client.call("Live/sleep", [3600], { signal: stop.signal });
      await client.call("Live/seen"); // so that it has begun
      stop.abort();
      await assert.rejects(call, { name: "AbortError" });
      await until(async () => (await client.call("Live/seen"))[0] === before + 1);
      await assert.rejects(client.call("Live/seen", [], { signal: stop.signal }), { name: "AbortError" });
    });

    test("a deadline ends the call and the handler", async () => {
      const [before] = await client.call("Live/seen");
      const call = client.call("Live/sleep", [3600], { timeoutMs: 30 });
      await assert.rejects(call, { name: "DeadlineExceeded", executed: "maybe", method: "Live/sleep" });
      await until(async () => (await client.call("Live/seen"))[0] === before + 1);
    });

    test("errors have types, and say whether the work happened", async () => {
      const cases = [
        ["Live/nothing", [], { name: "MethodNotFound", executed: "no", status: "METHOD_NOT_FOUND" }],
        ["Live/add", ["two"], { name: "InvalidArgument", executed: "no" }],
        ["Live/bug", [], { name: "RemoteError", executed: "yes" }],
        ["Live/buy", ["tea"], { name: "DeclaredError", errorName: "live.OutOfStock", fields: { item: "tea", left: 3 } }],
        ["Live/count", [3], { name: "InvalidArgument" }],
        ["Live/echo", [new Uint8Array(17_000_000)], { name: "MessageTooLarge", executed: "no" }],
      ];
      for (const [method, args, expected] of cases) await assert.rejects(client.call(method, args), expected);
      const bug = await client.call("Live/bug").catch((error) => error);
      assert.match(bug.errorId, /\w{6}/);
      assert.doesNotMatch(bug.message, /secret/);
    });

    test("an answer above our limit is refused, and the connection lives", async () => {
      const small = connect({ limits: { message: 100_000 } });
      const call = small.call("Live/count", [1, 200_000]);
      await assert.rejects(call, framerpc.CallError);
      const stream = small.stream("Live/count", [1, 200_000]);
      await assert.rejects(stream.next(), { name: "MessageTooLarge" });
      assert.equal(await small.call("Live/add", [1, 1]), 2);
      small.close();
    });

    test("metadata arrives, and notifications are taken", async () => {
      assert.deepEqual(await client.call("Live/metadata", [], { metadata: { tenant: "a" } }), { tenant: "a" });
      const text = `from ${way}` + "!".repeat(100_000); // in parts
      await client.notify("Live/note", [text]);
      await until(async () => (await client.call("Live/seen"))[1].includes(text));
    });

    test("more calls than the server takes wait for their turn", async () => {
      const calls = [...Array(300).keys()].map((n) => client.call("Live/add", [n, n]));
      assert.deepEqual(await Promise.all(calls), [...Array(300).keys()].map((n) => 2 * n));
    });

    test("a lost connection fails what may have happened, and comes back", async () => {
      const call = client.call("Live/sleep", [3600]);
      const drop = client.call("Live/drop");
      for (const lost of [call, drop]) await assert.rejects(lost, { name: "ConnectionLost", executed: "maybe" });
      assert.equal(await client.call("Live/add", [1, 1]), 2);
      assert.equal(client.state, "ready");
    });

    test("an idempotent call that was lost is sent again", async () => {
      const attempt = await client.call("Live/flaky", [], { idempotent: true });
      assert.equal(attempt % 2, 0);
    });

    test("GOAWAY moves new calls to a new connection, and old ones finish", async () => {
      const slow = client.call("Live/sleep", [0.1]), before = dials;
      await client.call("Live/send_away");
      assert.equal(await client.call("Live/add", [1, 1]), 2);
      assert.equal(dials, before + 1);
      assert.equal(await slow, null);
    });

    test("what is published reaches a subscriber, in order and with positions", async () => {
      const subscription = client.subscribe(`log.${way}.*`);
      assert.deepEqual(await subscription.started, { recovered: true, resumed: false });
      const receipt = await client.publish(`log.${way}.a`, { n: 1 }, { key: "k" });
      assert.equal(receipt.subscribers, 1);
      assert.equal((await client.publish(`log.${way}.a`, { n: 1 }, { key: "k" })).duplicate, true);
      const { value: message } = await subscription.next();
      assert.deepEqual([message.topic, message.value, message.offset], [`log.${way}.a`, { n: 1 }, 1]);
      subscription.close();
      const page = await client.history(`log.${way}.a`, { since: "start" });
      assert.deepEqual([page.recovered, page.top, page.messages[0].value], [true, message.position, { n: 1 }]);
    });

    test("a subscription recovers what was published while its connection was lost", async () => {
      const topic = `log.lost.${way}`, states = [], found = [];
      const subscription = client.subscribe(topic, { onstarted: (state) => states.push(state) });
      await subscription.started;
      await client.call("Live/post", [topic, 3]);
      await assert.rejects(client.call("Live/post", [topic, 4, true]), { name: "ConnectionLost" });
      await client.call("Live/post", [topic, 2]);
      for await (const { value, offset } of subscription) {
        found.push(value);
        if (offset === 9) break;
      }
      assert.deepEqual(found, [0, 1, 2, 0, 1, 2, 3, 0, 1]);
      assert.deepEqual(states.at(-1), { recovered: true, resumed: true });
    });

    for (const topic of ["points", "points.kept"]) {
      test(`a watch of ${topic} gives the state and every change of it, across connections`, async () => {
        const watch = client.watch("Live/follow", [topic]);
        const { value: { snapshot } } = await watch.next();
        await client.call("Live/add_points", [5]);
        assert.equal((await watch.next()).value.change, 5);
        await client.call("Live/drop").catch(() => {});
        await client.call("Live/add_points", [7]);
        let now = snapshot + 5, snapshots = 0;
        while (now !== snapshot + 12) {
          const { value } = await watch.next();
          if ("snapshot" in value) snapshots += 1;
          now = value.snapshot ?? now + value.change;
        }
        if (topic === "points.kept") assert.equal(snapshots, 0); // its history was enough
        watch.close();
      });
    }

    test("a watch that is refused when it is resumed ends with the error", async () => {
      const watch = client.watch("Live/follow_if_allowed", ["points.kept"]);
      assert.ok("snapshot" in (await watch.next()).value);
      await client.call("Live/ban", [true]);
      try {
        await client.call("Live/drop").catch(() => {});
        await assert.rejects(watch.next(), { name: "DeclaredError", errorName: "live.OutOfStock" });
        assert.equal((await watch.next()).done, true); // and is not tried again
        const another = client.watch("Live/follow_if_allowed", ["points.kept"]);
        await assert.rejects(another.started, { name: "DeclaredError" });
      } finally {
        await client.call("Live/ban", [false]);
      }
    });

    test("when rights are asked about again, who may goes on and who may not gets the error", async () => {
      const [kept, lost] = ["kept", "lost"].map((name) => `log.rights.${name}.${way}`);
      const states = [];
      const subscription = client.subscribe(kept, { onstarted: (state) => states.push(state) });
      const refused = client.subscribe(lost);
      const watch = client.watch("Live/follow", ["points.kept"]);
      await Promise.all([subscription.started, refused.started, watch.next()]);
      assert.equal(await client.call("Live/recheck", [lost]), 1);
      try {
        await client.call("Live/post", [kept, 3]);
        await client.call("Live/post", [lost, 3]);
        await client.call("Live/add_points", [3]);
        const found = [];
        while (found.length < 3) found.push((await subscription.next()).value.value);
        assert.deepEqual(found, [0, 1, 2]);
        assert.deepEqual(states, [{ recovered: true, resumed: false }, { recovered: true, resumed: true }]);
        await assert.rejects(refused.next(), { name: "PermissionDenied" });
        assert.equal((await watch.next()).value.change, 3); // and no snapshot before it
      } finally {
        await client.call("Live/recheck");
        subscription.close();
        watch.close();
      }
    });

    test("who is on a topic can be seen", async () => {
      const subscription = client.subscribe(`log.room.${way}`);
      await subscription.started;
      const { value } = await client.presence(`log.room.${way}`).next();
      assert.deepEqual(value.snapshot.members.map(([name]) => name), ["anonymous"]);
      subscription.close();
    });

    test("a client that is refused says why, and does not dial again", async () => {
      const stranger = connect({ token: async () => "wrong" });
      await assert.rejects(stranger.ready(), { name: "Unauthenticated" });
      assert.equal(stranger.state, "failed");
      await assert.rejects(stranger.call("Live/add", [1]), { name: "Unauthenticated", executed: "no" });
    });

    test("the server describes itself", async () => {
      const { methods, services } = await client.call("framerpc/describe");
      assert.deepEqual(services.map(({ name }) => name), ["Live"]);
      assert.ok(methods.some(({ name }) => name === "Live/add"));
    });

    test("a closed client ends its calls and takes no more", async () => {
      const other = connect();
      await other.ready();
      const call = other.call("Live/sleep", [3600]);
      other.close();
      await assert.rejects(call, { name: "ConnectionLost" });
      await assert.rejects(other.call("Live/add", [1]), { name: "ConnectionFailed", executed: "no" });
    });
  });
}

test("the stubs that are written for the server fit the types of the client", () => {
  const words = ["-m", "framerpc.cli.main", "stub", "--lang", "ts", "--module", `${ROOT}js/framerpc.js`, server.urls[0]];
  const folder = mkdtempSync(`${tmpdir()}/framerpc-`);
  try {
    writeFileSync(`${folder}/stub.mts`, `${execFileSync(PYTHON, words, { cwd: ROOT })}
      export async function use(live: Live): Promise<number> {
        const { x } = await live.moved({ x: 1, y: 2 }, [1, 1]);
        for await (const _item of live.count(3)) break;
        for await (const update of live.follow("points")) if ("change" in update) return update.change;
        return x + await live.add(1) + await live.add(1, 2, { timeoutMs: 5 });
      }`);
    const options = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom"];
    execFileSync(`${ROOT}js/node_modules/.bin/tsc`, [...options, `${folder}/stub.mts`], { stdio: "pipe" });
  } catch (error) {
    assert.fail(String(error.stdout || error));
  } finally {
    rmSync(folder, { recursive: true });
  }
});
