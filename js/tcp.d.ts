import type { Dial } from "./framerpc.js";

/** Dial tcp://host:port and unix:///path, in Node. */
export const tcp: Dial;
