// Servers die, pages are reloaded, devices are offline: nothing is lost, nothing is there twice.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";

import { NO_TERMINAL, Server, Terminal, launch, message, pair, said, say, until } from "./stage.js";

let browser, server;
before(async () => { browser = await launch(); });
after(() => browser.close());
beforeEach(async () => { server = await Server.start(); });
afterEach(async () => {
  const problems = browser.contexts().flatMap((context) => context.pages()).flatMap((page) => page.problems);
  await Promise.all(browser.contexts().map((context) => context.close()));
  await server.stop();
  assert.deepEqual(problems, [], "no page has an error on its console");
});

test("two browsers and a terminal have the same messages, once and in order, though the server is killed", { skip: NO_TERMINAL }, async (context) => {
  const [ada, bob] = await pair(browser, server, ["Ada", "Bob"], "Lobby");
  const carl = await Terminal.open(server, "Carl", "Lobby");
  context.after(() => carl.close());
  let count = 0;
  const texts = new Set();
  const round = async () => {
    const number = ++count;
    for (const name of ["Ada", "Bob", "Carl"]) texts.add(`${name} ${number}`);
    carl.say(`Carl ${number}`);
    await Promise.all([say(ada, `Ada ${number}`), say(bob, `Bob ${number}`)]);
  };
  for (let i = 0; i < 5; i++) await round();
  await until(async () => (await said(ada)).length >= 12, "the first messages");
  const busy = (async () => { for (let i = 0; i < 15; i++) await round(); })();
  await server.kill();
  await ada.locator("#banner").getByText("Reconnecting since").waitFor();
  await until(() => carl.screen.includes("reconnecting"), "the terminal says so, too");
  await busy;
  assert.ok((await ada.locator(".pending").count()) > 0, "something waits");
  await server.start();
  const total = 3 * count;
  await until(async () => (await said(ada)).length === total && (await said(bob)).length === total, `${total} messages in both browsers`);
  await until(() => carl.said(texts).length === total && carl.screen.includes("online"), `${total} messages in the terminal`);
  const [seen, ...others] = [await said(ada), await said(bob), carl.said(texts)];
  for (const other of others) assert.deepEqual(other, seen);
  for (const name of ["Ada", "Bob", "Carl"]) {
    assert.deepEqual(seen.filter((text) => text.startsWith(name)), Array.from({ length: count }, (_, i) => `${name} ${i + 1}`));
  }
  assert.equal(await ada.locator("#banner").isVisible(), false);
});

test("what is typed without a connection is marked, and sent once when there is one", async () => {
  const [ada, bob] = await pair(browser, server, ["Ada", "Bob"], "Lobby");
  await say(ada, "before");
  await message(bob, "before").waitFor();
  await server.kill();
  await ada.locator("#connection.connecting").waitFor();
  await say(ada, "meanwhile 1");
  await say(ada, "meanwhile 2");
  assert.equal(await ada.locator(".pending").getByText("sending …").count(), 2);
  await server.start();
  await message(bob, "meanwhile 2").waitFor();
  await ada.locator(".pending").first().waitFor({ state: "detached" });
  for (const page of [ada, bob]) assert.deepEqual(await said(page), ["before", "meanwhile 1", "meanwhile 2"]);
});

test("what was not sent survives a reload of the page", async () => {
  const [ada, bob] = await pair(browser, server, ["Ada", "Bob"], "Lobby");
  await server.kill();
  await ada.locator("#connection.connecting").waitFor();
  await say(ada, "kept 1");
  await say(ada, "kept 2");
  await ada.goto("about:blank");
  await server.start();
  await ada.goto(server.url);
  await message(bob, "kept 2").waitFor();
  await message(ada, "kept 2").waitFor();
  await until(async () => (await ada.locator(".pending").count()) === 0, "nothing that waits");
  for (const page of [ada, bob]) assert.deepEqual(await said(page), ["kept 1", "kept 2"]);
});

test("what was missed while the connection was away is there afterwards, edits too", async () => {
  const [ada, bob] = await pair(browser, server, ["Ada", "Bob"], "Lobby");
  await say(ada, "first");
  await message(bob, "first").waitFor();
  let open = false;
  await bob.routeWebSocket(/rpc/, (socket) => { if (open) socket.connectToServer(); else socket.close(); });
  await bob.reload();
  await bob.locator("#connection.connecting").waitFor();
  for (let i = 1; i <= 60; i++) await say(ada, `missed ${i}`);
  await ada.locator("#text").press("ArrowUp");
  await ada.locator("#text").fill("edited");
  await ada.locator("#text").press("Enter");
  await ada.getByText("(edited)").waitFor();
  open = true;
  await bob.getByText("(edited)").waitFor();
  const row = bob.locator(".room", { hasText: "Lobby" });
  await row.waitFor();
  await until(async () => (await said(bob)).includes("missed 59"), "what was missed");
});

test("an upload goes on by itself after the server was killed", async () => {
  const [ada, bob] = await pair(browser, server, ["Ada", "Bob"], "Lobby");
  const buffer = Buffer.alloc(10 * 1024 * 1024, 7);
  await ada.locator("#file").setInputFiles({ name: "big.bin", mimeType: "", buffer });
  await ada.locator("#uploads progress").waitFor();
  await server.kill();
  await server.start();
  await ada.locator("#uploads").getByText("ready").waitFor();
  await say(ada, "big");
  await bob.getByRole("button", { name: "Save big.bin" }).waitFor();
});

test("a token that the server does not know is said so, and nothing pretends to be sent", async () => {
  const [ada] = await pair(browser, server, ["Ada", "Bob"], "Lobby");
  await ada.evaluate(() => localStorage.setItem("framerpc-chat/token", "of another server"));
  await ada.reload();
  await ada.locator("#connection").getByText("Refused").waitFor();
  await ada.getByText("The server refuses us").waitFor();
});
