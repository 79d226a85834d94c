/**
 * The page: makes the session and the views, and connects them.
 *
 * Everything that happens ends in `changed()`, which draws everything soon; what has not changed
 * costs nothing (dom.js). The room that is open is in the address (`#/3`), so that the browser's
 * back button works, on a phone too.
 */

import { connect } from "framerpc";

import * as account from "./account.js";
import { Composer } from "./composer.js";
import { confirm, pickReaction, showKeys } from "./dialogs.js";
import { avatar, el, icon, rescue } from "./dom.js";
import { sentence } from "./errors.js";
import { Files } from "./files.js";
import { MessagesView } from "./messages.js";
import { Model, rights } from "./model.js";
import { PeopleView } from "./people.js";
import { RoomsView, addRoom, switchRoom } from "./rooms.js";
import { SearchView } from "./search.js";
import { Session } from "./session.js";
import * as storage from "./storage.js";
import { names, timeOf } from "./text.js";
import * as theme from "./theme.js";

const $ = (id) => document.getElementById(id);
const DRAWN = 30; // milliseconds in which changes are gathered
const FROM_LIST = "from the list"; // in the history: the entry before is the list of rooms
const TOASTS = 4; // sentences on the page at once, the latest ones
const PATIENCE = 1500; // milliseconds without a connection that are not worth a word

const url = new URL("rpc", location.href);
url.protocol = url.protocol.replace("http", "ws");
url.hash = url.search = "";

class App {
  constructor(token) {
    const changed = () => this.changed();
    const complain = (text) => toast(text);
    this.model = new Model();
    this.client = connect(url.href, { token, agent: "framerpc-chat-web", backoff: { mostMs: 5000 } });
    this.session = new Session(this.client, this.model, {
      storage: storage.local, changed, failed: (entry) => this.#failed(entry),
    });
    this.drafts = new storage.Drafts(storage.session, () => this.model.me);
    this.rooms = new RoomsView({ lists: $("room-lists"), open: (id) => this.open(id) });
    this.files = new Files({ client: this.client, changed, complain });
    this.messages = new MessagesView({
      log: $("log"), list: $("messages"), newest: $("newest"), session: this.session, model: this.model,
      files: this.files, changed, seen: (room, number) => this.session.read(room.id, number), deeds: this.#deeds(),
    });
    this.composer = new Composer({
      parts: {
        form: $("composer"), text: $("text"), file: $("file"), attach: $("attach"), uploads: $("uploads"),
        editing: $("editing"), cancelEdit: $("cancel-edit"), left: $("left"), frame: $("talk"),
      },
      session: this.session, drafts: this.drafts, complain,
      say: (text, file) => { this.session.say(this.room.id, text, file); this.messages.said(); },
      edit: ({ room, number }, text) => this.act(() => this.session.alter("edit", { room, number, text })),
      lastOwn: () => this.#lastOwn(),
    });
    const close = () => this.side(null);
    this.people = new PeopleView({
      session: this.session, model: this.model, act: (deed) => this.act(deed), close,
      open: (id) => this.open(id), left: () => this.open(null),
    });
    this.search = new SearchView({ session: this.session, model: this.model, close, jump: (id, number) => this.jump(id, number) });
  }

  room = null; // that is open
  #side = null; // "people" or "search"
  #drawing = null;

  start() {
    $("app").hidden = false;
    this.#buttons();
    addEventListener("hashchange", () => this.#route());
    addEventListener("keydown", (event) => this.#key(event));
    addEventListener("online", () => this.client.wake());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.client.wake();
      this.changed();
    });
    setInterval(() => this.changed(), 20_000); // "today" ends, and so does patience
    this.session.start();
    this.changed();
    if (account.isFleeting()) toast("This browser keeps nothing for this page. Copy your token (your name, “Show my token”) before you close it.");
  }

  /** Draw soon. */
  changed() {
    this.#drawing ??= setTimeout(() => {
      this.#drawing = null;
      this.#draw();
    }, DRAWN);
  }

  // --------------------------------------------------------------------------------- drawing

  #draw() {
    if (this.#begin) this.#firstRoom();
    const { room, model, session } = this;
    if (room !== null && (room.gone || room.place === null) && model.known) {
      if (this.people.leaving !== room) toast(room.place?.role === "banned" ? `You are banned from ${model.title(room)}.` : `You are not in ${model.title(room)} any more.`);
      this.open(null);
      return;
    }
    this.rooms.render(model, room?.id ?? null);
    this.#drawConnection();
    $("account").replaceChildren(...(model.me === null ? [] : [avatar(model.me, session.connection.state === "ready"), el("span", { class: "name" }, model.me), el("span", { class: "hidden" }, "your account")]));
    const title = room === null ? "Chat" : `${model.title(room)} – Chat`;
    document.title = model.unread > 0 ? `(${model.unread}) ${title}` : title;
    if (room?.info) this.#drawRoom();
  }

  #drawRoom() {
    const { room, model, session } = this;
    const { info } = room;
    set($("room-name"), model.title(room));
    const known = session.connection.state === "ready" && session.here.size > 0; // we are there ourselves
    const others = [...session.here].filter((name) => name !== model.me).length;
    const members = info.kind === "direct" ? "" : `${info.members} in it`;
    const here = info.kind !== "direct" ? `${session.here.size} here` : others > 0 ? "here now" : "not here";
    set($("room-about"), [members, known ? here : "", info.about].filter((text) => text !== "").join(" · "));
    this.messages.render();
    const typists = room.typists(Date.now()).filter((name) => name !== model.me);
    set($("typing"), typists.length === 0 ? "" : `${names(typists)} ${typists.length === 1 ? "is" : "are"} typing …`);
    if (this.#side === "people") this.people.render(room, session.here);
  }

  #drawConnection() {
    const { state, since, why } = this.session.connection;
    const texts = { ready: "Online", connecting: this.client.instance === "" ? "Connecting …" : `Reconnecting since ${timeOf(new Date(since))}`, failed: "Refused", closed: "Closed" };
    const line = $("connection");
    line.className = state;
    set(line, texts[state]);
    const late = state === "connecting" && Date.now() - since > PATIENCE;
    if (state === "connecting" && !late) setTimeout(() => this.changed(), PATIENCE);
    $("banner-out").hidden = state !== "failed";
    const banner = $("banner");
    banner.hidden = !(late || state === "failed");
    banner.className = state;
    set(banner.firstElementChild, state === "failed" ? `The server refuses us: ${why}`
      : `${texts.connecting}${why ? `: ${why}` : ""}. What you write now is sent as soon as there is a connection.`);
  }

  // ----------------------------------------------------------------------------------- rooms

  #begin = true;

  /** Open the room in the address, or the one of last time where there is space beside the list. */
  #firstRoom() {
    if (!this.model.known) return;
    this.#begin = false;
    if (location.hash === "" && matchMedia("(min-width: 721px)").matches) {
      const last = Number(storage.local.getItem("framerpc-chat/room"));
      const first = this.model.rooms.has(last) ? last : this.rooms.order(this.model)[0]?.id;
      if (first !== undefined) history.replaceState(null, "", `#/${first}`);
    }
    this.#route();
  }

  open(id) {
    if (id === null) history.replaceState(null, "", location.pathname);
    else if (location.hash !== `#/${id}`) {
      if (this.room === null) history.pushState(FROM_LIST, "", `#/${id}`);
      else history.replaceState(history.state, "", `#/${id}`);
    }
    this.#route();
  }

  #route() {
    const id = Number(/^#\/(\d+)$/.exec(location.hash)?.[1] ?? 0);
    const known = this.model.rooms.get(id);
    const room = known !== undefined && known.place !== null && !known.gone ? known : null;
    if (room === this.room && room !== null) return;
    const before = this.room;
    this.room = room;
    document.body.classList.toggle("in-room", room !== null);
    $("talk").hidden = room === null;
    $("nothing").hidden = room !== null;
    this.session.show(room?.id ?? null);
    this.composer.show(room);
    if (room === null) {
      this.side(null);
    } else {
      storage.keep(storage.local, "framerpc-chat/room", String(room.id));
      this.messages.show(room);
      if (matchMedia("(pointer: fine)").matches) this.composer.focus();
      if (this.#side === "search") this.search.show(room);
      else if (matchMedia("(max-width: 1100px)").matches) this.side(null);
      else if (this.#side === null && matchMedia("(min-width: 1101px)").matches) this.side("people");
    }
    this.#draw();
    if (room === null && before !== null) rescue($("room-lists").querySelector(".room") ?? $("add"));
  }

  jump(id, number) {
    this.open(id);
    if (matchMedia("(max-width: 1100px)").matches) this.side(null);
    this.messages.show(this.room, number);
  }

  /** Show the people, the search, or nothing at the side. */
  side(what) {
    const before = this.#side;
    this.#side = what;
    const node = $("side");
    node.hidden = what === null;
    document.body.classList.toggle("with-side", what !== null);
    for (const name of ["people", "search"]) $(`show-${name}`).setAttribute("aria-expanded", String(what === name));
    if (what === null) {
      if (this.room !== null && before !== null) rescue($(`show-${before}`));
      return;
    }
    node.setAttribute("aria-label", what === "people" ? "People" : "Search");
    node.replaceChildren(...this[what].node);
    if (what === "search") this.search.show(this.room);
    else this.changed();
  }

  // ----------------------------------------------------------------------------------- deeds

  /** Do something, and tell when it fails; true if it did not. */
  async act(deed) {
    try {
      await deed();
      return true;
    } catch (error) {
      toast(sentence(error));
      return false;
    }
  }

  #deeds() {
    const { session } = this;
    const react = ({ room, number }, emoji, on) => this.act(() => session.alter("react", { room, number, emoji, on }));
    return {
      react,
      pick: async (message) => {
        const emoji = await pickReaction(sentence);
        if (emoji !== null) await react(message, emoji, true);
      },
      edit: (message) => this.composer.change(message),
      remove: async ({ room, number }) => {
        const sure = await confirm({ title: "Delete the message?", text: "Its text, its file and its reactions are gone for everybody.", action: "Delete" });
        if (sure) await this.act(() => session.alter("delete", { room, number }));
      },
      meet: (name) => { this.people.room = this.room; this.people.meet({ name }); },
      retry: (entry) => { session.outbox.retry(entry); $("log").focus({ preventScroll: true }); },
      discard: (entry) => { session.outbox.discard(entry); $("log").focus({ preventScroll: true }); },
    };
  }

  #failed({ room, failed }) {
    if (room !== this.room?.id) toast(`A message in ${this.model.title(this.model.at(room)) || "a room"} was not sent. ${failed}`);
  }

  #lastOwn() {
    const may = rights(this.room, this.model.me);
    for (let number = this.room.last; number > this.room.last - 200; number--) {
      const message = this.room.messages.get(number);
      if (message !== undefined && may.edit(message)) return message;
    }
    return null;
  }

  // ------------------------------------------------------------------------ buttons and keys

  #buttons() {
    const give = (id, picture, label, onclick) => {
      const button = $(id);
      button.replaceChildren(icon(picture));
      button.setAttribute("aria-label", label);
      button.title = label;
      if (onclick !== null) button.addEventListener("click", onclick);
    };
    give("switch", "search", "Go to a room (Ctrl + K)", () => this.#switch());
    give("add", "plus", "Find or make a room", () => this.#add());
    give("keys", "keys", "Keys", showKeys);
    give("back", "back", "Back to the rooms", () => (history.state === null ? this.open(null) : history.back()));
    give("show-search", "search", "Search in the messages", () => this.side(this.#side === "search" ? null : "search"));
    give("show-people", "people", "People", () => this.side(this.#side === "people" ? null : "people"));
    give("attach", "attach", "Attach a file", null);
    give("send", "send", "Send", null);
    $("banner-out").addEventListener("click", () => this.#logOut());
    $("nothing-add").addEventListener("click", () => this.#add());
    $("account").addEventListener("click", async () => {
      if (await account.showAccount({ name: this.model.me ?? "You" }) === "out") this.#logOut();
    });
  }

  #logOut() {
    this.session.outbox.clear();
    this.drafts.clear();
    this.session.close();
    account.forget();
    history.replaceState(null, "", location.pathname);
    location.reload();
  }

  async #add() {
    const id = await addRoom({ session: this.session, model: this.model });
    if (id !== null) this.open(id);
  }

  async #switch() {
    const id = await switchRoom({ model: this.model, rooms: this.rooms.order(this.model) });
    if (id !== null) this.open(id);
  }

  #key(event) {
    if (document.querySelector("dialog[open]") !== null || event.defaultPrevented) return;
    const { key, altKey, ctrlKey, metaKey, target } = event;
    if (altKey && (key === "ArrowUp" || key === "ArrowDown")) {
      event.preventDefault();
      this.#step(key === "ArrowDown" ? 1 : -1);
    } else if ((ctrlKey || metaKey) && key.toLowerCase() === "k") {
      event.preventDefault();
      this.#switch();
    } else if (key === "?" && !target.matches("input, textarea")) {
      showKeys();
    } else if (key === "Escape" && this.room !== null) {
      this.#escape();
    }
  }

  #step(by) {
    const rooms = this.rooms.order(this.model);
    if (rooms.length === 0) return;
    const at = rooms.indexOf(this.room);
    this.open(rooms[(at + by + rooms.length) % rooms.length].id);
  }

  #escape() {
    if (this.composer.cancel()) return;
    if (this.#side === "search" || (this.#side !== null && $("side").contains(document.activeElement))) this.side(null);
    else this.messages.toNewest();
    this.composer.focus();
  }
}

function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Say something for some seconds; in the dialog that is open, which is above all else. */
function toast(text) {
  const dialog = [...document.querySelectorAll("dialog[open]")].at(-1);
  const place = dialog === undefined ? $("toasts") : dialog.querySelector(".toasts") ?? el("div", { class: "toasts", role: "status" });
  if (dialog !== undefined) dialog.append(place);
  while (place.children.length >= TOASTS) place.firstElementChild.remove();
  const node = el("p", {}, text);
  place.append(node);
  setTimeout(() => node.remove(), 8000);
}

theme.setUp($("theme"));
account.onchange(() => location.reload());
if (account.token() === null) {
  new storage.Drafts(storage.session).clear(); // one logged out, perhaps in another page
  await account.welcome({ node: $("welcome"), url: url.href });
}
new App(account.token()).start();
