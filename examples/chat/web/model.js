/**
 * What this page knows of its rooms: pure, without a connection, a clock or a document.
 *
 * Of everything the newest revision wins, in whatever order it arrives and however often. Messages
 * are numbered without holes; a number that is missing, or that may have changed while nobody told
 * us, is a hole, and `holes` says which to ask for. What we said ourselves and nobody has confirmed
 * waits in `pending`, by key, until a message of ours with that key comes.
 */

/** Messages kept of a room besides those that are shown; older ones are asked for again. */
export const KEPT = 1000;

const MEMBERS = new Set(["owner", "moderator", "member"]);

/** Whether somebody with this role takes part. */
export const takesPart = (role) => MEMBERS.has(role);

const newer = (ours, theirs) => ours === undefined || ours === null || theirs.revision > ours.revision;

/** One room, as far as we know it. */
export class Room {
  constructor(id) {
    this.id = id;
    this.info = null; // api.Room
    this.place = null; // api.Place: our own part in it
    this.gone = false; // we take part no longer
    this.members = new Map();
    this.messages = new Map();
    this.pending = new Map(); // by key
    this.entered = false; // the first snapshot has come
    this.#stale = new Set();
    this.#read = 0;
  }

  #stale; // numbers of messages that may have changed without our hearing of it
  #read; // how far we have read, told to the server or not
  #typing = new Map();
  #last = 0;

  /** Number of the last message. */
  get last() { return Math.max(this.info?.last ?? 0, this.#last); }

  /** Number of the last message that was read here or by another client of ours. */
  get read() { return Math.max(this.place?.read ?? 0, this.#read); }

  get unread() { return Math.max(0, this.last - this.read); }

  get role() { return this.gone ? "left" : this.place?.role ?? "left"; }

  /** Take what belongs to us in this room. */
  takePlace(place) {
    this.takeInfo(place.room);
    if (!newer(this.place, place)) return;
    this.place = place;
    this.gone = !takesPart(place.role);
  }

  takeInfo(info) {
    if (newer(this.info, info)) this.info = info;
  }

  takeMember(member) {
    if (newer(this.members.get(member.name), member)) this.members.set(member.name, member);
  }

  /** Take a message; true if it is one that we did not know, or a change of it. */
  takeMessage(message, me) {
    const { number, key, who } = message;
    this.#stale.delete(number);
    if (who === me) this.pending.delete(key);
    this.#typing.delete(who);
    if (!newer(this.messages.get(number), message)) return false;
    this.messages.set(number, message);
    this.#last = Math.max(this.#last, number);
    return true;
  }

  /** Begin anew: members who are not named have gone, other messages may have changed. */
  takeState({ room, members, messages }, me) {
    this.entered = true;
    this.takeInfo(room);
    const named = new Set(members.map(({ name }) => name));
    for (const name of this.members.keys()) if (!named.has(name)) this.members.delete(name);
    for (const member of members) this.takeMember(member);
    this.#stale = new Set(this.messages.keys());
    for (const message of messages) this.takeMessage(message, me);
  }

  /** Note that it was read up to here; true if that is news. */
  noteRead(number) {
    if (number <= this.read) return false;
    this.#read = number;
    return true;
  }

  /** The ranges [first, last] between `low` and `high` that are to be asked for, the newest first. */
  holes(low, high) {
    const found = [];
    for (let number = Math.min(high, this.last); number >= Math.max(1, low); number--) {
      if (this.messages.has(number) && !this.#stale.has(number)) continue;
      const before = found.at(-1);
      if (before?.[0] === number + 1) before[0] = number;
      else found.push([number, number]);
    }
    return found;
  }

  /** Forget messages that are far from what is shown, and not among the newest. */
  prune(low, high) {
    if (this.messages.size <= 2 * KEPT) return;
    for (const number of this.messages.keys()) {
      const near = number >= low - KEPT / 2 && number <= high + KEPT / 2;
      if (!near && number <= this.last - KEPT / 2) {
        this.messages.delete(number);
        this.#stale.delete(number);
      }
    }
  }

  /** Somebody types; show it until then (a time in milliseconds). */
  noteTyping(name, until) { this.#typing.set(name, until); }

  typists(now) {
    for (const [name, until] of this.#typing) if (until <= now) this.#typing.delete(name);
    return [...this.#typing.keys()].sort();
  }

  /** Say that this waits to be confirmed, unless it was already. */
  addPending(entry, me) {
    for (const { who, key } of this.messages.values()) if (who === me && key === entry.key) return false;
    this.pending.set(entry.key, entry);
    return true;
  }
}

/** All that an account knows. */
export class Model {
  me = null; // our name, once we know it
  known = false; // `mine` has come
  rooms = new Map();

  /** The room with this id; a new one if we do not know it. */
  at(id) {
    let room = this.rooms.get(id);
    if (room === undefined) this.rooms.set(id, (room = new Room(id)));
    return room;
  }

  /** Those that we take part in: the one with the newest message first, direct ones among them. */
  places() {
    return [...this.rooms.values()]
      .filter((room) => room.place !== null && !room.gone)
      .sort((a, b) => this.title(a).localeCompare(this.title(b)) || a.id - b.id);
  }

  /** What to call a room: a direct one after the other. */
  title({ info }) {
    if (info === null) return "";
    if (info.kind !== "direct") return info.name;
    return info.name.split(" ").find((name) => name !== this.me) ?? info.name;
  }

  /** Messages that nobody has read yet, in all rooms. */
  get unread() { return this.places().reduce((sum, { unread }) => sum + unread, 0); }

  /** Begin anew with what belongs to us: rooms that are not named are ours no longer. */
  takeMine({ account, places }) {
    this.me = account.name;
    this.known = true;
    const named = new Set(places.map(({ room }) => room.id));
    for (const room of this.rooms.values()) if (!named.has(room.id)) room.gone = true;
    for (const place of places) {
      const room = this.at(place.room.id);
      room.takePlace(place);
      if (room.place.revision === place.revision) room.gone = !takesPart(place.role);
    }
  }

  takePlace(place) { this.at(place.room.id).takePlace(place); }

  /** Take what happened in a room; true if it is a message that we did not know, or its change. */
  takeEvent(event) {
    if (event.type === "message") return this.at(event.room).takeMessage(event, this.me);
    if (event.type === "member") this.at(event.room).takeMember(event);
    else if (event.type === "room") this.at(event.id).takeInfo(event);
    return false;
  }

  takeState(state) { this.at(state.room.id).takeState(state, this.me); }
}

/** What one may do in a room; the server decides, this says what to offer. */
export function rights(room, me) {
  const { kind } = room.info ?? {};
  const leads = room.role === "owner" || room.role === "moderator";
  const open = kind !== "direct";
  return {
    describe: leads && open,
    invite: open && takesPart(room.role),
    leave: open && takesPart(room.role),
    edit: (message) => message.who === me && message.deleted === null,
    remove: (message) => message.deleted === null && (message.who === me || (leads && open)),
    /** The roles that one may give to this member. */
    roles(member) {
      if (!leads || !open || member.name === me) return [];
      if (room.role === "owner") return ["owner", "moderator", "member", "left", "banned"].filter((r) => r !== member.role);
      if (member.role === "banned") return ["left"];
      return member.role === "member" ? ["left", "banned"] : [];
    },
  };
}
