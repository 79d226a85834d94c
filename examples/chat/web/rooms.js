/** The list of rooms, and the dialogs that lead into one: find, make, write directly, switch. */

import { ask, form } from "./dialogs.js";
import { avatar, el, icon, reconcile } from "./dom.js";
import { sentence } from "./errors.js";

export class RoomsView {
  constructor({ lists, open }) {
    Object.assign(this, { lists, open });
    this.groups = [["Rooms", (kind) => kind !== "direct"], ["Direct", (kind) => kind === "direct"]].map(([name, belongs]) => {
      const list = el("ul", {});
      const group = el("section", {}, el("h2", {}, name), list);
      lists.append(group);
      return { group, list, belongs };
    });
    this.none = el("p", { class: "hint none" }, "You are in no room yet. Find or make one with “+”.");
    lists.append(this.none);
  }

  /** The rooms in the order in which they are shown. */
  order(model) {
    return this.groups.flatMap(({ belongs }) => model.places().filter(({ info }) => belongs(info.kind)));
  }

  render(model, opened) {
    for (const { group, list, belongs } of this.groups) {
      const rooms = model.places().filter(({ info }) => belongs(info.kind));
      group.hidden = rooms.length === 0;
      reconcile(list, rooms.map((room) => this.#row(model, room, room.id === opened)));
    }
    this.none.hidden = !model.known || model.places().length > 0;
  }

  #row(model, room, current) {
    const { id, info, unread } = room;
    const title = model.title(room);
    const waits = [...room.pending.values()];
    const failed = waits.some((entry) => entry.failed !== null);
    return {
      key: String(id),
      sign: JSON.stringify([title, info.kind, unread, current, failed]),
      make: () => el("li", {}, el("button", {
        type: "button", class: unread > 0 ? "room unread" : "room", "aria-current": current ? "page" : null,
        onclick: () => this.open(id), data: { focus: "room" },
      },
      info.kind === "direct" ? avatar(title) : icon(info.kind === "private" ? "lock" : "hash"),
      el("span", { class: "name" }, title, info.kind === "private" ? el("span", { class: "hidden" }, " (private)") : null),
      failed ? el("span", { class: "alarm", title: "A message was not sent" }, "!", el("span", { class: "hidden" }, " not everything was sent")) : null,
      unread > 0 ? el("span", { class: "count" }, unread > 999 ? "999+" : String(unread), el("span", { class: "hidden" }, " unread")) : null)),
    };
  }
}

/** Find, make, or write to somebody; resolves to the id of a room, or null. */
export function addRoom({ session, model }) {
  const explain = sentence;
  return ask({ title: "Find or make a room", wide: true, body: (close) => {
    const done = async (method, args) => close((await session.enter(method, args)).room.id);
    const list = el("ul", { class: "found" }, el("li", { class: "hint" }, "Looking for rooms …"));
    findRooms({ session, model, list, done, close });
    return [
      el("section", {}, el("h3", {}, "Public rooms"), list),
      el("section", {}, el("h3", {}, "Write to somebody directly"), form({
        explain, action: "Write", submit: ({ name }) => done("direct", { name }),
        fields: [{ name: "name", label: "Their name", required: true, maxlength: 32, autocapitalize: "none" }],
      })),
      el("section", {}, el("h3", {}, "Make a room"), form({
        explain, action: "Make it", submit: (values) => done("create", values),
        fields: [
          { name: "name", label: "Name of the room", required: true, maxlength: 64 },
          { name: "about", label: "What it is for", maxlength: 4000 },
          { name: "private", label: "Private: only who is invited can come in", type: "checkbox" },
        ],
      })),
    ];
  } });
}

async function findRooms({ session, model, list, done, close }) {
  const ours = new Set(model.places().map(({ id }) => id));
  try {
    const rooms = await session.call("rooms", {});
    list.replaceChildren(...rooms.map((room) => el("li", {},
      icon("hash"),
      el("div", { class: "what" }, el("strong", {}, room.name), el("p", { class: "muted" }, room.about)),
      el("span", { class: "muted" }, `${room.members} in it`),
      el("button", { type: "button", "aria-label": `${ours.has(room.id) ? "Open" : "Join"} ${room.name}`, onclick: async ({ target }) => {
        if (ours.has(room.id)) { close(room.id); return; }
        try {
          await done("join", { room: room.id });
        } catch (error) {
          const problem = el("span", { class: "error", role: "alert", tabindex: "-1" }, sentence(error));
          target.replaceWith(problem);
          problem.focus();
        }
      } }, ours.has(room.id) ? "Open" : "Join"))));
    if (rooms.length === 0) list.replaceChildren(el("li", { class: "hint" }, "There is none yet."));
  } catch (error) {
    list.replaceChildren(el("li", { class: "error" }, sentence(error)));
  }
}

/** Choose a room of ours by typing a part of its name; resolves to its id, or null. */
export function switchRoom({ model, rooms }) {
  return ask({ title: "Go to a room", body: (close) => {
    const list = el("ul", { class: "choices", role: "listbox", id: "choices", "aria-label": "Rooms" });
    let found = [], at = 0;
    const show = () => {
      list.replaceChildren(...found.map((room, i) => el("li", {
        role: "option", id: `choice-${room.id}`, "aria-selected": String(i === at), onclick: () => close(room.id),
      }, icon(room.info.kind === "direct" ? "user" : room.info.kind === "private" ? "lock" : "hash"), model.title(room),
      room.unread > 0 ? el("span", { class: "count" }, String(room.unread)) : null)));
      input.setAttribute("aria-activedescendant", found.length > 0 ? `choice-${found[at].id}` : "");
      list.children[at]?.scrollIntoView({ block: "nearest" });
    };
    const look = () => {
      const part = input.value.trim().toLowerCase();
      found = rooms.filter((room) => model.title(room).toLowerCase().includes(part));
      at = 0;
      show();
    };
    const input = el("input", {
      type: "text", role: "combobox", "aria-label": "Part of its name", "aria-expanded": "true", "aria-controls": "choices",
      "aria-autocomplete": "list", autocomplete: "off", autofocus: true, oninput: look,
      onkeydown: (event) => {
        const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
        if (step !== undefined && found.length > 0) {
          event.preventDefault();
          at = (at + step + found.length) % found.length;
          show();
        } else if (event.key === "Enter" && found[at] !== undefined) {
          event.preventDefault();
          close(found[at].id);
        }
      },
    });
    look();
    return [input, list];
  } });
}
