/** Search in what was said: results, the newest first, each of which leads to its message. */

import { avatar, el, iconButton, rescue } from "./dom.js";
import { sentence } from "./errors.js";
import { brieflyOf, fileName, marked } from "./text.js";

export class SearchView {
  constructor({ session, model, close, jump }) {
    Object.assign(this, { session, model, jump });
    this.input = el("input", { type: "search", name: "text", maxlength: 200, required: true, "aria-label": "Words to look for", placeholder: "Words to look for", autocomplete: "off" });
    this.everywhere = el("input", { type: "checkbox", onchange: () => this.#look() });
    this.status = el("p", { class: "hint", role: "status" });
    this.list = el("ol", { class: "results" });
    this.more = el("button", { type: "button", hidden: true, onclick: () => this.#page() }, "More");
    this.node = [
      el("header", { class: "bar" }, el("h2", {}, "Search"), el("span", { class: "grow" }), iconButton("close", "Close the search", close)),
      el("div", { class: "scroll pad" },
        el("form", { role: "search", onsubmit: (event) => { event.preventDefault(); this.#look(); } },
          el("div", { class: "row" }, this.input, el("button", { type: "submit", class: "primary" }, "Find")),
          el("label", { class: "check" }, this.everywhere, "In all my rooms")),
        this.status, this.list, this.more),
    ];
  }

  #asked = null;

  show(room) {
    if (this.room !== undefined && this.room !== room && !this.everywhere.checked) this.#clear();
    this.room = room;
    this.input.focus();
  }

  #clear() {
    this.#asked = null;
    this.list.replaceChildren();
    this.status.textContent = "";
    this.more.hidden = true;
  }

  #look() {
    const text = this.input.value.trim();
    this.#clear();
    if (text === "") return undefined;
    this.#asked = { text, room: this.everywhere.checked ? null : this.room.id, before: null };
    return this.#page();
  }

  async #page() {
    const asked = this.#asked;
    this.status.textContent = "Looking …";
    this.more.hidden = true;
    try {
      const { messages, more } = await this.session.call("search", asked);
      if (asked !== this.#asked) return; // something else is wanted by now
      const known = this.list.children.length;
      this.list.append(...messages.map((message) => this.#row(message, asked.text)));
      const count = this.list.children.length;
      this.status.textContent = count === 0 ? "Nothing was found." : `${count} found${more === null ? "" : ", and there are more"}.`;
      this.more.hidden = more === null;
      asked.before = more;
      if (this.node.some((part) => part.isConnected)) rescue(this.list.children[known]?.firstElementChild ?? this.input);
    } catch (error) {
      if (asked === this.#asked) this.status.textContent = sentence(error);
    }
  }

  #row(message, query) {
    const where = this.everywhere.checked ? ` in ${this.model.title(this.model.at(message.room))}` : "";
    return el("li", {}, el("button", { type: "button", class: "result", onclick: () => this.jump(message.room, message.number) },
      avatar(message.who),
      el("span", { class: "what" },
        el("span", { class: "head" }, el("strong", {}, message.who), where, " ",
          el("time", { class: "muted", datetime: message.sent.toISOString() }, brieflyOf(message.sent))),
        el("span", { class: "excerpt" }, ...excerpt(message.text || fileName(message.file?.name ?? ""), query)))));
  }
}

/** The part of a text where the first hit is. */
function excerpt(text, query) {
  const parts = marked(text, query);
  const first = parts.findIndex(({ hit }) => hit);
  if (first > 0 && parts[first - 1].text.length > 60) {
    const cut = parts[first - 1].text.slice(-50);
    parts.splice(0, first, { text: `…${cut.slice(cut.indexOf(" "))}`, hit: false });
  }
  return parts.map(({ text: part, hit }) => (hit ? el("mark", {}, part) : part));
}
