// Only type-checked: how the client is used.

import { connect, DeclaredError, webSocket, type Client } from "./framerpc.js";
import { tcp } from "./tcp.js";

const client: Client = connect("wss://example.org/rpc/", {
  token: async () => "secret",
  keepalive: { intervalMs: 10_000 },
  onstate: (state, reason) => console.log(state, reason),
});

export async function uses(): Promise<number> {
  await client.ready({ timeoutMs: 5000 });
  const sum = await client.call<number>("Calc/add", [2, 3], { timeoutMs: 1000, idempotent: true });
  async function* lines() { yield "a"; }
  const total = await client.call<number>("Text/size", { lines: lines() }, { metadata: { tenant: "a" } });
  for await (const n of client.stream<number>("Calc/count", [10])) if (n > total) break;
  try {
    await client.notify("Audit/note", ["ok"]);
  } catch (error) {
    if (error instanceof DeclaredError) return error.fields["left"];
  }
  // @ts-expect-error - a result is a number
  const text: string = sum;
  // @ts-expect-error - metadata are texts
  client.call("Calc/add", [2], { metadata: { tenant: 1 } });
  connect("tcp://127.0.0.1:7000", { dial: tcp }).close();
  connect("ws://127.0.0.1:7000", { dial: webSocket(WebSocket) }).close();
  client.wake();
  return text.length;
}

export async function topics(): Promise<void> {
  const receipt = await client.publish("log.app", { text: "ready" }, { key: "1" });
  const subscription = client.subscribe<{ text: string }>("log.*", {
    since: receipt.epoch === null ? null : `${receipt.epoch}:${receipt.offset}`,
    ongap: ({ dropped }) => console.log(Object.keys(dropped)),
  });
  const { recovered } = await subscription.started;
  for await (const message of subscription) if (recovered && message.value.text === message.topic) break;
  for await (const update of client.watch<number, string>("Board/follow")) {
    if ("snapshot" in update) update.snapshot.toFixed();
    else update.change.toUpperCase();
  }
  const { messages } = await client.history("log.app", { since: "start", limit: 10 });
  messages[0]?.value;
}
