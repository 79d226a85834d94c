/** The stage of the tests: a server that can be killed, a browser, and people in it. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PYTHON = process.env.PYTHON ?? join(ROOT, ".venv/bin/python");
const CHROMIUM = process.env.CHROMIUM ?? (process.env.PATH ?? "").split(delimiter)
  .flatMap((folder) => ["chromium", "chromium-browser", "google-chrome"].map((name) => join(folder, name))).find(existsSync);
const ARGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--no-proxy-server",
];
export const PATIENCE = 20_000; // milliseconds until what should happen counts as never

export const launch = () => chromium.launch({ executablePath: CHROMIUM, args: ARGS });

const children = new Set();
process.on("exit", () => { for (const child of children) child.kill("SIGKILL"); }); // when a test breaks off

function python(...words) {
  const child = spawn(PYTHON, ["-m", ...words], { cwd: ROOT, stdio: ["pipe", "pipe", "inherit"] });
  children.add(child);
  return child;
}

/** A server of the chat, with its data and its ports for as long as the test goes on. */
export class Server {
  #child = null;
  #data = mkdtempSync(join(tmpdir(), "chat-"));
  tcp = "tcp://127.0.0.1:0";
  url = "http://127.0.0.1:0/";

  static async start() {
    const server = new Server();
    await server.start();
    return server;
  }

  /** Start it, or start it again where it was. */
  async start() {
    this.#child = python("examples.chat", "serve", "--data", this.#data, "--url", this.tcp, "--http", new URL(this.url).host);
    const lines = [];
    for await (const line of createInterface({ input: this.#child.stdout })) if (lines.push(line) === 2) break;
    assert.equal(lines.length, 2, "the server does not start");
    [this.tcp, this.url] = lines;
  }

  /** It dies without a word. */
  async kill() {
    const gone = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await gone;
  }

  async stop() {
    await this.kill();
    rmSync(this.#data, { recursive: true, force: true });
  }
}

/** Somebody in the terminal: tests/browser/member.py. */
export class Member {
  constructor(server, name, room) {
    this.#child = python("tests.browser.member", server.tcp, name, room);
    createInterface({ input: this.#child.stdout }).on("line", (line) => this.heard.push(JSON.parse(line)));
  }

  #child;
  heard = []; // [number, who, text]

  say(text) { this.#child.stdin.write(`${text}\n`); }

  async leave() {
    const gone = once(this.#child, "exit");
    this.#child.kill();
    await gone;
  }
}

/** Somebody comes, says all this, and goes. */
export async function chatter(server, name, room, texts) {
  const member = new Member(server, name, room);
  for (const text of texts) member.say(text);
  await until(() => member.heard.filter(([, who]) => who === name).length === texts.length, `what ${name} said`);
  await member.leave();
}

/** A page in a browser of its own, with what went wrong in it. */
export async function visit(browser, server, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: "en-GB", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.problems = [];
  page.on("pageerror", (error) => page.problems.push(String(error)));
  page.on("console", (message) => {
    const expected = /WebSocket connection to|net::ERR|followed again soon/.test(message.text()); // a server was killed
    if (["error", "warning"].includes(message.type()) && !expected) page.problems.push(message.text());
  });
  await page.goto(server.url);
  return page;
}

/** Somebody with an account. */
export async function arrive(browser, server, name, options = {}) {
  const page = await visit(browser, server, options);
  await page.getByLabel("Your name").fill(name);
  await page.getByRole("button", { name: "Join the chat" }).click();
  await page.locator("#account .name").waitFor();
  return page;
}

export async function make(page, room, { about = "", secret = false } = {}) {
  await page.locator("#add").click();
  await page.getByLabel("Name of the room").fill(room);
  await page.getByLabel("What it is for").fill(about);
  if (secret) await page.getByLabel("Private").check();
  await page.getByRole("button", { name: "Make it" }).click();
  await page.getByRole("heading", { name: room, level: 1 }).waitFor();
}

export async function join_(page, room) {
  await page.locator("#add").click();
  await page.getByRole("button", { name: `Join ${room}` }).click();
  await page.getByRole("heading", { name: room, level: 1 }).waitFor();
}

/** Two people in a room of their own. */
export async function pair(browser, server, names, room, options = {}) {
  const [ada, bob] = [await arrive(browser, server, names[0], options), await arrive(browser, server, names[1], options)];
  await make(ada, room);
  await join_(bob, room);
  return [ada, bob];
}

export async function say(page, text) {
  await page.locator("#text").fill(text);
  await page.locator("#text").press("Enter");
}

/** What stands in the list of messages, confirmed ones only. */
export const said = (page) => page.locator("li.message[data-number] .text").allInnerTexts();

export const message = (page, text) => page.locator("li.message", { has: page.getByText(text, { exact: true }) });

/** Wait until this holds. */
export async function until(holds, what) {
  const end = Date.now() + PATIENCE;
  for (let last; ;) {
    try {
      if (await holds()) return;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) assert.fail(`${what} never came true${last === undefined ? "" : `: ${last}`}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
