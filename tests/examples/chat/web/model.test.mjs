// What the page knows of its rooms.

import assert from "node:assert/strict";
import { test } from "node:test";

import { KEPT, Model, rights } from "../../../../examples/chat/web/model.js";
import { aMember, aMessage, aPlace, aRoom, aState, mine } from "./fakes.mjs";

const inRoom = (messages = []) => {
  const model = new Model();
  model.takeMine(mine(aPlace()));
  model.takeState(aState(messages));
  return { model, room: model.at(1) };
};
const range = (low, high) => Array.from({ length: high - low + 1 }, (_, i) => low + i);
const texts = (room) => [...room.messages.values()].sort((a, b) => a.number - b.number).map(({ text }) => text);

test("of a message the newest revision is kept, whatever arrives last", () => {
  const { model, room } = inRoom([aMessage(1, { revision: 2, text: "edited" })]);
  model.takeEvent(aMessage(1, { revision: 1, text: "old" }));
  assert.deepEqual(texts(room), ["edited"]);
  model.takeEvent(aMessage(1, { revision: 3, text: "newest" }));
  assert.deepEqual(texts(room), ["newest"]);
});

test("a repetition changes nothing, and says so", () => {
  const { model, room } = inRoom();
  assert.equal(model.takeEvent(aMessage(1)), true);
  assert.equal(model.takeEvent(aMessage(1)), false);
  assert.equal(room.messages.size, 1);
});

test("of a room and of a member, too, the newest revision is kept", () => {
  const { model, room } = inRoom();
  model.takeEvent(aRoom({ revision: 5, about: "new" }));
  model.takeEvent(aRoom({ revision: 4, about: "old" }));
  model.takeEvent(aMember("Bob", "moderator", 5));
  model.takeEvent(aMember("Bob", "member", 4));
  assert.equal(room.info.about, "new");
  assert.equal(room.members.get("Bob").role, "moderator");
});

test("numbers that are missing are holes, the newest first", () => {
  const { room, model } = inRoom([1, 2, 5, 6, 9].map((number) => aMessage(number)));
  assert.deepEqual(room.holes(1, 9), [[7, 8], [3, 4]]);
  assert.deepEqual(room.holes(-5, 3), [[3, 3]]);
  model.takeEvent(aRoom({ last: 11, revision: 9 }));
  assert.deepEqual(room.holes(9, 20), [[10, 11]]);
});

test("after a new snapshot, what is not in it may have changed: it is a hole that is still shown", () => {
  const { room, model } = inRoom(range(1, 4).map((number) => aMessage(number)));
  model.takeState(aState([aMessage(4), aMessage(5)]));
  assert.deepEqual(texts(room).length, 5);
  assert.deepEqual(room.holes(1, 5), [[1, 3]]);
  for (const number of [1, 2, 3]) model.takeEvent(aMessage(number)); // heard again, the same
  assert.deepEqual(room.holes(1, 5), []);
});

test("members who are not in a new snapshot have gone", () => {
  const { room, model } = inRoom();
  model.takeState(aState([], { members: ["Ada", "Eve"] }));
  assert.deepEqual([...room.members.keys()].sort(), ["Ada", "Eve"]);
});

test("what was said waits until our own message with its key comes", () => {
  const { room, model } = inRoom();
  room.addPending({ key: "k", room: 1, text: "hi" }, "Ada");
  model.takeEvent(aMessage(1, { key: "k", who: "Bob" }));
  assert.equal(room.pending.size, 1, "another's key is another's");
  model.takeEvent(aMessage(2, { key: "k", who: "Ada" }));
  assert.equal(room.pending.size, 0);
});

test("what was confirmed already does not wait", () => {
  const { room } = inRoom([aMessage(1, { key: "k", who: "Ada" })]);
  assert.equal(room.addPending({ key: "k", room: 1, text: "hi" }, "Ada"), false);
  assert.equal(room.pending.size, 0);
});

test("unread are those behind what was read, here or elsewhere", () => {
  const { room, model } = inRoom(range(1, 9).map((number) => aMessage(number)));
  assert.deepEqual([room.unread, model.unread], [9, 9]);
  assert.equal(room.noteRead(7), true);
  assert.equal(room.noteRead(3), false, "it never goes back");
  assert.equal(room.unread, 2);
  model.takePlace(aPlace({ read: 8, revision: 2 }));
  assert.equal(room.unread, 1);
  model.takeEvent(aMessage(10));
  assert.equal(room.unread, 2);
});

test("rooms that a snapshot of ours does not name are ours no longer, until they are again", () => {
  const { room, model } = inRoom();
  model.takeMine(mine());
  assert.deepEqual([model.places(), room.role], [[], "left"]);
  model.takePlace(aPlace({ revision: 1 }));
  assert.deepEqual(model.places(), [], "that is old");
  model.takeMine(mine(aPlace({ revision: 1 })));
  assert.deepEqual(model.places(), [room]);
});

test("a place with the role of one who left or was banned is none", () => {
  for (const role of ["left", "banned"]) {
    const { model } = inRoom();
    model.takePlace(aPlace({ role, revision: 2 }));
    assert.deepEqual(model.places(), []);
  }
});

test("a direct room is called after the other", () => {
  const { model, room } = inRoom();
  model.takeEvent(aRoom({ kind: "direct", name: "Ada Zoe", revision: 2 }));
  assert.equal(model.title(room), "Zoe");
});

test("who types is shown until their time is over, or their message is there", () => {
  const { model, room } = inRoom();
  room.noteTyping("Bob", 1000);
  room.noteTyping("Eve", 2000);
  assert.deepEqual(room.typists(999), ["Bob", "Eve"]);
  assert.deepEqual(room.typists(1000), ["Eve"]);
  model.takeEvent(aMessage(1, { who: "Eve" }));
  assert.deepEqual(room.typists(1000), []);
});

test("messages far from what is shown are forgotten, the newest are kept", () => {
  const { room } = inRoom(range(1, 3 * KEPT).map((number) => aMessage(number)));
  room.prune(1, 300);
  assert.ok(room.messages.size <= 2 * KEPT);
  assert.deepEqual(room.holes(1, 300), []);
  assert.deepEqual(room.holes(3 * KEPT - 100, 3 * KEPT), []);
});

test("what is offered follows the rights: of authors, moderators, owners", () => {
  const { room, model } = inRoom();
  const may = (role) => {
    model.takePlace(aPlace({ role, revision: (room.place?.revision ?? 0) + 1 }));
    return rights(room, "Ada");
  };
  const own = aMessage(1, { who: "Ada" }), other = aMessage(2), deleted = aMessage(3, { who: "Ada", deleted: "Ada" });
  const told = (rightsOf) => [own, other, deleted].map((message) => [rightsOf.edit(message), rightsOf.remove(message)]);
  assert.deepEqual(told(may("member")), [[true, true], [false, false], [false, false]]);
  assert.deepEqual(told(may("moderator")), [[true, true], [false, true], [false, false]]);
  assert.deepEqual(may("member").roles(aMember("Bob")), []);
  assert.deepEqual(may("moderator").roles(aMember("Bob")), ["left", "banned"]);
  assert.deepEqual(may("moderator").roles(aMember("Bob", "owner")), []);
  assert.deepEqual(may("moderator").roles(aMember("Bob", "banned")), ["left"]);
  assert.deepEqual(may("owner").roles(aMember("Bob", "moderator")), ["owner", "member", "left", "banned"]);
  assert.deepEqual(may("owner").roles(aMember("Ada", "owner")), []);
});

test("nobody moderates or leaves a direct room", () => {
  const { room, model } = inRoom();
  model.takeEvent(aRoom({ kind: "direct", name: "Ada Bob", revision: 2 }));
  const may = rights(room, "Ada");
  assert.deepEqual([may.leave, may.invite, may.describe, may.remove(aMessage(1))], [false, false, false, false]);
});
