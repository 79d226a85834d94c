/** Texts as people read them: times, sizes, and links in what was said. */

const LINK = /https?:\/\/[^\s<>"'`]+/gi;
const TRAILING = /[.,;:!?)\]}]+$/;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "short" });
const brief = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const day = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const dayOfYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });

export const timeOf = (date) => clock.format(date);
export const momentOf = (date) => whole.format(date);
export const brieflyOf = (date) => brief.format(date);

/** Names the day of a date, as seen on `today`. */
export function dayOf(date, today = new Date()) {
  const distance = Math.round((startOf(today) - startOf(date)) / 86_400_000);
  if (distance === 0) return "Today";
  if (distance === 1) return "Yesterday";
  return date.getFullYear() === today.getFullYear() ? day.format(date) : dayOfYear.format(date);
}

const startOf = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();

export const sameDay = (a, b) => startOf(a) === startOf(b);

export function sizeOf(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 * 1024) return `${Math.round(bytes / 1024)} KB`;
  return `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}

/** The name of a file without signs that turn it around: “cod.exe” must not pass for “exe.doc”. */
export const fileName = (name) => name.replace(/[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "");

/** Cut a text into `{text}` and `{text, href}`: only http and https become links. */
export function linked(text) {
  const parts = [];
  let at = 0;
  for (const match of text.matchAll(LINK)) {
    const href = trimmed(match[0]);
    if (!isWebAddress(href)) continue;
    if (match.index > at) parts.push({ text: text.slice(at, match.index) });
    parts.push({ text: href, href });
    at = match.index + href.length;
  }
  if (at < text.length) parts.push({ text: text.slice(at) });
  return parts;
}

/** A sentence goes on behind a link, but a closing bracket may be part of it. */
function trimmed(link) {
  const cut = link.replace(TRAILING, "");
  const open = cut.split("(").length - cut.split(")").length;
  return open > 0 && link[cut.length] === ")" ? `${cut})` : cut;
}

function isWebAddress(text) {
  try {
    return ["http:", "https:"].includes(new URL(text).protocol);
  } catch {
    return false;
  }
}

/** Cut a text where one of these words begins a word of it: `{text, hit}`. */
export function marked(text, query) {
  const words = query.toLowerCase().split(/[^\p{L}\p{N}]+/u).filter((word) => word !== "");
  if (words.length === 0) return [{ text, hit: false }];
  const escaped = words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const pattern = new RegExp(`(?<![\\p{L}\\p{N}])(${escaped.join("|")})`, "giu");
  return text.split(pattern).map((part, i) => ({ text: part, hit: i % 2 === 1 })).filter((part) => part.text !== "");
}

/** "Ada", "Ada and Bob", "Ada, Bob and 3 others". */
export function names(list, most = 3) {
  if (list.length <= 1) return list.join("");
  if (list.length <= most) return `${list.slice(0, -1).join(", ")} and ${list.at(-1)}`;
  return `${list.slice(0, most - 1).join(", ")} and ${list.length - most + 1} others`;
}
