// How the page can be used: by keyboard, on a phone, in the dark, with a screen reader.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after, afterEach, before, test } from "node:test";

import { Server, arrive, launch, make, message, pair, said, say, until, visit } from "./stage.js";

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const PHONE = { viewport: { width: 360, height: 720 }, hasTouch: true, isMobile: true };

let browser, server;
before(async () => { [browser, server] = [await launch(), await Server.start()]; });
after(async () => { await browser.close(); await server.stop(); });
afterEach(async () => {
  const problems = browser.contexts().flatMap((context) => context.pages()).flatMap((page) => page.problems);
  await Promise.all(browser.contexts().map((context) => context.close()));
  assert.deepEqual(problems, [], "no page has an error on its console");
});

/** What axe finds wrong with the page as it is. */
async function violations(page) {
  // From outside of the page's world: its Content-Security-Policy forbids scripts of strangers.
  const session = await page.context().newCDPSession(page);
  const { readFile } = await import("node:fs/promises");
  const source = await readFile(AXE, "utf8");
  await session.send("Runtime.evaluate", { expression: source });
  const { result } = await session.send("Runtime.evaluate", {
    expression: "axe.run().then(({ violations }) => JSON.stringify(violations.map(({ id, help, nodes }) => [id, help, nodes.map(({ html, failureSummary }) => html + failureSummary)])))",
    awaitPromise: true,
  });
  return JSON.parse(result.value);
}

const width = (page) => page.evaluate(() => document.documentElement.scrollWidth);

for (const colorScheme of ["light", "dark"]) {
  for (const [device, options] of [["wide", {}], ["phone", PHONE]]) {
    test(`axe finds nothing wrong: ${device}, ${colorScheme}`, async () => {
      const name = `Axe-${device}-${colorScheme}`;
      const stranger = await visit(browser, server, { ...options, colorScheme });
      assert.deepEqual(await violations(stranger), [], "welcome");
      const ada = await arrive(browser, server, name, { ...options, colorScheme });
      assert.deepEqual(await violations(ada), [], "no room");
      await ada.locator("#add").click();
      await ada.getByRole("dialog").waitFor();
      assert.deepEqual(await violations(ada), [], "dialog");
      await ada.keyboard.press("Escape");
      await make(ada, name, { about: "A room to look at" });
      await ada.locator("#file").setInputFiles({ name: "a.txt", mimeType: "text/plain", buffer: Buffer.from("text") });
      await ada.locator("#uploads .ready").waitFor();
      assert.deepEqual(await violations(ada), [], "a file to send");
      await ada.locator("#text").fill("with a link: https://example.org/");
      await ada.locator("#send").click();
      await ada.getByRole("button", { name: "Save a.txt" }).waitFor();
      await ada.locator("li.message").focus();
      await ada.getByRole("button", { name: "React", exact: true }).click();
      await ada.getByRole("button", { name: "React with 👍" }).click();
      await ada.locator(".reactions").waitFor();
      assert.deepEqual(await violations(ada), [], "messages");
      if (device === "phone") await ada.locator("#show-people").click();
      await ada.locator(".person").first().waitFor();
      assert.deepEqual(await violations(ada), [], "people");
      await ada.getByRole("button", { name: "Close the list of people" }).click();
      await ada.locator("#show-search").click();
      await ada.getByLabel("Words to look for").fill("link");
      await ada.getByLabel("Words to look for").press("Enter");
      await ada.locator(".result").waitFor();
      assert.deepEqual(await violations(ada), [], "search");
    });
  }
}

test("everything can be done by keyboard", async () => {
  const ada = await visit(browser, server);
  const press = (...keys) => keys.reduce((done, key) => done.then(() => ada.keyboard.press(key)), Promise.resolve());
  const type = (text) => ada.keyboard.type(text);
  await ada.locator("#register-name:focus").waitFor();
  await type("Keys-A");
  await press("Enter");
  await ada.locator("#account .name").waitFor();
  for (const room of ["Alpha", "Beta"]) {
    await ada.locator("#add").focus();
    await press("Enter");
    await ada.getByRole("dialog").waitFor();
    const field = ada.getByLabel("Name of the room");
    for (let i = 0; i < 20 && !(await field.evaluate((node) => node === document.activeElement)); i++) await press("Tab");
    await type(`${room} of keys`);
    await press("Enter");
    await ada.getByRole("heading", { name: `${room} of keys`, level: 1 }).waitFor();
    await ada.locator("#text:focus").waitFor();
  }
  await press("Alt+ArrowUp");
  await ada.getByRole("heading", { name: "Alpha of keys", level: 1 }).waitFor();
  await press("Control+k");
  await type("bet");
  await press("Enter");
  await ada.getByRole("heading", { name: "Beta of keys", level: 1 }).waitFor();
  await ada.locator("#text:focus").waitFor();
  await type("first line");
  await press("Shift+Enter");
  await type("second line");
  await press("Enter");
  await until(async () => (await said(ada))[0] === "first line\nsecond line", "two lines");
  await press("ArrowUp");
  await press("Control+a");
  await type("edited");
  await press("Enter");
  await ada.getByText("(edited)").waitFor();
  await type("typed");
  await press("Escape");
  assert.equal(await ada.locator("#text").inputValue(), "typed", "Esc throws no draft away");
  await press("Control+a", "Delete");
  await ada.locator("#log").focus();
  await press("ArrowUp");
  await ada.locator("li.message:focus").waitFor();
  await press("Tab");
  while (!(await ada.evaluate(() => document.activeElement.title === "Delete"))) await press("Tab");
  await press("Enter");
  await ada.getByRole("dialog", { name: "Delete the message?" }).waitFor();
  await press("Enter");
  await ada.locator(".text.deleted").waitFor();
  await ada.locator("#log").focus();
  await press("?");
  await ada.getByRole("dialog", { name: "Keys" }).waitFor();
  await press("Escape");
  await ada.locator("dialog").waitFor({ state: "detached" });
});

test("what has the focus can be seen", async () => {
  const ada = await arrive(browser, server, "Focus-A");
  await make(ada, "Focus");
  await say(ada, "hello");
  await message(ada, "hello").waitFor();
  await ada.locator("#account").focus();
  for (let i = 0; i < 25; i++) {
    await ada.keyboard.press("Tab");
    const seen = await ada.evaluate(() => {
      const style = getComputedStyle(document.activeElement);
      const box = document.activeElement.closest(".box");
      return document.activeElement === document.body || style.outlineStyle !== "none" || (box !== null && getComputedStyle(box).boxShadow !== "none");
    });
    assert.ok(seen, await ada.evaluate(() => document.activeElement.outerHTML));
  }
});

test("on a phone there is one column, and the way back", async () => {
  const [ada, bob] = await pair(browser, server, ["Phone-A", "Phone-B"], "Phone", PHONE);
  assert.equal(await ada.locator("#rooms").isVisible(), false);
  await ada.locator("#text").fill("a very long word: " + "o".repeat(300));
  await ada.locator("#send").tap();
  await until(async () => (await said(bob)).length === 1, "the message");
  assert.equal(await width(bob), 360);
  await bob.locator("#show-people").tap();
  await bob.locator(".person").first().waitFor();
  assert.equal(await width(bob), 360);
  await bob.getByRole("button", { name: "Close the list of people" }).tap();
  await bob.locator("#back").tap();
  await bob.locator("#room").waitFor({ state: "hidden" });
  await ada.locator("#text").fill("unread");
  await ada.locator("#send").tap();
  await bob.locator(".count").getByText("1").waitFor();
  await bob.locator(".room", { hasText: "Phone" }).tap();
  await message(bob, "unread").waitFor();
  await bob.goBack();
  await bob.locator("#rooms").waitFor();
});

test("a finger on a message shows what can be done with it", async () => {
  const ada = await arrive(browser, server, "Finger-A", PHONE);
  await make(ada, "Finger");
  await ada.locator("#text").fill("touch me");
  await ada.locator("#send").tap();
  await message(ada, "touch me").locator(".text").tap();
  await ada.getByRole("button", { name: "Edit", exact: true }).tap();
  await ada.getByText("Editing a message").waitFor();
});

test("colours follow the system, until one is chosen", async () => {
  const ada = await arrive(browser, server, "Dark-A", { colorScheme: "dark" });
  const lightness = () => ada.evaluate(() => {
    const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number);
    return (r + g + b) / 3;
  });
  assert.ok(await lightness() < 60);
  await ada.locator("#theme").click();
  assert.ok(await lightness() > 200);
  await ada.reload();
  await ada.locator("#account .name").waitFor();
  assert.ok(await lightness() > 200, "it is remembered");
});

/** What sticks out of the page, or is cut off in a box of fixed size. */
const outside = (page) => page.evaluate(() => [...document.querySelectorAll("body *")].filter((node) => {
  if (node.closest("svg, .hidden") !== null || !node.checkVisibility()) return false;
  const { left, right, width } = node.getBoundingClientRect();
  const cut = node.matches("header.bar, kbd, #uploads li, dl, .palette") && (node.scrollHeight > node.clientHeight + 1 || node.scrollWidth > node.clientWidth + 1);
  return cut || (width > 0 && (left < -1 || right > innerWidth + 1));
}).map((node) => node.outerHTML.slice(0, 100)));

test("with letters of twice the size nothing sticks out and nothing is cut off, on a phone too", async () => {
  const name = "Aximilian".repeat(3) + "Long";
  const ada = await arrive(browser, server, name, PHONE);
  const grown = async (what) => {
    await ada.evaluate(() => { document.documentElement.style.fontSize = "30px"; });
    assert.deepEqual(await outside(ada), [], what);
    assert.equal(await width(ada), 360, what);
  };
  for (const button of ["#add", "#account", "#keys"]) {
    await ada.locator(button).click();
    await ada.getByRole("dialog").waitFor();
    await grown(button);
    await ada.keyboard.press("Escape");
    await ada.locator("dialog").waitFor({ state: "detached" });
  }
  await make(ada, "Large", { about: "A room with a longer description" });
  await ada.locator("#text").fill("hello");
  await ada.locator("#send").tap();
  await message(ada, "hello").waitFor();
  await ada.locator("#file").setInputFiles({ name: "a-rather-long-name-of-a-file.txt", mimeType: "text/plain", buffer: Buffer.from("text") });
  await ada.locator("#uploads .ready").waitFor();
  await grown("messages");
  await message(ada, "hello").locator(".text").tap();
  await ada.getByRole("button", { name: "React", exact: true }).tap();
  await grown("reactions");
});

test("what people write runs in the direction of its own script, line by line", async () => {
  const ada = await arrive(browser, server, "Script-A");
  await make(ada, "Script");
  await say(ada, "שלום!");
  await say(ada, "hello!");
  await message(ada, "hello!").waitFor();
  const edges = await ada.locator("li.message .text").evaluateAll((texts) => texts.map((text) => {
    const box = text.getBoundingClientRect();
    const range = document.createRange();
    const at = (i) => { range.setStart(text.firstChild, i); range.setEnd(text.firstChild, i + 1); return range.getBoundingClientRect(); };
    const last = at(text.firstChild.length - 1);
    return [box.right - at(0).right < 2, last.left > at(0).left];
  }));
  assert.deepEqual(edges, [[true, false], [false, true]]);
});
