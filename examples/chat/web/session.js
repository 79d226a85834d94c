/**
 * Keeps a model current over one client: follows what is ours and each room of ours, fills holes,
 * tells what was read and that we type, and is present in the room that is open.
 *
 * It knows no document. `changed()` is called whenever the model or the connection changed.
 */

import { Outbox } from "./outbox.js";
import { refused, sentence } from "./errors.js";
import { takesPart } from "./model.js";

const LAST = 50; // messages of a room to begin with
const PAGE = 200; // messages in one answer of the server, at most
const SHOWN = 5000; // how long typing is shown, in milliseconds
const TYPING = 2500; // how often it is told
const AGAIN = 2000; // pause before a watch that failed is tried again

export class Session {
  constructor(client, model, { storage, changed, heard = () => {}, failed = () => {}, pause = wait }) {
    Object.assign(this, { client, model, changed, heard, pause });
    this.connection = { state: client.state, since: Date.now(), why: "" };
    this.outbox = new Outbox({
      model, storage, changed, failed, pause,
      send: (entry) => this.call("say", {
        room: entry.room, text: entry.text, key: entry.key, file: entry.file?.id ?? null,
      }),
      taken: (message) => this.#event(message),
    });
    client.onstate = (state, why) => this.#become(state, why);
  }

  open = null; // id of the room that is shown
  here = new Set(); // who is in it
  #stop = new AbortController();
  #rooms = new Map(); // id: stops following
  #leave = null; // stops being present
  #filling = new Map(); // room: is being filled
  #reading = new Map(); // room: up to where the server is to be told
  #typed = 0;

  start() {
    this.#follow("mine", {}, this.#stop.signal, (update) => {
      const first = !this.model.known;
      if ("snapshot" in update) this.model.takeMine(update.snapshot);
      else this.model.takePlace(update.change);
      if (first) this.outbox.load();
      this.#followRooms();
    });
  }

  /** End it; the client is ours. */
  close() {
    this.#stop.abort();
    this.outbox.stop();
    this.client.close();
  }

  // ---------------------------------------------------------------------------------- calls

  /** Call a method of the chat; all but these two may be repeated. */
  call(method, args, options = {}) {
    const idempotent = !["create", "typing"].includes(method);
    return this.client.call(`Chat/${method}`, args, { idempotent, ...options });
  }

  /** Call a method that returns a place of ours: it is known at once. */
  async enter(method, args) {
    const place = await this.call(method, args);
    this.model.takePlace(place);
    this.#followRooms();
    this.changed();
    return place;
  }

  /** Call a method that returns a message: it is known at once. */
  async alter(method, args) {
    this.#event(await this.call(method, args));
    this.changed();
  }

  say(room, text, file = null) {
    this.#typed = 0;
    return this.outbox.add(room, text, file);
  }

  /** Tell that we type; not more often than it is worth, and not when it would be late. */
  typing(room) {
    const now = Date.now();
    if (now - this.#typed < TYPING || this.client.state !== "ready") return;
    this.#typed = now;
    this.client.notify("Chat/typing", { room }).catch(() => {}); // it helps nobody afterwards
  }

  /** Note that a room was read up to here. */
  async read(id, number) {
    if (!this.model.at(id).noteRead(number)) return;
    this.changed();
    const running = this.#reading.has(id);
    this.#reading.set(id, number);
    if (running) return;
    try {
      for (let told = 0; told < this.#reading.get(id) && !this.#stop.signal.aborted;) {
        const upto = this.#reading.get(id);
        try {
          await this.call("read", { room: id, number: upto });
          told = upto;
        } catch (error) {
          if (refused(error) || this.#over) return; // we are no member any more
          await this.pause(AGAIN);
        }
      }
    } finally {
      this.#reading.delete(id);
    }
  }

  // -------------------------------------------------------------------------------- history

  /** Ask for what is missing between these numbers; resolves when nothing is, or it failed. */
  async fill(id, low, high) {
    const running = this.#filling.get(id);
    if (running !== undefined) {
      running.low = low; // it goes on with what is wanted now
      running.high = high;
      return running.done;
    }
    const wanted = { low, high, done: null };
    this.#filling.set(id, wanted);
    wanted.done = this.#fill(id, wanted).finally(() => this.#filling.delete(id));
    return wanted.done;
  }

  async #fill(id, wanted) {
    const room = this.model.at(id);
    while (!this.#stop.signal.aborted) {
      const [hole] = room.holes(wanted.low, wanted.high);
      if (hole === undefined) return;
      const [first, last] = hole;
      try {
        const limit = Math.min(PAGE, last - first + 1);
        const found = await this.call("history", { room: id, before: last + 1, after: first - 1, limit });
        if (found.length === 0) return; // nothing there: do not ask for ever
        for (const message of found) this.#event(message);
        this.changed();
      } catch (error) {
        if (refused(error) || this.#over) return;
        await this.pause(AGAIN);
      }
    }
  }

  // ------------------------------------------------------------------------------ following

  /** Show a room, or none: who shows it is present. */
  show(id) {
    if (this.open === id) return;
    this.#leave?.abort();
    this.#leave = null;
    this.open = id;
    this.here = new Set();
    this.changed();
    if (id === null) return;
    const leave = (this.#leave = new AbortController());
    const topic = `chat.here.${id}`;
    this.#loop(leave.signal, () => this.client.subscribe(topic, { signal: leave.signal }), ({ value }) => {
      if (value.name !== this.model.me) this.#type(id, value.name);
    });
    this.#loop(leave.signal, () => this.client.presence(topic, { signal: leave.signal }), (update) => {
      if ("snapshot" in update) this.here = new Set(update.snapshot.members.map(([name]) => name));
      else if (update.change[2] === null) this.here.add(update.change[0]);
      else this.here.delete(update.change[0]);
    });
  }

  #type(id, name) {
    this.model.at(id).noteTyping(name, Date.now() + SHOWN);
    setTimeout(this.changed, SHOWN + 50);
  }

  #followRooms() {
    for (const [id, stop] of this.#rooms) {
      if (this.#isOurs(id)) continue;
      stop.abort();
      this.#rooms.delete(id);
    }
    for (const { id } of this.model.places()) {
      if (this.#rooms.has(id)) continue;
      const stop = new AbortController();
      this.#rooms.set(id, stop);
      this.#follow("room", { room: id, last: LAST }, stop.signal, (update) => {
        if ("snapshot" in update) this.model.takeState(update.snapshot);
        else this.#event(update.change);
      }, () => this.#isOurs(id));
    }
  }

  #isOurs(id) {
    const room = this.model.at(id);
    return room.place !== null && !room.gone && takesPart(room.role);
  }

  #event(event) {
    if (this.model.takeEvent(event)) this.heard(event);
  }

  #follow(method, args, signal, take, wanted = () => true) {
    return this.#loop(signal, () => this.client.watch(`Chat/${method}`, args, { signal }), take, wanted);
  }

  /** Take what a watch or a subscription gives; begin again when it fails, while it is wanted. */
  async #loop(signal, begin, take, wanted = () => true) {
    while (!signal.aborted && !this.#stop.signal.aborted && wanted()) {
      try {
        for await (const update of begin()) {
          if (signal.aborted) return;
          take(update);
          this.changed();
        }
      } catch (error) {
        if (signal.aborted || this.#over) return;
        console.warn("chat: it is followed again soon:", sentence(error));
      }
      await this.pause(AGAIN);
    }
  }

  /** There will be no connection any more. */
  get #over() { return this.client.state === "failed" || this.client.state === "closed"; }

  #become(state, why) {
    const since = state === "connecting" && this.connection.state === "connecting"
      ? this.connection.since : Date.now();
    this.connection = { state, since, why };
    if (state !== "ready") this.here = new Set(); // nobody knows who is there now
    if (state === "failed") this.outbox.stop(); // what waits stays in storage for the next login
    this.changed();
  }
}

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
