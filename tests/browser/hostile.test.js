// Browsers that keep nothing, people who are sent away, and what went wrong: nothing is lost, the focus is somewhere.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";

import { Server, arrive, chatter, launch, make, message, pair, said, say, until, visit } from "./stage.js";

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

test("who logs out leaves no draft behind, in no page of the browser", async () => {
  const ada = await arrive(browser, server, "Gone-A");
  await make(ada, "Gone");
  const other = await ada.context().newPage();
  await other.goto(ada.url());
  await other.getByRole("heading", { name: "Gone", level: 1 }).waitFor();
  for (const page of [ada, other]) await page.locator("#text").fill("a secret");
  await ada.locator("#account").click();
  await ada.getByRole("button", { name: "Log out" }).click();
  await ada.getByRole("dialog", { name: "Log out?" }).getByRole("button", { name: "Log out" }).click();
  for (const page of [ada, other]) {
    await page.getByLabel("Your name").waitFor();
    assert.equal(await page.evaluate(() => JSON.stringify([sessionStorage, localStorage]).includes("secret")), false);
  }
});

test("a page that may not copy says so, and shows the token all the same", async () => {
  const ada = await odd("Copy-A", () => Object.defineProperty(navigator, "clipboard", { value: undefined }));
  await ada.locator("#account").click();
  await ada.getByRole("button", { name: "Show my token" }).click();
  await ada.getByRole("button", { name: "Copy", exact: true }).click();
  await ada.getByRole("button", { name: "Not copied" }).waitFor();
});

test("a page that the server refuses rests, also where messages are missing", async () => {
  const [ada, bob] = await pair(browser, server, ["Rest-A", "Rest-B"], "Rest");
  await chatter(server, "Rest-C", "Rest", Array.from({ length: 120 }, (_, i) => `line ${i + 1}`));
  await message(ada, "line 120").waitFor();
  await bob.context().close();
  await until(async () => (await ada.locator(".count").count()) === 0, "that all was read");
  let drop;
  await ada.routeWebSocket(/rpc/, (socket) => {
    const there = socket.connectToServer();
    drop = () => { socket.close({ code: 4003 }); there.close(); };
  });
  await ada.reload();
  await message(ada, "line 120").waitFor();
  drop();
  await ada.locator("#connection").getByText("Refused").waitFor();
  await ada.locator("#log").evaluate((log) => { log.scrollTop = 0; });
  await ada.locator(".hole").first().waitFor();
  const draws = await ada.evaluate(async () => {
    let count = 0;
    new MutationObserver(() => count++).observe(document.querySelector("#account"), { childList: true });
    await new Promise((resolve) => setTimeout(resolve, 1000));
    return count;
  });
  assert.ok(draws < 5, `drawn ${draws} times in a second`);
});

test("the focus is somewhere, whatever goes away beneath it", async () => {
  const [ada, bob] = await pair(browser, server, ["Focus-A", "Focus-B"], "Focus");
  const lost = async (what) => {
    await ada.waitForTimeout(100); // a focus is lost when the next frame is drawn
    assert.equal(await ada.evaluate(() => document.activeElement === document.body), false, `after ${what}`);
  };
  const press = async (button, what) => { await button.press("Enter"); await lost(what); };
  await say(ada, "hello");
  await message(ada, "hello").waitFor();
  await press(ada.getByRole("button", { name: "Close the list of people" }), "closing the people");
  await ada.locator("#show-search").click();
  await press(ada.getByRole("button", { name: "Close the search" }), "closing the search");
  await ada.locator("#text").press("ArrowUp");
  await press(ada.locator("#cancel-edit"), "cancelling an edit");
  await ada.locator("#file").setInputFiles({ name: "a.txt", mimeType: "text/plain", buffer: Buffer.from("x") });
  await ada.locator("#uploads .ready").waitFor();
  await press(ada.getByRole("button", { name: "Do not send a.txt" }), "taking a file away");
  await ada.locator("#account").click();
  await press(ada.getByRole("button", { name: "Show my token" }), "showing the token");
  await ada.keyboard.press("Escape");
  const id = await ada.evaluate(() => Number(location.hash.slice(2)));
  const keep = (room) => localStorage.setItem("framerpc-chat/outbox/Focus-A/old", JSON.stringify({ key: "old", room, text: "refused once", file: null, at: 5, failed: "no" }));
  await ada.evaluate(keep, id);
  await ada.reload();
  await press(ada.getByRole("button", { name: "Try again" }), "trying again");
  await message(bob, "refused once").waitFor();
  await lost("it was said");
});

test("who is told that a name is taken can type another one", async () => {
  await arrive(browser, server, "Taken-A");
  const stranger = await visit(browser, server);
  await stranger.getByLabel("Your name").fill("Taken-A");
  await stranger.getByRole("button", { name: "Join the chat" }).press("Enter");
  await stranger.getByText("is taken").waitFor();
  await stranger.locator("#register-name:focus, #register button:focus").waitFor();
});

test("who is removed from the room that is open is told so", async () => {
  const [ada, bob] = await pair(browser, server, ["Removed-A", "Removed-B"], "Removed");
  await bob.locator("#text").focus();
  await ada.locator(".person", { hasText: "Removed-B" }).click();
  await ada.getByRole("button", { name: "Remove from the room" }).click();
  await bob.locator("#toasts").getByText("You are not in Removed any more.").waitFor();
  assert.equal(await bob.evaluate(() => document.activeElement === document.body), false);
});

/** Let each frame of the server come by itself, well behind the one before. */
async function slowly(page) {
  await page.routeWebSocket(/rpc/, (socket) => {
    const behind = socket.connectToServer();
    let rest = Buffer.alloc(0), turn = Promise.resolve(), greeted = false;
    behind.onMessage((bytes) => {
      rest = Buffer.concat([rest, bytes]);
      for (;;) { // the preamble has 8 bytes, a frame says its length in 4
        const end = greeted ? 4 + (rest.length < 4 ? Infinity : rest.readUInt32BE(0)) : 8;
        if (rest.length < end) break;
        const frame = rest.subarray(0, end);
        rest = rest.subarray(end);
        greeted = true;
        turn = turn.then(() => new Promise((done) => setTimeout(done, 40))).then(() => socket.send(frame));
      }
    });
  });
  await page.reload();
}

test("who leaves a room is not told that they are out", async () => {
  const [, bob] = await pair(browser, server, ["Leave-A", "Leave-B"], "Leave");
  await slowly(bob);
  await bob.getByRole("heading", { name: "Leave", level: 1 }).waitFor();
  await bob.locator("#connection:not(.connecting)").waitFor();
  await bob.getByRole("button", { name: "Leave the room" }).click();
  await bob.getByRole("dialog").getByRole("button", { name: "Leave" }).click();
  await bob.getByText("Choose a room, or find one to join.").waitFor();
  assert.equal(await bob.locator("#toasts p").count(), 0);
});

test("a page dials at once when the network is back", async () => {
  const ada = await odd("Wake-A", () => {
    Math.random = () => 1; // the longest pauses
    const Real = window.WebSocket;
    window.dials = 0;
    window.WebSocket = class extends Real {
      constructor(...args) {
        window.dials++;
        if (window.cut) throw new Error("the network is away");
        super(...args);
        window.last = this;
      }
    };
  });
  await ada.evaluate(() => { window.cut = true; window.last.close(); });
  await ada.locator("#connection.connecting").waitFor();
  await until(() => ada.evaluate(() => {
    const before = window.dials;
    dispatchEvent(new Event("online"));
    return window.dials === before + 1;
  }), "a dial");
});

test("an edit that failed is not lost: it stands in the box again", async () => {
  const ada = await arrive(browser, server, "Edit-A");
  await make(ada, "Edit");
  await say(ada, "first");
  await message(ada, "first").waitFor();
  await ada.locator("#text").press("ArrowUp");
  await ada.locator("#text").fill("second");
  const other = await ada.context().newPage();
  await other.goto(server.url);
  await message(other, "first").hover();
  await other.getByRole("button", { name: "Delete", exact: true }).click();
  await other.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await ada.locator(".text.deleted").waitFor();
  await ada.locator("#text").press("Enter");
  await ada.locator("#toasts p").waitFor();
  await ada.getByText("Editing a message").waitFor();
  assert.equal(await ada.locator("#text").inputValue(), "second");
});

test("the way back from a room is the same by button and by browser, and leaves no trail", async () => {
  const phone = { viewport: { width: 360, height: 720 }, hasTouch: true, isMobile: true };
  const [, bob] = await pair(browser, server, ["Trail-A", "Trail-B"], "Trail", phone);
  await bob.locator("#back").tap();
  await bob.locator(".room").waitFor();
  const before = await bob.evaluate(() => history.length);
  for (let i = 0; i < 3; i++) {
    await bob.locator(".room").tap();
    await bob.locator("#talk").waitFor();
    await bob.locator("#back").tap();
    await bob.locator(".room:focus").waitFor();
  }
  assert.ok(await bob.evaluate(() => history.length) <= before + 1);
});

test("what has to be said is said above a dialog, and not too much of it", async () => {
  const ada = await arrive(browser, server, "Toast-A");
  await make(ada, "Toast");
  await ada.locator("#account").click();
  await ada.getByRole("dialog").waitFor();
  await ada.locator("#file").setInputFiles(Array.from({ length: 12 }, (_, i) => ({ name: `empty ${i}.txt`, mimeType: "text/plain", buffer: Buffer.alloc(0) })));
  const last = ada.getByText("“empty 11.txt” is empty.");
  await last.waitFor();
  assert.ok(await last.evaluate((node) => {
    const { left, top, width, height } = node.getBoundingClientRect();
    const above = node.closest("dialog");
    return above !== null && top > 0 && left > 0 && top + height < innerHeight && width > 0;
  }));
  assert.ok(await ada.locator(".toasts p").count() <= 4);
  await ada.keyboard.press("Escape");
});

test("files that were taken away again leave room for others", async () => {
  const ada = await arrive(browser, server, "Again-A");
  await make(ada, "Again");
  for (let i = 0; i < 11; i++) { // the server keeps ten that wait for their message
    await ada.locator("#file").setInputFiles({ name: `${i}.txt`, mimeType: "text/plain", buffer: Buffer.from("x") });
    await ada.locator("#uploads .ready").waitFor();
    await ada.getByRole("button", { name: `Do not send ${i}.txt` }).click();
    await ada.locator("#uploads li").waitFor({ state: "detached" });
  }
  assert.equal(await ada.locator("#toasts p").count(), 0);
});
