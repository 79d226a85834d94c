// How the page stays current, and how what was said gets out.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Model } from "../../../../examples/chat/web/model.js";
import { Session } from "../../../../examples/chat/web/session.js";
import { Client, Storage, aMessage, aPlace, aRoom, aState, declared, failure, lost, mine, settle } from "./fakes.mjs";

const ROOM = "Chat/room 1";
let storage, next;
beforeEach(() => { storage = new Storage(); next = 1; });

/** The server's answer to `say`: the same message for the same key. */
function speaker(said = new Map()) {
  return ({ room, text, key }) => {
    if (!said.has(key)) said.set(key, aMessage(next++, { room, text, key, who: "Ada" }));
    return said.get(key);
  };
}

/** A session of Ada's, who is in room 1. */
async function begin(answers = {}, messages = []) {
  const client = new Client(answers);
  const failed = [];
  const session = new Session(client, new Model(), { storage, changed: () => {}, failed: (entry) => failed.push(entry), pause: settle });
  session.start();
  await settle();
  client.feeds.get("Chat/mine").give({ snapshot: mine(aPlace({ room: aRoom({ last: messages.length }) })) });
  await settle();
  client.feeds.get(ROOM).give({ snapshot: aState(messages) });
  await settle();
  return { client, session, failed, room: session.model.at(1), feed: () => client.feeds.get(ROOM) };
}
const texts = (room) => [...room.messages.values()].sort((a, b) => a.number - b.number).map(({ text }) => text);
const said = (client) => client.calls.filter(([method]) => method === "Chat/say").map(([, { text }]) => text);

test("every room of ours is followed, and no other", async () => {
  const { client } = await begin();
  const { feeds } = client;
  feeds.get("Chat/mine").give({ change: aPlace({ room: aRoom({ id: 2 }) }) });
  await settle();
  assert.deepEqual([feeds.has(ROOM), feeds.has("Chat/room 2")], [true, true]);
  feeds.get("Chat/mine").give({ change: aPlace({ role: "left", revision: 2 }) });
  await settle();
  assert.deepEqual([feeds.get(ROOM).left, feeds.get("Chat/room 2").left], [true, false]);
});

test("a watch that fails is begun again while the room is ours", async () => {
  const { client, feed, room } = await begin();
  const first = feed();
  first.fail(failure("RemoteError", { status: "INTERNAL" }));
  await settle();
  await settle();
  assert.notEqual(feed(), first);
  feed().give({ snapshot: aState([aMessage(1)]) });
  await settle();
  assert.deepEqual(texts(room), ["message 1"]);
  assert.equal(client.state, "ready");
});

test("what is said is shown as pending at once, and replaced by the message", async () => {
  let answer;
  const { session, room, feed } = await begin({ "Chat/say": () => new Promise((resolve) => { answer = resolve; }) });
  const entry = session.say(1, "hi");
  assert.deepEqual([...room.pending.values()].map(({ text }) => text), ["hi"]);
  feed().give({ change: aMessage(1, { who: "Ada", key: entry.key, text: "hi" }) });
  await settle();
  assert.deepEqual([room.pending.size, texts(room)], [0, ["hi"]]);
  answer(aMessage(1, { who: "Ada", key: entry.key, text: "hi" }));
  await settle();
  assert.deepEqual([room.pending.size, texts(room), storage.length], [0, ["hi"], 0]);
});

test("a lost answer makes no second message: it is said again with the same key", async () => {
  const say = speaker();
  let losses = 3;
  const { session, client, room } = await begin({ "Chat/say": (args) => {
    const message = say(args);
    if (losses-- > 0) throw lost();
    return message;
  } });
  session.say(1, "once");
  for (let i = 0; i < 8; i++) await settle();
  assert.equal(new Set(client.calls.map(([, { key }]) => key)).size, 1);
  assert.deepEqual([texts(room), room.pending.size, client.calls.length], [["once"], 0, 4]);
});

test("what its message has confirmed is forgotten, also when the answer is lost", async () => {
  const { session, feed, room } = await begin({ "Chat/say": async ({ text, key }) => {
    feed().give({ change: aMessage(1, { text, key, who: "Ada" }) });
    await settle();
    throw lost();
  } });
  session.say(1, "heard of");
  await settle();
  await settle();
  assert.deepEqual([texts(room), room.pending.size, storage.length], [["heard of"], 0, 0]);
});

test("messages leave in the order in which they were said, also when the first has to wait", async () => {
  const say = speaker();
  let losses = 2;
  const { session, client, room } = await begin({ "Chat/say": (args) => {
    if (losses-- > 0) throw lost();
    return say(args);
  } });
  for (const text of ["one", "two", "three"]) session.say(1, text);
  for (let i = 0; i < 8; i++) await settle();
  assert.deepEqual(said(client), ["one", "one", "one", "two", "three"]);
  assert.deepEqual(texts(room), ["one", "two", "three"]);
});

test("only what the server refuses has failed; it can be said again, or not", async () => {
  let refuse = true;
  const say = speaker();
  const { session, room, failed } = await begin({ "Chat/say": (args) => {
    if (refuse) throw declared("NoSuchRoom", { room: 1 });
    return say(args);
  } });
  const [first, second] = [session.say(1, "first"), session.say(1, "second")];
  await settle();
  assert.deepEqual(failed.map(({ text }) => text), ["first", "second"]);
  assert.match(room.pending.get(first.key).failed, /no such room/);
  refuse = false;
  session.outbox.retry(first);
  session.outbox.discard(second);
  await settle();
  assert.deepEqual([texts(room), room.pending.size, storage.length], [["first"], 0, 0]);
});

test("what was not sent survives a reload of the page, in order, once", async () => {
  const first = await begin({ "Chat/say": () => { throw lost(); } });
  for (const text of ["one", "two"]) first.session.say(1, text);
  await settle();
  first.session.close();
  const second = await begin({ "Chat/say": speaker() });
  for (let i = 0; i < 4; i++) await settle();
  assert.deepEqual([said(second.client), texts(second.room)], [["one", "two"], ["one", "two"]]);
  assert.equal(storage.length, 0);
});

test("what was left is said in the order in which it was said, however it is stored", async () => {
  for (const [key, at] of [["a", 3], ["b", 1], ["c", 2]]) {
    storage.setItem(`framerpc-chat/outbox/Ada/${key}`, JSON.stringify({ key, room: 1, text: `at ${at}`, at }));
  }
  const { client } = await begin({ "Chat/say": speaker() });
  for (let i = 0; i < 4; i++) await settle();
  assert.deepEqual(said(client), ["at 1", "at 2", "at 3"]);
});

test("what another account has left, or is none of ours, is not sent", async () => {
  storage.setItem("framerpc-chat/outbox/Eve/k", JSON.stringify({ key: "k", room: 1, text: "not mine", at: 1 }));
  storage.setItem("framerpc-chat/outbox/Ada/broken", "{");
  const { client } = await begin({ "Chat/say": speaker() });
  assert.deepEqual(said(client), []);
});

test("holes are filled with history, in pages", async () => {
  const history = ({ before, after, limit }) =>
    Array.from({ length: before - after - 1 }, (_, i) => aMessage(after + 1 + i)).slice(-limit);
  const { session, client, room } = await begin({ "Chat/history": history }, [aMessage(498), aMessage(500)]);
  await session.fill(1, 1, 500);
  assert.deepEqual(room.holes(1, 500), []);
  assert.deepEqual(client.calls.map(([, { before, after }]) => [before, after]), [[500, 498], [498, 0], [298, 0], [98, 0]]);
});

test("holes are not asked for twice at the same time", async () => {
  const { session, client } = await begin({ "Chat/history": async () => {
    await settle();
    return [aMessage(1)];
  } }, [aMessage(2)]);
  await Promise.all([session.fill(1, 1, 2), session.fill(1, 1, 2)]);
  assert.equal(client.calls.length, 1);
});

test("holes that cannot be filled now are asked for again", async () => {
  let losses = 2;
  const { session, client, room } = await begin({ "Chat/history": () => {
    if (losses-- > 0) throw lost();
    return [aMessage(1)];
  } }, [aMessage(2)]);
  await session.fill(1, 1, 2);
  assert.deepEqual([room.holes(1, 2), client.calls.length], [[], 3]);
});

test("a server that gives nothing for a hole is not asked for ever", async () => {
  const { session, client } = await begin({ "Chat/history": () => [] }, [aMessage(2)]);
  await session.fill(1, 1, 2);
  assert.equal(client.calls.length, 1);
});

test("what was read is told once, the newest number only, until it is heard", async () => {
  const marks = [];
  let losses = 1;
  const { session } = await begin({ "Chat/read": async ({ number }) => {
    await settle();
    if (losses-- > 0) throw lost();
    marks.push(number);
  } }, [aMessage(1), aMessage(2), aMessage(3)]);
  for (const number of [1, 3, 2, 3]) session.read(1, number);
  for (let i = 0; i < 8; i++) await settle();
  assert.deepEqual(marks, [3]);
});

test("marks of what was read are told one after the other, the last one last", async () => {
  const marks = [];
  const { session } = await begin({ "Chat/read": async ({ number }) => {
    marks.push(`from ${number}`);
    await settle();
    marks.push(`to ${number}`);
  } }, [aMessage(1), aMessage(2), aMessage(3)]);
  for (const number of [1, 2, 3]) session.read(1, number);
  for (let i = 0; i < 4; i++) await settle();
  assert.deepEqual(marks, ["from 1", "to 1", "from 3", "to 3"]);
});

test("who shows a room is present there, and hears who types", async () => {
  const { session, client, room } = await begin();
  session.show(1);
  await settle();
  client.feeds.get("presence chat.here.1").give({ snapshot: { members: [["Ada", 0], ["Bob", 0]], total: 2 } });
  client.feeds.get("presence chat.here.1").give({ change: ["Bob", 0, "left"] });
  client.feeds.get("presence chat.here.1").give({ change: ["Eve", 0, null] });
  client.feeds.get("chat.here.1").give({ value: { name: "Eve" } });
  client.feeds.get("chat.here.1").give({ value: { name: "Ada" } });
  await settle();
  assert.deepEqual([...session.here].sort(), ["Ada", "Eve"]);
  assert.deepEqual(room.typists(Date.now()), ["Eve"], "not oneself");
  session.show(null);
  await settle();
  assert.deepEqual([client.feeds.get("chat.here.1").left, session.here.size], [true, 0]);
});

test("typing is told now and then, and not without a connection", async () => {
  const { session, client } = await begin();
  client.state = "connecting";
  session.typing(1);
  client.state = "ready";
  for (let i = 0; i < 5; i++) session.typing(1);
  assert.deepEqual(client.notes, [["Chat/typing", { room: 1 }]]);
});

test("since when there is no connection is told from the first moment on", async () => {
  const { session, client } = await begin();
  client.onstate("connecting", "lost");
  const { since } = session.connection;
  await settle();
  client.onstate("connecting", "refused");
  assert.deepEqual(session.connection, { state: "connecting", since, why: "refused" });
});

test("a client that was refused for good sends nothing any more, and keeps what waits", async () => {
  const { session, client } = await begin({ "Chat/say": () => { throw failure("Unauthenticated", { status: "UNAUTHENTICATED" }); } });
  session.say(1, "later");
  client.state = "failed";
  client.onstate("failed", "unknown token");
  for (let i = 0; i < 5; i++) await settle();
  const { length } = client.calls;
  await settle();
  assert.deepEqual([client.calls.length, storage.length], [length, 1]);
});
