/** The box to write in: drafts by room, editing, files that go up, and telling that we type. */

import { el, iconButton, reconcile } from "./dom.js";
import { sentence } from "./errors.js";
import { sizeOf } from "./text.js";
import { LONGEST, upload } from "./transfers.js";

const LONGEST_TEXT = 4000;
const WARN = 200; // characters left at which they are counted

export class Composer {
  /** `parts`: the elements; `say(text, file)`; `edit(message, text)`: whether it was done; `lastOwn()`: what ↑ edits. */
  constructor({ parts, session, drafts, say, edit, lastOwn, complain }) {
    Object.assign(this, parts, { session, drafts, say, edit, lastOwn, complain });
    this.form.addEventListener("submit", (event) => { event.preventDefault(); this.#send(); });
    this.text.addEventListener("input", () => this.#typed());
    this.text.addEventListener("keydown", (event) => this.#key(event));
    this.text.addEventListener("paste", (event) => this.#take(event, event.clipboardData));
    this.attach.addEventListener("click", () => this.file.click());
    this.file.addEventListener("change", () => { this.add(this.file.files); this.file.value = ""; });
    this.cancelEdit.addEventListener("click", () => { this.cancel(); this.focus(); });
    for (const name of ["dragover", "drop"]) {
      this.frame.addEventListener(name, (event) => this.#take(event, event.dataTransfer));
    }
  }

  #room = null;
  #uploads = new Map(); // room: uploads
  #editing = null;
  #count = 0;

  /** Write in another room. */
  show(room) {
    if (room === this.#room) return;
    this.cancel();
    this.#room = room;
    this.text.value = this.#draft;
    this.#grow();
    this.#render();
  }

  get #draft() { return this.#room === null ? "" : this.drafts.get(this.#room.id); }

  get #files() {
    const { id } = this.#room;
    if (!this.#uploads.has(id)) this.#uploads.set(id, []);
    return this.#uploads.get(id);
  }

  focus() { this.text.focus(); }

  // ---------------------------------------------------------------------------------- editing

  change(message) {
    this.#editing = message;
    this.text.value = message.text;
    this.editing.hidden = false;
    this.#grow();
    this.focus();
  }

  /** Stop editing; true if there was something to stop. */
  cancel() {
    if (this.#editing === null) return false;
    this.#editing = null;
    this.editing.hidden = true;
    this.text.value = this.#draft;
    this.#grow();
    return true;
  }

  #key(event) {
    if (event.isComposing) return;
    const coarse = matchMedia("(pointer: coarse)").matches;
    if (event.key === "Enter" && !event.shiftKey && !coarse) {
      event.preventDefault();
      this.#send();
    } else if (event.key === "ArrowUp" && this.text.value === "" && !event.altKey) {
      const message = this.lastOwn();
      if (message === null) return;
      event.preventDefault();
      this.change(message);
    }
  }

  #typed() {
    this.#grow();
    if (this.#editing !== null) return;
    this.drafts.set(this.#room.id, this.text.value);
    if (this.text.value !== "") this.session.typing(this.#room.id);
  }

  #grow() {
    this.text.style.height = "auto";
    this.text.style.height = `${this.text.scrollHeight}px`;
    const over = [...this.text.value].length - LONGEST_TEXT;
    this.left.textContent = over > 0 ? `${over} characters too long` : over > -WARN ? `${-over} characters left` : "";
  }

  #send() {
    const text = this.text.value.trim();
    if ([...text].length > LONGEST_TEXT) return; // the hint says so
    if (this.#editing !== null) {
      if (text === "") return;
      const message = this.#editing;
      this.cancel();
      if (text !== message.text) this.#edit(message, text);
      return;
    }
    const files = this.#files;
    if (files.some(({ done }) => done === null)) {
      this.complain("A file is still on its way.");
      return;
    }
    if (text === "" && files.length === 0) return;
    const [first, ...others] = files.splice(0);
    this.say(text, first?.done ?? null);
    for (const { done } of others) this.say("", done);
    this.text.value = "";
    this.drafts.set(this.#room.id, "");
    this.#grow();
    this.#render();
  }

  /** Change a message; where that fails, what was typed stands in the box again, if that is free. */
  async #edit(message, text) {
    const room = this.#room;
    if (await this.edit(message, text) || this.#room !== room || this.#editing !== null || this.text.value !== "") return;
    this.change(message);
    this.text.value = text;
    this.#grow();
  }

  // ------------------------------------------------------------------------------------ files

  /** Files that were pasted or dropped. */
  #take(event, transfer) {
    if (![...transfer?.types ?? []].includes("Files")) return;
    event.preventDefault();
    if (event.type !== "dragover") this.add(transfer.files);
  }

  add(list) {
    for (const blob of list) {
      if (blob.size > LONGEST) this.complain(`“${blob.name}” is too long: ${sizeOf(blob.size)}, the limit is ${sizeOf(LONGEST)}.`);
      else if (blob.size === 0) this.complain(`“${blob.name}” is empty.`);
      else this.#upload(blob);
    }
  }

  async #upload(blob) {
    const files = this.#files;
    const stop = new AbortController();
    const one = { key: String(++this.#count), blob, stop, sent: 0, done: null };
    files.push(one);
    this.#render();
    const progress = (sent) => { one.sent = sent; this.#render(); };
    try {
      one.done = await upload(this.session.client, this.#room.id, blob, { signal: stop.signal, progress });
    } catch (error) {
      files.splice(files.indexOf(one), 1);
      if (!stop.signal.aborted) this.complain(`“${blob.name}” was not uploaded. ${sentence(error)}`);
    }
    this.#render();
  }

  #remove(one) {
    const at = this.#files.indexOf(one);
    this.attach.focus(); // the button that was pressed goes
    one.stop.abort();
    if (one.done !== null && at !== -1) {
      this.#files.splice(at, 1);
      this.session.call("discard", { file: one.done.id }).catch(() => {}); // the server forgets it some day
    }
    this.#render();
  }

  #render() {
    const files = this.#room === null ? [] : this.#files;
    reconcile(this.uploads, files.map((one) => {
      const { key, blob, done } = one;
      const percent = done === null ? Math.floor(100 * one.sent / blob.size) : 100;
      return { key, sign: `${percent}|${done !== null}`, make: () => el("li", {},
        el("span", { class: "name" }, blob.name), el("span", { class: "muted" }, sizeOf(blob.size)),
        done === null ? el("progress", { max: 100, value: percent, "aria-label": `Uploading ${blob.name}` }) : el("span", { class: "ready" }, "ready"),
        iconButton("close", `Do not send ${blob.name}`, () => this.#remove(one), { data: { focus: "remove" } })) };
    }));
  }
}
