/** Who is in a room, who is there right now, and what one may do about it. */

import { ask, confirm, form } from "./dialogs.js";
import { avatar, el, iconButton, reconcile } from "./dom.js";
import { sentence } from "./errors.js";
import { rights, takesPart } from "./model.js";

const DEEDS = {
  owner: ["Make owner", "primary"],
  moderator: ["Make moderator", ""],
  member: ["Make member", ""],
  left: ["Remove from the room", "danger"],
  banned: ["Ban from the room", "danger"],
};

export class PeopleView {
  constructor({ session, model, act, close, open, left }) {
    Object.assign(this, { session, model, act, close, open, left });
    this.about = el("p", { class: "about" });
    this.list = el("ul", { class: "people" });
    this.banned = el("ul", { class: "people" });
    this.bannedTitle = el("h3", {}, "Banned");
    this.count = el("h2", {});
    this.describe = el("button", { type: "button", onclick: () => this.#describe() }, "Describe");
    this.invite = el("button", { type: "button", onclick: () => this.#invite() }, "Invite");
    this.leave = el("button", { type: "button", class: "danger", onclick: () => this.#leave() }, "Leave the room");
    this.node = [
      el("header", { class: "bar" }, this.count, el("span", { class: "grow" }), iconButton("close", "Close the list of people", close)),
      el("div", { class: "scroll pad", tabindex: "-1" }, this.about, el("div", { class: "actions start" }, this.describe, this.invite),
        this.list, this.bannedTitle, this.banned, el("div", { class: "actions start" }, this.leave)),
    ];
  }

  leaving = null; // the room that we are about to leave

  render(room, here) {
    this.room = room;
    const may = rights(room, this.model.me);
    const all = [...room.members.values()].sort((a, b) =>
      here.has(b.name) - here.has(a.name) || a.name.localeCompare(b.name));
    const members = all.filter(({ role }) => takesPart(role));
    const banned = all.filter(({ role }) => role === "banned");
    this.count.textContent = members.length === 1 ? "1 person" : `${members.length} people`;
    this.about.textContent = room.info.about;
    this.about.hidden = room.info.about === "";
    this.describe.hidden = !may.describe;
    this.invite.hidden = !may.invite;
    this.leave.hidden = !may.leave;
    this.bannedTitle.hidden = banned.length === 0;
    reconcile(this.list, members.map((member) => this.#row(member, here.has(member.name))));
    reconcile(this.banned, banned.map((member) => this.#row(member, false)));
  }

  #row(member, here) {
    const { name, role } = member;
    const note = role === "member" ? "" : role;
    return {
      key: name,
      sign: `${role}|${here}`,
      make: () => el("li", {}, el("button", { type: "button", class: "person", "aria-haspopup": "dialog", data: { focus: "person" },
        onclick: () => this.meet(member) },
      avatar(name, here),
      el("span", { class: "name" }, name === this.model.me ? `${name} (you)` : name,
        el("span", { class: "hidden" }, here ? ", here now" : ", not here")),
      note === "" ? null : el("span", { class: "role" }, note))),
    };
  }

  /** What one can do with a member. */
  async meet({ name }) {
    const { room, session } = this;
    const member = room.members.get(name) ?? { name, role: "left" };
    const roles = rights(room, this.model.me).roles(member);
    const deed = await ask({ title: name, body: (close) => el("div", { class: "stack" },
      el("p", { class: "muted" }, takesPart(member.role) ? `${member.role} of this room` : `${member.role === "banned" ? "banned from" : "no longer in"} this room`),
      name === this.model.me ? el("p", {}, "This is you.")
        : el("button", { type: "button", class: "primary", onclick: () => close("direct") }, "Write directly"),
      ...roles.map((role) => el("button", { type: "button", class: DEEDS[role][1] === "danger" && member.role !== "banned" ? "danger" : null,
        onclick: () => close(role) }, member.role === "banned" && role === "left" ? "Pardon" : DEEDS[role][0]))) });
    if (deed === "direct") await this.act(async () => this.open((await session.enter("direct", { name })).room.id));
    else if (deed !== null) await this.act(() => session.call("set_role", { room: room.id, name, role: deed }));
  }

  #describe() {
    const { room, session } = this;
    return ask({ title: "What is the room for?", body: (close) => form({
      explain: sentence, action: "Save",
      fields: [{ name: "about", label: "Description", type: "textarea", rows: 4, maxlength: 4000, value: room.info.about }],
      submit: async ({ about }) => { await session.call("describe", { room: room.id, about }); close(); },
    }) });
  }

  #invite() {
    const { room, session } = this;
    return ask({ title: "Invite somebody", body: (close) => form({
      explain: sentence, action: "Invite",
      fields: [{ name: "name", label: "Their name", required: true, maxlength: 32, autocapitalize: "none" }],
      submit: async ({ name }) => { await session.call("invite", { room: room.id, name }); close(); },
    }) });
  }

  async #leave() {
    const { room, session } = this;
    const text = room.info.kind === "private" ? "You can come back only if somebody invites you." : "You can join it again at any time.";
    if (!await confirm({ title: `Leave ${room.info.name}?`, text, action: "Leave" })) return;
    this.leaving = room;
    await this.act(async () => {
      await session.call("leave", { room: room.id });
      this.left();
    });
    this.leaving = null;
  }
}
