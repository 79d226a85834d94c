/**
 * Files that were sent, as the page shows them: pictures in place, everything else to save.
 *
 * Nothing of a file is ever a document of ours: only raster pictures get a media type, and only
 * within <img>; the rest is bytes without a type, to be saved.
 */

import { ask } from "./dialogs.js";
import { el, icon } from "./dom.js";
import { sentence } from "./errors.js";
import { fileName, sizeOf } from "./text.js";
import { download } from "./transfers.js";

const PICTURES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"]);
const BY_ITSELF = 2 * 1024 * 1024; // bytes of a picture that is fetched unasked
const HELD = 40; // pictures held at most; those out of sight go first
const AT_ONCE = 2;

export const isPicture = ({ type }) => PICTURES.has(type);

export class Files {
  constructor({ client, changed, complain }) {
    Object.assign(this, { client, changed, complain });
  }

  #known = new Map(); // id: {phase, got, url, why}
  #waiting = [];
  #running = 0;

  /** What a row that shows the file depends on. */
  sign({ id }) {
    const { phase, got } = this.#known.get(id) ?? { phase: "idle", got: 0 };
    return `${phase}${got >> 18}`;
  }

  /** The element that stands for a file. */
  element(file) {
    const state = this.#known.get(file.id);
    if (isPicture(file)) {
      if (state?.phase === "ready") return this.#picture(file, state.url);
      if (state === undefined && file.size <= BY_ITSELF) this.#enqueue(file);
    }
    return el("div", { class: isPicture(file) ? "file pictured" : "file", data: { file: file.id } },
      icon("file"),
      el("div", { class: "what" }, el("strong", {}, fileName(file.name)), el("p", { class: "muted" }, this.#note(file))),
      state?.phase === "loading" ? el("progress", { max: file.size, value: state.got, "aria-label": `Downloading ${fileName(file.name)}` })
        : el("button", { type: "button", data: { focus: "file" }, "aria-label": `Save ${fileName(file.name)}`, onclick: () => this.save(file) }, "Save"));
  }

  #note(file) {
    const state = this.#known.get(file.id);
    if (state?.phase === "failed") return state.why;
    return state?.phase === "loading" ? `${sizeOf(state.got)} of ${sizeOf(file.size)}` : sizeOf(file.size);
  }

  #picture(file, url) {
    return el("div", { class: "picture", data: { file: file.id } },
      el("button", { type: "button", data: { focus: "file" }, "aria-label": `Show the picture ${fileName(file.name)}`, onclick: () => this.#large(file, url) },
        el("img", { src: url, alt: fileName(file.name) })));
  }

  #large(file, url) {
    return ask({ title: fileName(file.name), wide: true, body: () => [
      el("img", { class: "large", src: url, alt: fileName(file.name) }),
      el("div", { class: "actions" }, el("span", { class: "muted grow" }, sizeOf(file.size)),
        el("button", { type: "button", onclick: () => this.save(file) }, "Save")),
    ] });
  }

  /** Download a file, if that is not done, and hand it to the browser to save. */
  async save(file) {
    try {
      const state = this.#known.get(file.id);
      const url = state?.phase === "ready" ? state.url : URL.createObjectURL(await this.#fetch(file, "application/octet-stream"));
      el("a", { href: url, download: fileName(file.name) }).click();
      if (state?.phase !== "ready") {
        setTimeout(() => URL.revokeObjectURL(url), 60_000); // the browser has it by then
        this.#known.delete(file.id);
      }
    } catch (error) {
      this.#set(file, { phase: "failed", got: 0, why: sentence(error) });
      this.complain(sentence(error));
    }
    this.changed();
  }

  async #fetch(file, type) {
    const progress = (got) => this.#set(file, { phase: "loading", got });
    progress(0);
    return download(this.client, file, { type, progress });
  }

  #set(file, state) {
    this.#known.set(file.id, state);
    this.changed();
  }

  #enqueue(file) {
    this.#known.set(file.id, { phase: "loading", got: 0 });
    this.#waiting.push(file);
    if (this.#running < AT_ONCE) this.#work();
  }

  async #work() {
    this.#running++;
    for (let file = this.#waiting.pop(); file !== undefined; file = this.#waiting.pop()) {
      try {
        const url = URL.createObjectURL(await this.#fetch(file, file.type));
        this.#set(file, { phase: "ready", got: 0, url });
        this.#release();
      } catch (error) {
        this.#set(file, { phase: "failed", got: 0, why: sentence(error) });
      }
    }
    this.#running--;
  }

  #release() {
    const ready = [...this.#known].filter(([, { phase }]) => phase === "ready");
    for (const [id, { url }] of ready.slice(0, Math.max(0, ready.length - HELD))) {
      if (document.querySelector(`[data-file="${id}"]`) !== null) continue;
      URL.revokeObjectURL(url);
      this.#known.delete(id);
    }
  }
}
