// Takes the pictures for the README: `make screenshots`.

import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";

import { PYTHON, ROOT, Server, arrive, join_, launch, make, message, say, until } from "./stage.js";

const FOLDER = process.env.SCREENSHOTS ?? join(ROOT, "docs/images");
const SIZES = { wide: { width: 1280, height: 800 }, tablet: { width: 820, height: 1000 }, phone: { width: 390, height: 780 } };

const browser = await launch();
const server = await Server.start();
mkdirSync(FOLDER, { recursive: true });

const ada = await arrive(browser, server, "Ada");
const grace = await arrive(browser, server, "Grace");
const linus = await arrive(browser, server, "Linus");

async function lines(...list) {
  for (const [who, text] of list) {
    await say(who, text);
    await message(ada, text).waitFor();
  }
}

async function react(page, text, emoji) {
  await message(page, text).locator(".text").hover();
  await message(page, text).getByRole("button", { name: "React", exact: true }).click();
  await page.getByRole("button", { name: `React with ${emoji}` }).click();
  await message(page, text).locator(".reactions").getByText(emoji).waitFor();
}

await make(ada, "Lobby", { about: "Everybody is welcome" });
for (const each of [grace, linus]) await join_(each, "Lobby");
await make(ada, "Sunday at the lake", { about: "Who brings what, and when we meet" });
for (const each of [grace, linus]) await join_(each, "Sunday at the lake");
await lines(
  [grace, "Morning! I have asked for a table under the big tree."],
  [ada, "That is wonderful. How many of us are there?"],
  [grace, "Nine, and the dog."],
  [grace, "I will bring the lemonade and two cakes."],
);
await react(ada, "I will bring the lemonade and two cakes.", "🎉");
await react(linus, "I will bring the lemonade and two cakes.", "🎉");
await react(grace, "That is wonderful. How many of us are there?", "👀");
const png = await grace.evaluate(async () => {
  const canvas = new OffscreenCanvas(640, 320), c = canvas.getContext("2d");
  c.fillStyle = "#f4f6fc"; c.fillRect(0, 0, 640, 320);
  c.strokeStyle = "#d5daea"; for (let y = 40; y < 320; y += 56) { c.beginPath(); c.moveTo(0, y); c.lineTo(640, y); c.stroke(); }
  for (const [colour, base, wave] of [["#3451c7", 210, 22], ["#2c7336", 120, 12]]) {
    c.strokeStyle = colour; c.lineWidth = 4; c.beginPath();
    for (let x = 0; x <= 640; x += 4) c.lineTo(x, base + wave * Math.sin(x / 37) + wave / 2 * Math.sin(x / 11));
    c.stroke();
  }
  return [...new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer())];
});
await grace.locator("#file").setInputFiles({ name: "forecast.png", mimeType: "image/png", buffer: Buffer.from(png) });
await grace.locator("#uploads .ready").waitFor();
await lines([grace, "The forecast: warmth in blue, wind in green."]);
await ada.locator("img[alt='forecast.png']").waitFor();
await lines([linus, "Then let us meet at ten. The way is described at https://example.org/lake – the train leaves at nine."]);
await lines([ada, "I will be there."]);
await linus.locator(".room", { hasText: "Lobby" }).click();
await linus.getByRole("heading", { name: "Lobby", level: 1 }).waitFor();
for (const text of ["Lunch at noon?", "The usual place."]) await say(linus, text);
await linus.locator("#add").click();
await linus.getByLabel("Their name").fill("Ada");
await linus.getByRole("button", { name: "Write", exact: true }).click();
await linus.getByRole("heading", { name: "Ada", level: 1 }).waitFor();
await say(linus, "Do you have a minute?");
await ada.locator(".room", { hasText: "Linus" }).getByText("1 unread").waitFor();
await grace.locator("#text").pressSequentially("On i");
await ada.getByText("Grace is typing …").waitFor();

for (const [device, colorScheme] of [["wide", "light"], ["wide", "dark"], ["tablet", "light"], ["phone", "light"], ["phone", "dark"]]) {
  const viewport = SIZES[device];
  await ada.setViewportSize(viewport);
  await ada.emulateMedia({ colorScheme });
  if (device !== "wide" && await ada.locator("#side").isVisible()) await ada.locator("#side").getByRole("button", { name: /^Close/ }).click();
  await grace.locator("#text").press("t");
  await ada.getByText("Grace is typing …").waitFor();
  await ada.mouse.move(viewport.width / 2, 20);
  await until(() => ada.evaluate(() => document.getAnimations().length === 0), "a still picture");
  await ada.screenshot({ path: join(FOLDER, `chat-web-${device}-${colorScheme}.png`) });
}
// The same in the terminal, drawn by the browser.
const token = await ada.evaluate(() => localStorage.getItem("framerpc-chat/token"));
const svg = execFileSync(PYTHON, ["-m", "tests.browser.picture", server.tcp], {
  cwd: ROOT, encoding: "utf-8", env: { ...process.env, CHAT_TOKEN: token },
});
const sheet = await browser.newPage({ viewport: { width: 1180, height: 760 } });
await sheet.setContent(`<style>body { margin: 0 } svg { display: block; width: 1180px }</style>${svg}`);
await sheet.locator("svg").screenshot({ path: join(FOLDER, "chat-terminal.png"), omitBackground: true });

await browser.close();
await server.stop();
