/**
 * The list of messages: what is in sight, where it stands, and what was read.
 *
 * It shows a span of the room, follows the newest while one is at the bottom, and keeps what one
 * reads in place when older messages come above it.
 */

import { el, icon, reconcile } from "./dom.js";
import { MOST, STEP, Span } from "./span.js";
import { rowsOf } from "./rows.js";
import { rights } from "./model.js";

const NEAR = 700; // pixels from an end at which more is fetched
const BOTTOM = 30; // pixels from the bottom that still count as there

export class MessagesView {
  /** `deeds`: what the buttons of a message do; `seen(room, number)`: it was shown up to here. */
  constructor({ log, list, newest, session, model, files, deeds, seen, changed }) {
    Object.assign(this, { log, list, newest, session, model, files, deeds, seen, changed });
    log.addEventListener("scroll", () => this.#scrolled());
    log.addEventListener("keydown", (event) => this.#key(event));
    list.addEventListener("focusin", (event) => this.#choose(event));
    list.addEventListener("click", (event) => this.#tapped(event));
    newest.addEventListener("click", () => { this.toNewest(); this.log.focus({ preventScroll: true }); });
    this.#watchSize();
  }

  room = null;
  #span = null; // null until the room was entered
  #divider = null; // number of the last message before the news
  #caughtUp = true; // there was nothing unread
  #current = null; // number of the message that the keyboard is on
  #drawn = 0; // number of the last message when the list was drawn; scrolling is heard of later
  #goal = null; // number to go to when it is there
  #flash = null;

  /** Show a room, at one of its messages or where one stopped reading. */
  show(room, number = null) {
    if (room === this.room && number === null) return;
    if (room !== this.room) {
      this.room = room;
      this.#span = null;
      this.#current = this.#divider = null;
      this.list.replaceChildren();
    }
    this.#goal = number;
    if (number !== null) this.#span?.around(number, room.last);
    this.changed();
  }

  /** At the newest message, and stay there. */
  toNewest() {
    if (this.room === null || this.#span === null) return;
    if (this.#span.high < this.room.last) this.#span.toNewest(this.room.last);
    this.#span.follows = true;
    this.#goal = null;
    this.render();
  }

  /** We have said something: nothing above is new to us. */
  said() {
    this.#divider = null;
    this.toNewest();
  }

  /** Whether the newest message is in sight. */
  get atNewest() {
    return this.#span !== null && this.#span.follows && this.#span.high >= this.room.last;
  }

  render() {
    const { room } = this;
    if (room === null || room.info === null) return;
    if (this.#span === null && !this.#begin()) {
      reconcile(this.list, [{ key: "wait", sign: "", make: () => el("li", { class: "hole" }, "Fetching messages …") }]);
      return;
    }
    const span = this.#span;
    this.#mark();
    span.grow(room.last);
    room.prune(span.low, span.high);
    if (room.holes(span.low, span.high).length > 0) this.session.fill(room.id, span.low, span.high);
    this.#place();
    this.#seen();
    this.#offerNewest();
  }

  /** The room was entered: choose where to begin. */
  #begin() {
    const { room } = this;
    if (!room.entered) return false;
    this.#span = new Span(room.last);
    this.log.setAttribute("aria-busy", "true"); // all of it is no news
    if (this.#goal !== null) {
      this.#span.around(this.#goal, room.last);
    } else if (room.unread > 0 && room.read > 0) {
      this.#divider = room.read;
      this.#span.low = Math.max(1, Math.min(this.#span.low, room.read - STEP / 2));
      this.#span.high = Math.min(room.last, this.#span.low + MOST - 1);
      this.#goal = "new";
    }
    return true;
  }

  /** Note where the news begin, when they come while nobody looks. */
  #mark() {
    const { room } = this;
    const looks = document.visibilityState === "visible" && this.#span.follows;
    if (this.#caughtUp && room.unread > 0 && !looks) this.#divider = room.read;
    this.#caughtUp = room.unread === 0;
  }

  /** Put the rows there, and the scroll position where it belongs. */
  #place() {
    const { log, list } = this;
    const anchor = this.#span.follows ? null : this.#anchor();
    const { room, model } = this;
    this.#drawn = room.last;
    reconcile(list, rowsOf({
      room, span: this.#span, me: model.me, may: rights(room, model.me), divider: this.#divider,
      files: this.files, current: this.#current, deeds: this.deeds,
    }));
    if (this.#goal !== null && this.#reach()) this.#settled();
    else if (this.#span.follows && this.#goal === null) log.scrollTop = log.scrollHeight;
    else if (anchor !== null) this.#keep(anchor);
    if (log.getAttribute("aria-busy") === "true") setTimeout(() => log.removeAttribute("aria-busy"), 100);
  }

  /** The first row in sight, and where it is. */
  #anchor() {
    const top = this.log.getBoundingClientRect().top;
    for (const row of this.list.children) {
      const { bottom, top: at } = row.getBoundingClientRect();
      if (bottom > top && /^message/.test(row.dataset.key)) return { key: row.dataset.key, at };
    }
    return null;
  }

  #keep({ key, at }) {
    const row = this.list.querySelector(`[data-key="${key}"]`);
    if (row !== null) this.log.scrollTop += row.getBoundingClientRect().top - at;
  }

  /** Go to the goal, if it is there. */
  #reach() {
    const name = this.#goal === "new" ? "new" : `message-${this.#goal}`;
    const row = this.list.querySelector(`[data-key="${name}"]`);
    if (row === null) return false;
    row.scrollIntoView({ block: this.#goal === "new" ? "start" : "center" });
    if (this.#goal === "new") this.log.scrollTop -= 60;
    else this.#point(row, this.#goal);
    this.#goal = null;
    return true;
  }

  #point(row, number) {
    this.#current = number;
    row.classList.add("pointed");
    row.focus({ preventScroll: true });
    clearTimeout(this.#flash);
    this.#flash = setTimeout(() => { for (const each of this.list.querySelectorAll(".pointed")) each.classList.remove("pointed"); }, 2500);
  }

  // -------------------------------------------------------------------------------- scrolling

  #scrolled() {
    if (this.#span === null || this.#goal !== null) return;
    this.#settled();
    const { log } = this;
    const below = log.scrollHeight - log.scrollTop - log.clientHeight;
    let moved = false;
    if (log.scrollTop < NEAR) moved = this.#span.older();
    if (below < NEAR && !this.#span.follows) moved = this.#span.newer(this.room.last) || moved;
    if (moved) {
      log.setAttribute("aria-busy", "true");
      this.#span.follows = false;
      this.#place();
      this.#settled();
      this.changed();
    }
    this.#seen();
    this.#offerNewest();
  }

  /** See whether we are at the bottom. */
  #settled() {
    const { log } = this;
    const below = log.scrollHeight - log.scrollTop - log.clientHeight;
    this.#span.follows = below <= BOTTOM && this.#span.high >= this.#drawn;
  }

  #watchSize() {
    const stay = () => {
      if (this.#span?.follows && this.#goal === null) this.log.scrollTop = this.log.scrollHeight;
    };
    const observer = new ResizeObserver(stay); // the keyboard of a phone, a picture, a longer draft
    observer.observe(this.log);
    observer.observe(this.list);
  }

  /** Tell what was read: the newest is shown to somebody who can see it. */
  #seen() {
    const { room } = this;
    if (document.visibilityState !== "visible" || !this.atNewest || !room.messages.has(room.last)) return;
    if (room.unread > 0) this.seen(room, room.last);
  }

  #offerNewest() {
    this.newest.hidden = this.atNewest || this.room.last === 0;
    const { unread } = this.room;
    const text = unread > 0 ? `${unread} new` : "Newest";
    if (this.newest.textContent !== text) this.newest.replaceChildren(icon("down"), text);
  }

  // --------------------------------------------------------------------------------- keyboard

  #choose({ target }) {
    const row = target.closest("li.message[data-number]");
    if (row === null || Number(row.dataset.number) === this.#current) return;
    this.#current = Number(row.dataset.number);
    this.changed();
  }

  /** A finger on a message shows what one can do with it. */
  #tapped({ target }) {
    if (target.closest("button, a") === null && getSelection().isCollapsed) target.closest("li.message[data-number]")?.focus({ preventScroll: true });
  }

  #key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    const rows = [...this.list.querySelectorAll("li.message[data-number]")];
    const at = rows.findIndex((row) => row.contains(document.activeElement));
    const next = at === -1 ? rows.at(-1) : rows[at + step];
    if (next === undefined) return;
    event.preventDefault();
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  }
}
