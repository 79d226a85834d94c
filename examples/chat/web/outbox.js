/**
 * What was said and is not confirmed yet: kept in the browser's storage, sent in order, sent again
 * with the same key until the server has taken or refused it. It survives a reload of the page;
 * a second page of the same account may send the same, which the key makes one message.
 */

import { refused, sentence } from "./errors.js";

const PREFIX = "framerpc-chat/outbox";
const PAUSE = 1000; // before it is said again, in milliseconds

/** A key that nobody else has; `crypto.randomUUID` is not there on a plain http page. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Outbox {
  /**
   * `send(entry)` says it and resolves to the message; `taken(message)` hears of it, `failed(entry)`
   * of one that was refused; `changed()` is called when a mark changed. An entry:
   * `{key, room, text, file, at, failed}`; `failed` says why, or is null.
   */
  constructor({ model, storage, send, taken, changed, failed = () => {}, pause = wait }) {
    Object.assign(this, { model, storage, send, taken, changed, failed, pause });
  }

  #running = new Set(); // rooms
  #stopped = false;

  /** Take up what was left by an earlier page. */
  load() {
    const found = [];
    for (let i = 0; i < this.storage.length; i++) {
      const name = this.storage.key(i);
      if (!name.startsWith(this.#name(""))) continue;
      const entry = parsed(this.storage.getItem(name));
      if (entry !== null) found.push(entry);
    }
    found.sort((a, b) => a.at - b.at);
    for (const entry of found) this.#admit(entry);
  }

  /** Say something; it is on its way at once. */
  add(room, text, file = null) {
    const at = Math.max(Date.now(), this.#latest + 1); // the order survives a quick hand
    this.#latest = at;
    const entry = { key: newKey(), room, text, file, at, failed: null };
    this.#keep(entry);
    this.#admit(entry);
    return entry;
  }

  #latest = 0;

  /** Say again what was refused. */
  retry({ room, key }) {
    const entry = this.model.at(room).pending.get(key);
    if (entry === undefined) return;
    entry.failed = null;
    this.#keep(entry);
    this.#admit(entry);
  }

  /** Do not say it after all. */
  discard({ room, key }) {
    this.model.at(room).pending.delete(key);
    this.storage.removeItem(this.#name(key));
    this.changed();
  }

  /** Forget everything that waits, here and in storage. */
  clear() {
    this.#stopped = true;
    const names = Array.from({ length: this.storage.length }, (_, i) => this.storage.key(i));
    for (const name of names) if (name.startsWith(this.#name(""))) this.storage.removeItem(name);
  }

  stop() { this.#stopped = true; }

  #name(key) { return `${PREFIX}/${this.model.me}/${key}`; }

  #keep(entry) {
    try {
      this.storage.setItem(this.#name(entry.key), JSON.stringify(entry));
    } catch {
      entry.fleeting = true; // the storage is full: it is sent, but does not survive a reload
    }
  }

  #admit(entry) {
    if (!this.model.at(entry.room).addPending(entry, this.model.me)) {
      this.storage.removeItem(this.#name(entry.key));
    }
    this.changed();
    this.#run(entry.room);
  }

  /** Send what waits in a room, one after the other. */
  async #run(id) {
    if (this.#running.has(id)) return;
    this.#running.add(id);
    const { pending } = this.model.at(id);
    try {
      for (;;) {
        const entry = [...pending.values()].find(({ failed }) => failed === null);
        if (entry === undefined || this.#stopped) return;
        await this.#once(entry);
      }
    } finally {
      this.#running.delete(id);
    }
  }

  async #once(entry) {
    try {
      this.taken(await this.send(entry));
      this.model.at(entry.room).pending.delete(entry.key);
      this.storage.removeItem(this.#name(entry.key));
    } catch (error) {
      if (!this.model.at(entry.room).pending.has(entry.key)) {
        this.storage.removeItem(this.#name(entry.key)); // its message has come, or nobody wants it
      } else if (!refused(error)) {
        await this.pause(Math.max(PAUSE, error.retryAfterMs ?? 0));
      } else {
        entry.failed = sentence(error);
        this.#keep(entry);
        this.failed(entry);
      }
    }
    this.changed();
  }
}

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function parsed(text) {
  try {
    const { key, room, text: said, file, at, failed } = JSON.parse(text);
    if (typeof key !== "string" || !Number.isSafeInteger(room) || typeof said !== "string") return null;
    return { key, room, text: said, file: file ?? null, at: Number(at) || 0, failed: failed ?? null };
  } catch {
    return null; // not ours, or of another version
  }
}
