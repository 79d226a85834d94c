/** The stage of the tests: a server that can be killed, a browser, and people in it. */

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
export const PYTHON = process.env.PYTHON ?? join(ROOT, ".venv/bin/python");
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

/** Run a command of the line mode to its end; `home` is where its tokens are. */
async function chat(server, home, input, ...words) {
  const child = spawn(PYTHON, ["-m", "examples.chat", ...words, "--url", server.tcp], {
    cwd: ROOT, stdio: ["pipe", "ignore", "inherit"], env: { ...process.env, CHAT_HOME: home },
  });
  children.add(child);
  child.stdin.end(input);
  const [code] = await once(child, "exit");
  assert.equal(code, 0, `chat ${words.join(" ")}`);
}

/** Somebody new in a room, by the line mode: returns where their tokens are. */
async function newcomer(server, name, room) {
  const home = mkdtempSync(join(tmpdir(), "chat-home-"));
  await chat(server, home, "", "register", name);
  await chat(server, home, "", "join", room);
  return home;
}

/** Somebody comes, says all this, and goes. */
export async function chatter(server, name, room, texts) {
  const home = await newcomer(server, name, room);
  await chat(server, home, texts.map((text) => `${text}\n`).join(""), "say", room);
  rmSync(home, { recursive: true });
}

/** Somebody at the client in a real terminal, which is so tall that everything stands on it. */
export class Terminal {
  #home;

  static async open(server, name, room) {
    const terminal = new Terminal();
    terminal.#home = await newcomer(server, name, room);
    const command = `cd '${ROOT}' && exec env CHAT_HOME='${terminal.#home}' TERM=xterm-256color LANG=C.UTF-8 '${PYTHON}' -m examples.chat --url ${server.tcp}`;
    terminal.#tmux("-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "250", command);
    await until(() => terminal.screen.includes("Say something"), `the terminal of ${name}`);
    return terminal;
  }

  #tmux(...words) {
    return execFileSync("tmux", ["-S", join(this.#home, "tmux"), ...words], { encoding: "utf-8" });
  }

  get screen() { return this.#tmux("capture-pane", "-p"); }

  /** The lines of the screen that are one of these texts, from the top. */
  said(texts) { return this.screen.split("\n").map((line) => line.slice(24, 76).trim()).filter((line) => texts.has(line)); }

  say(text) {
    this.#tmux("send-keys", "-l", text);
    this.#tmux("send-keys", "Enter");
  }

  close() {
    this.#tmux("kill-server");
    rmSync(this.#home, { recursive: true, force: true });
  }
}

/** Why there can be no terminal here; false if there can. */
export const NO_TERMINAL = (process.env.PATH ?? "").split(delimiter).some((folder) => existsSync(join(folder, "tmux"))) ? false : "there is no tmux";

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
