/** What stands for the server, the browser's storage and the things that a server tells. */

/** Storage as a browser has it. */
export class Storage {
  #items = new Map();
  get length() { return this.#items.size; }
  key(i) { return [...this.#items.keys()][i] ?? null; }
  getItem(name) { return this.#items.get(name) ?? null; }
  setItem(name, text) { this.#items.set(name, text); }
  removeItem(name) { this.#items.delete(name); }
}

/** An error as framerpc.js raises it. */
export const failure = (name, fields = {}) => Object.assign(new Error(name), { name, ...fields });
export const lost = () => failure("ConnectionLost", { executed: "maybe" });
export const declared = (errorName, fields) => failure("DeclaredError", { status: "APPLICATION", errorName, fields });

/** A watch or a subscription that the test feeds. */
class Feed {
  constructor(signal) { signal.addEventListener("abort", () => this.fail(signal.reason)); }

  #items = [];
  #wake = () => {};
  left = false;

  give(item) { this.#items.push({ item }); this.#wake(); }
  fail(error) { this.#items.push({ error }); this.#wake(); }

  async *[Symbol.asyncIterator]() {
    try {
      for (;;) {
        while (this.#items.length === 0) await new Promise((resolve) => { this.#wake = resolve; });
        const { item, error } = this.#items.shift();
        if (error !== undefined) throw error;
        yield item;
      }
    } finally {
      this.left = true;
    }
  }
}

/** A client: `answers[method](args)` answers calls, `feeds` has what was followed, by its name. */
export class Client {
  constructor(answers = {}) { this.answers = answers; }

  state = "ready";
  calls = [];
  notes = [];
  feeds = new Map();

  async call(method, args, options) {
    this.calls.push([method, args, options]);
    const answer = this.answers[method];
    if (answer === undefined) throw new Error(`${method} was not expected`);
    return answer(args, options);
  }

  async notify(method, args) { this.notes.push([method, args]); }

  async *stream(method, args, options) { yield* this.answers[method](args, options); }

  #feed(name, signal) {
    const feed = new Feed(signal);
    this.feeds.set(name, feed);
    return feed;
  }

  watch(method, args, { signal }) { return this.#feed(args.room === undefined ? method : `${method} ${args.room}`, signal); }
  subscribe(topic, { signal }) { return this.#feed(topic, signal); }
  presence(topic, { signal }) { return this.#feed(`presence ${topic}`, signal); }
  close() { this.state = "closed"; }
}

/** Let everything happen that can happen now. */
export async function settle() {
  for (let i = 0; i < 10; i++) await new Promise(setImmediate);
}

export const aRoom = (fields = {}) => ({ type: "room", id: 1, kind: "public", name: "Lobby", about: "", members: 2, last: 0, revision: 1, ...fields });
export const aPlace = (fields = {}) => ({ type: "place", room: aRoom(), role: "member", read: 0, revision: 1, ...fields });
export const aMember = (name, role = "member", revision = 1) => ({ type: "member", room: 1, name, role, revision });
export const aMessage = (number, fields = {}) => ({
  type: "message", room: 1, number, who: "Bob", text: `message ${number}`, sent: new Date(2026, 0, 1, 12, 0, number),
  key: `key-${number}`, revision: 1, file: null, edited: null, deleted: null, reactions: {}, ...fields,
});
export const aState = (messages, { members = ["Ada", "Bob"], room = {} } = {}) => ({
  room: aRoom({ last: messages.at(-1)?.number ?? 0, ...room }), members: members.map((name) => aMember(name)), messages,
});
export const mine = (...places) => ({ account: { name: "Ada", since: new Date(0) }, places });
