/** The rows of the list of messages: days, what is new, what is missing, messages, what waits. */

import { avatar, el, icon, iconButton } from "./dom.js";
import { dayOf, fileName, linked, momentOf, names, sameDay, timeOf } from "./text.js";

const CLOSE = 5 * 60_000; // messages of one person in this time need one name

/**
 * `{key, sign, make}` for each row. `view`: `{room, span, me, may, divider, files, current, deeds}`;
 * `deeds` has what the buttons do.
 */
export function rowsOf(view) {
  const { room, span, divider } = view;
  const rows = [];
  let before = null;
  for (let number = span.low; number <= span.high; number++) {
    const message = room.messages.get(number);
    if (message === undefined) {
      missing(rows, number);
      before = null;
      continue;
    }
    if (before === null || !sameDay(before.sent, message.sent)) rows.push(dayRow(message, before === null));
    const isNew = divider !== null && number === divider + 1;
    if (isNew) rows.push({ key: "new", sign: "", make: () => el("li", { class: "new" }, el("span", {}, "New")) });
    const follows = before !== null && !isNew && before.who === message.who && sameDay(before.sent, message.sent) && message.sent - before.sent < CLOSE;
    rows.push(messageRow(view, message, follows));
    before = message;
  }
  if (span.high >= room.last) for (const entry of room.pending.values()) rows.push(pendingRow(view, entry));
  return rows;
}

function missing(rows, number) {
  const last = rows.at(-1);
  if (last?.key.startsWith("hole-")) {
    last.sign = `${++last.count}`;
    return;
  }
  const row = { key: `hole-${number}`, sign: "1", count: 1 };
  row.make = () => el("li", { class: "hole" }, row.count === 1 ? "Fetching a message …" : `Fetching ${row.count} messages …`);
  rows.push(row);
}

function dayRow({ sent, number }, first) {
  const name = dayOf(sent);
  return { key: first ? `day-first-${number}` : `day-${sent.toDateString()}`, sign: name, make: () => el("li", { class: "day" }, el("span", {}, name)) };
}

function messageRow(view, message, follows) {
  const { number, revision, file } = message;
  const active = view.current === number;
  const sign = [revision, follows, active, view.me, view.may.remove(message), file === null ? "" : view.files.sign(file)].join("|");
  return { key: `message-${number}`, sign, make: () => messageNode(view, message, follows, active) };
}

function messageNode(view, message, follows, active) {
  const { who, text, sent, number, file, edited, deleted, reactions } = message;
  const time = el("time", { datetime: sent.toISOString(), title: momentOf(sent) }, timeOf(sent));
  const label = `${who}, ${timeOf(sent)}`;
  return el("li", {
    class: `message${follows ? " follows" : ""}${who === view.me ? " own" : ""}`, tabindex: active ? "0" : "-1",
    data: { number, focus: "" },
  },
  el("div", { class: "gutter" }, follows ? time : avatar(who)),
  el("div", { class: "body" },
    follows ? el("span", { class: "hidden" }, label)
      : el("p", { class: "head" }, el("button", { type: "button", class: "who", tabindex: active ? "0" : "-1", onclick: () => view.deeds.meet(who) }, who), " ", time),
    deleted === null ? [
      text === "" ? null : el("p", { class: "text" }, ...textOf(text), edited === null ? null : el("span", { class: "note", title: momentOf(edited) }, " (edited)")),
      file === null ? null : view.files.element(file),
      reactionsOf(view, message, reactions),
    ] : el("p", { class: "text deleted" }, deleted === who ? "deleted" : `deleted by ${deleted}`)),
  deleted === null ? tools(view, message, active) : null);
}

const textOf = (text) => linked(text).map(({ text: part, href }) =>
  (href === undefined ? part : el("a", { href, target: "_blank", rel: "noopener noreferrer nofollow" }, part)));

function reactionsOf({ me, deeds }, message, reactions) {
  const kinds = Object.entries(reactions);
  if (kinds.length === 0) return null;
  return el("ul", { class: "reactions", "aria-label": "Reactions" }, ...kinds.map(([emoji, who]) => {
    const ours = who.includes(me);
    return el("li", {}, el("button", {
      type: "button", "aria-pressed": String(ours), title: names(who, 8), data: { focus: `react-${emoji}` },
      "aria-label": `${emoji} ${who.length}: ${names(who, 8)}`, onclick: () => deeds.react(message, emoji, !ours),
    }, el("span", { class: "emoji" }, emoji), " ", String(who.length)));
  }));
}

function tools({ may, deeds }, message, active) {
  const props = (focus) => ({ tabindex: active ? "0" : "-1", data: { focus } });
  return el("div", { class: "tools", role: "group", "aria-label": "Message" },
    iconButton("smile", "React", () => deeds.pick(message), props("pick")),
    may.edit(message) ? iconButton("pen", "Edit", () => deeds.edit(message), props("edit")) : null,
    may.remove(message) ? iconButton("bin", "Delete", () => deeds.remove(message), props("remove")) : null);
}

function pendingRow({ me, deeds }, entry) {
  const { key, text, file, failed } = entry;
  return { key: `pending-${key}`, sign: `${failed}`, make: () => el("li", { class: failed === null ? "message pending" : "message failed", data: { pending: key } },
    el("div", { class: "gutter" }, avatar(me)),
    el("div", { class: "body" },
      el("p", { class: "head" }, el("span", { class: "who" }, me), " ", el("span", { class: "note" }, failed === null ? (entry.fleeting ? "sending (not kept if you close this page) …" : "sending …") : "not sent")),
      text === "" ? null : el("p", { class: "text" }, ...textOf(text)),
      file === null ? null : el("p", { class: "note" }, icon("file"), fileName(file.name)),
      failed === null ? null : el("p", { class: "error" }, failed, " ",
        el("button", { type: "button", data: { focus: "retry" }, onclick: () => deeds.retry(entry) }, "Try again"), " ",
        el("button", { type: "button", data: { focus: "discard" }, onclick: () => deeds.discard(entry) }, "Discard")))) };
}
