// Browsers that keep nothing, people who are sent away, and what went wrong: nothing is lost, the focus is somewhere.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";

import { Server, arrive, launch, message, pair, said, say, until } from "./stage.js";

let browser, server;
before(async () => { [browser, server] = [await launch(), await Server.start()]; });
after(async () => { await browser.close(); await server.stop(); });
afterEach(async () => {
  const problems = browser.contexts().flatMap((context) => context.pages()).flatMap((page) => page.problems ?? []);
  await Promise.all(browser.contexts().map((context) => context.close()));
  assert.deepEqual(problems, [], "no page has an error on its console");
});

/** Somebody whose browser is made like this before the page begins. */
async function odd(name, script) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  await context.addInitScript(script);
  const page = await context.newPage();
  page.problems = [];
  page.on("pageerror", (error) => page.problems.push(String(error)));
  await page.goto(server.url);
  await page.getByLabel("Your name").fill(name);
  await page.getByRole("button", { name: "Join the chat" }).click();
  await page.locator("#account .name").waitFor();
  return page;
}

const ODD = {
  "forbids storage": () => Object.defineProperty(window, "localStorage", { get() { throw new DOMException("denied", "SecurityError"); } }),
  "has no room in its storage": () => { Storage.prototype.setItem = () => { throw new DOMException("full", "QuotaExceededError"); }; },
};
for (const [what, script] of Object.entries(ODD)) {
  test(`a browser that ${what} is enough to chat, and told what is lost with the page`, async () => {
    const ada = await odd(`Odd-${what.length}`, script);
    await ada.getByText("This browser keeps nothing for this page.").waitFor();
    await ada.locator("#add").click();
    await ada.getByLabel("Name of the room").fill(what);
    await ada.getByRole("button", { name: "Make it" }).click();
    await say(ada, "hello");
    await until(async () => (await said(ada)).includes("hello"), "the message");
    await ada.locator("#theme").click();
  });
}

test("a draft survives a reload of the page", async () => {
  const [ada] = await pair(browser, server, ["Draft-A", "Draft-B"], "Draft");
  await ada.locator("#text").fill("half a sent");
  await ada.reload();
  await until(async () => (await ada.locator("#text").inputValue()) === "half a sent", "the draft");
});
