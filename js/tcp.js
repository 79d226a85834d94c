/** A transport for Node: `connect("tcp://127.0.0.1:7000", { dial: tcp })`, also unix:///path. */

import { connect } from "node:net";

export function tcp(url, { signal }) {
  return new Promise((resolve, reject) => {
    const socket = connect(placeOf(url));
    const transport = {
      ondata: null,
      onclose: null,
      get buffered() { return socket.writableLength; },
      send(bytes) { socket.write(bytes); },
      close() { socket.destroySoon(); },
      start() {
        socket.on("data", ({ buffer, byteOffset, length }) => this.ondata(new Uint8Array(buffer, byteOffset, length)));
        socket.on("close", () => this.onclose(null, "the socket was closed"));
      },
    };
    const abort = () => { socket.destroy(); reject(signal.reason); };
    signal.addEventListener("abort", abort);
    socket.setNoDelay();
    socket.on("error", reject); // "close" follows
    socket.on("connect", () => {
      signal.removeEventListener("abort", abort);
      resolve(transport);
    });
  });
}

function placeOf(url) {
  const [, scheme, place] = /^(tcp|unix):\/\/(.+)$/.exec(url) ?? [];
  if (scheme === "unix") return { path: place };
  const [, host, bare, port] = /^(?:\[(.+)\]|([^:/]+)):(\d+)\/?$/.exec(place ?? "") ?? [];
  if (port === undefined) throw new TypeError(`${url} is not tcp://host:port or unix:///path`);
  return { host: host ?? bare, port: Number(port) };
}
