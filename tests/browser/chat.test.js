// People in the chat, each with a browser of their own.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { after, afterEach, before, test } from "node:test";

import { Server, arrive, chatter, launch, make, message, pair, said, say, until, visit } from "./stage.js";

const lines = (word, count) => Array.from({ length: count }, (_, i) => `${word} ${i + 1}`);

let browser, server;
before(async () => { [browser, server] = [await launch(), await Server.start()]; });
after(async () => { await browser.close(); await server.stop(); });
afterEach(async () => {
  const pages = browser.contexts().flatMap((context) => context.pages());
  const problems = pages.flatMap((page) => page.problems);
  await Promise.all(browser.contexts().map((context) => context.close()));
  assert.deepEqual(problems, [], "no page has an error on its console");
});

test("who registers is in; a name that is taken is said; the token opens another device", async () => {
  const ada = await arrive(browser, server, "Register-A");
  const other = await visit(browser, server);
  await other.getByLabel("Your name").fill("register-a");
  await other.getByRole("button", { name: "Join the chat" }).click();
  await other.getByText("The name “register-a” is taken.").waitFor();
  await ada.locator("#account").click();
  await ada.getByRole("button", { name: "Show my token" }).click();
  const token = await ada.getByRole("status", { name: "Your token" }).innerText();
  await other.getByText("I have a token already").click();
  await other.getByLabel("Your token").fill("wrong");
  await other.getByRole("button", { name: "Log in" }).click();
  await other.getByText("The server does not know this token.").waitFor();
  await other.getByLabel("Your token").fill(token);
  await other.getByRole("button", { name: "Log in" }).click();
  await other.locator("#account", { hasText: "Register-A" }).waitFor();
  await other.reload();
  await other.locator("#account", { hasText: "Register-A" }).waitFor();
});

test("who logs out leaves no token behind", async () => {
  const ada = await arrive(browser, server, "Logout-A");
  await ada.locator("#account").click();
  await ada.getByRole("button", { name: "Log out" }).click();
  await ada.getByRole("dialog", { name: "Log out?" }).getByRole("button", { name: "Log out" }).click();
  await ada.getByLabel("Your name").waitFor();
  assert.equal(await ada.evaluate(() => JSON.stringify(localStorage).includes("token")), false);
});

test("what one says the other sees, once and in order", async () => {
  const [ada, bob] = await pair(browser, server, ["Talk-A", "Talk-B"], "Talk");
  for (const text of ["one", "two", "<b>three</b> &amp;"]) await say(ada, text);
  await message(bob, "<b>three</b> &amp;").waitFor();
  await say(bob, "four\n");
  await message(ada, "four").waitFor();
  for (const page of [ada, bob]) assert.deepEqual(await said(page), ["one", "two", "<b>three</b> &amp;", "four"]);
});

test("what is unread is counted, in the list and in the title, until it is shown", async () => {
  const [ada, bob] = await pair(browser, server, ["Unread-A", "Unread-B"], "Unread");
  await make(bob, "Elsewhere");
  for (const text of ["one", "two", "three"]) await say(ada, text);
  const row = bob.locator(".room", { hasText: "Unread" });
  await row.getByText("3 unread").waitFor();
  await until(async () => (await bob.title()).startsWith("(3) "), "the number in the title");
  await row.click();
  await message(bob, "three").waitFor();
  await until(async () => !(await bob.title()).startsWith("("), "the title without a number");
  await row.locator(".count").waitFor({ state: "detached" });
  await bob.reload();
  await message(bob, "three").waitFor();
  assert.equal(await bob.locator(".count").count(), 0);
});

test("nothing is read in a page that nobody sees", async () => {
  const [ada, bob] = await pair(browser, server, ["Hidden-A", "Hidden-B"], "Hidden");
  const turn = (state) => bob.evaluate((value) => {
    Object.defineProperty(document, "visibilityState", { value, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, state);
  await turn("hidden");
  await say(ada, "are you there?");
  await message(bob, "are you there?").waitFor();
  await until(async () => (await bob.title()).startsWith("(1) "), "the number in the title");
  await bob.locator("#messages .new").waitFor();
  await turn("visible");
  await until(async () => !(await bob.title()).startsWith("("), "the title without a number");
});

test("where the news begin is marked for who comes back", async () => {
  const [ada, bob] = await pair(browser, server, ["Divider-A", "Divider-B"], "Divider");
  await say(ada, "old");
  await message(bob, "old").waitFor();
  await until(async () => (await bob.locator(".count").count()) === 0, "that it was read");
  await make(bob, "Away");
  await say(ada, "new");
  await bob.locator(".room", { hasText: "Divider" }).click();
  await message(bob, "new").waitFor();
  assert.deepEqual(await bob.locator("#messages > li:not(.day)").evaluateAll((rows) => rows.map((row) => row.className.split(" ")[0])), ["message", "new", "message"]);
});

test("edits, deletions and reactions are seen live", async () => {
  const [ada, bob] = await pair(browser, server, ["Live-A", "Live-B"], "Live");
  await say(ada, "one");
  await ada.locator("#text").press("ArrowUp");
  await ada.locator("#text").fill("first");
  await ada.locator("#text").press("Enter");
  const text = bob.locator(".text", { hasText: "first" });
  await text.getByText("(edited)").waitFor();
  await text.hover();
  await bob.getByRole("button", { name: "React", exact: true }).click();
  await bob.getByRole("button", { name: "React with 🎉" }).click();
  const chip = ada.getByRole("button", { name: "🎉 1: Live-B" });
  await chip.click();
  await bob.getByRole("button", { name: "🎉 2: Live-B and Live-A", pressed: true }).click();
  await ada.getByRole("button", { name: "🎉 1: Live-A", pressed: true }).waitFor();
  await ada.locator(".text", { hasText: "first" }).hover();
  await ada.getByRole("button", { name: "Delete", exact: true }).click();
  await ada.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await bob.locator(".text.deleted").waitFor();
  assert.equal(await bob.getByText("first").count(), 0);
});

test("a file arrives with the bytes that were sent", async () => {
  const [ada, bob] = await pair(browser, server, ["File-A", "File-B"], "File");
  const buffer = Buffer.from(Uint8Array.from({ length: 700_001 }, (_, i) => (i * 31) % 253));
  await ada.locator("#file").setInputFiles({ name: "page.html", mimeType: "text/html", buffer });
  await ada.locator("#uploads").getByText("ready").waitFor();
  await say(ada, "here it is");
  const [download] = await Promise.all([bob.waitForEvent("download"), bob.getByRole("button", { name: "Save page.html" }).click()]);
  const hash = (bytes) => createHash("sha256").update(bytes).digest("hex");
  assert.equal(download.suggestedFilename(), "page.html");
  assert.equal(hash(await readFile(await download.path())), hash(buffer));
});

test("a picture is shown in place, and nothing else is", async () => {
  const [ada, bob] = await pair(browser, server, ["Picture-A", "Picture-B"], "Picture");
  const png = Buffer.from(await ada.screenshot({ clip: { x: 0, y: 0, width: 200, height: 100 } }));
  const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>');
  await ada.locator("#file").setInputFiles([{ name: "a.png", mimeType: "image/png", buffer: png }, { name: "b.svg", mimeType: "image/svg+xml", buffer: svg }]);
  await until(async () => (await ada.locator("#uploads .ready").count()) === 2, "two uploads");
  await ada.locator("#text").press("Enter");
  const picture = bob.locator("img[alt='a.png']");
  await picture.waitFor();
  assert.equal(await picture.evaluate(async (img) => { await img.decode(); return img.naturalWidth; }), 200);
  await bob.getByRole("button", { name: "Save b.svg" }).waitFor();
  assert.equal(await bob.locator("#messages img").count(), 1);
});

test("search finds words by their beginning, and leads to the message", async () => {
  const ada = await arrive(browser, server, "Search-A");
  await make(ada, "Search");
  await chatter(server, "Search-B", "Search", ["the needle in the haystack", ...lines("hay", 120)]);
  await message(ada, "hay 120").waitFor();
  await until(async () => (await ada.locator(".count").count()) === 0, "that all was read");
  await ada.reload();
  await message(ada, "hay 120").waitFor();
  assert.equal(await message(ada, "the needle in the haystack").count(), 0);
  await ada.locator("#show-search").click();
  await ada.getByLabel("Words to look for").fill("need hay");
  await ada.getByLabel("Words to look for").press("Enter");
  await ada.getByText("1 found.").waitFor();
  await ada.locator(".result").click();
  const found = ada.locator(".message.pointed", { hasText: "needle" });
  await found.waitFor();
  assert.equal(await found.evaluate((node) => node === document.activeElement), true);
  await ada.locator("#newest").click();
  await message(ada, "hay 120").waitFor();
});

test("older messages come while one scrolls up, and what one reads stays in place", async () => {
  const ada = await arrive(browser, server, "Scroll-A");
  await make(ada, "Scroll");
  await chatter(server, "Scroll-B", "Scroll", lines("line", 150));
  await message(ada, "line 150").waitFor();
  await until(async () => (await ada.locator(".count").count()) === 0, "that all was read");
  await ada.reload();
  await message(ada, "line 150").waitFor();
  assert.ok((await said(ada)).length <= 60);
  const place = async (text) => (await message(ada, text).boundingBox()).y;
  await message(ada, "line 105").waitFor();
  await ada.locator("#log").evaluate((log) => { log.scrollTop = 300; });
  const first = await ada.locator("#log").evaluate((log) => {
    const top = log.getBoundingClientRect().top;
    return [...document.querySelectorAll("li.message .text")].find((node) => node.getBoundingClientRect().top > top).textContent;
  });
  const before = await place(first);
  await message(ada, "line 60").waitFor();
  assert.ok(Math.abs((await place(first)) - before) < 2, "the line has moved");
  await until(async () => {
    await ada.locator("#log").evaluate((log) => { log.scrollTop = 0; });
    return (await message(ada, "line 1").count()) === 1;
  }, "the first message");
});

test("who types and who is there is seen by the others", async () => {
  const [ada, bob] = await pair(browser, server, ["Here-A", "Here-B"], "Here");
  await bob.locator("#text").pressSequentially("hi");
  await ada.getByText("Here-B is typing …").waitFor();
  const person = ada.locator(".person", { hasText: "Here-B" });
  await person.getByText("here now").waitFor();
  await bob.context().close();
  await person.getByText("not here").waitFor();
});

test("private rooms are entered by invitation, moderators keep order, direct rooms have two", async () => {
  const [ada, bob] = [await arrive(browser, server, "Mod-A"), await arrive(browser, server, "Mod-B")];
  await make(ada, "Secret", { secret: true });
  await ada.getByRole("button", { name: "Invite" }).click();
  await ada.getByLabel("Their name").fill("Mod-B");
  await ada.getByRole("dialog").getByRole("button", { name: "Invite" }).click();
  await bob.locator(".room", { hasText: "Secret" }).click();
  await ada.locator(".person", { hasText: "Mod-B" }).click();
  await ada.getByRole("button", { name: "Make moderator" }).click();
  await bob.locator(".person", { hasText: "Mod-B" }).getByText("moderator").waitFor();
  await ada.locator(".person", { hasText: "Mod-B" }).click();
  await ada.getByRole("button", { name: "Ban from the room" }).click();
  await bob.locator(".room", { hasText: "Secret" }).waitFor({ state: "detached" });
  await bob.getByText("Choose a room, or find one to join.").waitFor();
  await bob.locator("#add").click();
  await bob.getByLabel("Their name").fill("Mod-A");
  await bob.getByRole("button", { name: "Write" }).click();
  await bob.getByRole("heading", { name: "Mod-A", level: 1 }).waitFor();
  await say(bob, "sorry");
  await ada.locator(".room", { hasText: "Mod-B" }).click();
  await message(ada, "sorry").waitFor();
});

test("two pages of one account are two devices: what one sends and reads, the other has", async () => {
  const ada = await arrive(browser, server, "Twice-A");
  await make(ada, "Twice");
  const second = await ada.context().newPage();
  second.problems = [];
  await second.goto(server.url);
  await second.getByRole("heading", { name: "Twice", level: 1 }).waitFor();
  await say(second, "from the second");
  await message(ada, "from the second").waitFor();
  await say(ada, "from the first");
  await message(second, "from the first").waitFor();
  assert.deepEqual(await said(second), await said(ada));
});

test("many messages do not make the page grow", async () => {
  const ada = await arrive(browser, server, "Many-A");
  await make(ada, "Many");
  await chatter(server, "Many-B", "Many", lines("m", 1000));
  await message(ada, "m 1000").waitFor();
  assert.ok((await ada.locator("#messages > li").count()) <= 310);
});
