/** What the browser keeps for us. Where it keeps nothing, the page works all the same, and says so. */

const PREFIX = "framerpc-chat/";

const NOTHING = {
  length: 0,
  key: () => null,
  getItem: () => null,
  removeItem() {},
  setItem() { throw new Error("this browser keeps nothing for this page"); },
};

/** The storage that `get` returns; one that is always full where the browser forbids it. */
export function allowed(get) {
  try {
    return get() ?? NOTHING;
  } catch {
    return NOTHING; // a SecurityError: the site's data is blocked
  }
}

/** For all pages of this browser, and for this page and its reloads. */
export const local = allowed(() => globalThis.localStorage);
export const session = allowed(() => globalThis.sessionStorage);

/** Keep a text; false if there is no room for it. */
export function keep(storage, name, text) {
  try {
    storage.setItem(name, text);
    return true;
  } catch {
    return false;
  }
}

/** What one began to write, by room: it survives a reload, and is gone with the page. */
export class Drafts {
  /** `account()`: whose they are. */
  constructor(storage, account) { Object.assign(this, { storage, account }); }

  #texts = new Map();

  #name(room) { return `${PREFIX}draft/${this.account()}/${room}`; }

  get(room) { return this.#texts.get(room) ?? this.storage.getItem(this.#name(room)) ?? ""; }

  set(room, text) {
    this.#texts.set(room, text);
    if (text === "") this.storage.removeItem(this.#name(room));
    else keep(this.storage, this.#name(room), text);
  }

  /** Forget all of them. */
  clear() {
    this.#texts.clear();
    const names = Array.from({ length: this.storage.length }, (_, i) => this.storage.key(i));
    for (const name of names) if (name.startsWith(`${PREFIX}draft/`)) this.storage.removeItem(name);
  }
}
