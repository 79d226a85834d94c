/**
 * framerpc for JavaScript: a client for browsers and Node, after protocol.md.
 *
 * From the bottom up: `read` (msgpack, strictly), `Wire` (the rules: bytes in, events out, no I/O),
 * `Connection` (one transport), `Client` (reconnects, waits, sends again what may be sent again).
 * A transport is anything with `send`, `close` and `buffered`; see `webSocket` below and tcp.js.
 */

import { Encoder, ExtensionCodec } from "@msgpack/msgpack";

export const SUBPROTOCOL = "framerpc.v1";
const AGENT = "framerpc-js/0.1.0";
const VERSION = 1;
const PREAMBLE = Uint8Array.of(0x89, 0x46, 0x52, 0x50, 0x43, 0x0d, 0x0a, VERSION);

const HELLO = 1, WELCOME = 2, CLOSE = 3, GOAWAY = 4, PING = 5, PONG = 6;
const REQUEST = 8, RESPONSE = 9, ERROR = 10, CANCEL = 11, RECEIPT = 12, ITEM = 13, END = 14;
const CREDIT = 15, NOTIFY = 16, PART = 17;
const WANTS_STREAM = 1, SENDS_STREAM = 2;

const MAX_ID = 2 ** 31 - 1, MAX_CREDIT = 2 ** 31 - 1, MAX_UINT = Number.MAX_SAFE_INTEGER;
const ITEM_COST = 64; // what an item costs besides its body
const PART_SIZE = 65_536; // longer bodies travel in parts
const MAX_MAP = 65_536; // bytes of the map of a frame
const MAX_DEPTH = 128; // of nested values; 64 is what everyone accepts
const MAX_GREETING = 16_384;
const MAX_WEBSOCKET_MESSAGE = 131_072;
const HIGH_WATER = 262_144; // bytes in the transport above which no further part is sent
const MAX_REFUSED = 64; // bodies refused and still arriving

export const CLOSE_CODES = [
  "NORMAL", "PROTOCOL_ERROR", "VERSION", "UNAUTHENTICATED", "BUSY", "HANDSHAKE_TIMEOUT",
  "FRAME_TOO_LARGE", "SLOW", "SILENT", "FLOOD", "SHUTDOWN", "INTERNAL",
];
/** After these, the same greeting would be refused again. */
export const FINAL_CLOSES = new Set(["PROTOCOL_ERROR", "VERSION", "UNAUTHENTICATED", "FRAME_TOO_LARGE"]);
const EXECUTED = ["no", "maybe", "yes"];

// ------------------------------------------------------------------------------------ errors

/** Base of all errors here. `executed`: did the work happen: "no", "maybe" or "yes". */
export class FrameRPCError extends Error {
  constructor(message, fields = {}) {
    super(message);
    this.name = new.target.name;
    this.executed = "no";
    Object.assign(this, fields);
  }
}
/** The peer broke the protocol; `closeCode` is the name of the close code. */
export class ProtocolError extends FrameRPCError {}
/** There is no connection and, for what `code` says, there will be none by dialling again. */
export class ConnectionFailed extends FrameRPCError {}
/** The connection ended while the call was on its way. */
export class ConnectionLost extends FrameRPCError {}
/** The call ended badly: `method`, `status`, `detail`, `details`, `executed`. */
export class CallError extends FrameRPCError {}
export class Cancelled extends CallError {}
export class InvalidArgument extends CallError {}
export class MethodNotFound extends CallError {}
export class DeadlineExceeded extends CallError {}
export class Unauthenticated extends CallError {}
export class PermissionDenied extends CallError {}
export class ResourceExhausted extends CallError {}
export class Unavailable extends CallError {}
/** The method raised something undeclared; `errorId` finds the report in the server's log. */
export class RemoteError extends CallError {}
/** The method raised an error that its service declares: `errorName` and `fields`. */
export class DeclaredError extends CallError {}
export class MessageTooLarge extends CallError {}
export class Unimplemented extends CallError {}
export class InvalidResult extends CallError {}
/** It is not known any more what became of a call that must happen once. */
export class Forgotten extends CallError {}

/** Status: its name, its class, the values of `executed` it may carry, whether to try again. */
export const STATUSES = {
  1: ["CANCELLED", Cancelled, ["maybe", "no"], false],
  2: ["INVALID_ARGUMENT", InvalidArgument, ["no", "yes"], false],
  3: ["METHOD_NOT_FOUND", MethodNotFound, ["no"], false],
  4: ["DEADLINE_EXCEEDED", DeadlineExceeded, ["maybe", "no"], false],
  5: ["UNAUTHENTICATED", Unauthenticated, ["no", "yes"], false],
  6: ["PERMISSION_DENIED", PermissionDenied, ["no", "yes"], false],
  7: ["RESOURCE_EXHAUSTED", ResourceExhausted, ["no", "maybe", "yes"], true],
  8: ["UNAVAILABLE", Unavailable, ["no", "maybe", "yes"], true],
  9: ["INTERNAL", RemoteError, ["yes", "maybe"], false],
  10: ["APPLICATION", DeclaredError, ["yes"], false],
  11: ["MESSAGE_TOO_LARGE", MessageTooLarge, ["no", "yes"], false],
  12: ["UNIMPLEMENTED", Unimplemented, ["no"], false],
  13: ["INVALID_RESULT", InvalidResult, ["yes"], false],
  14: ["FORGOTTEN", Forgotten, ["maybe"], true],
};

function errorOf(method, status, executed, detail, details) {
  const [name, Type, allowed, retryable] = STATUSES[status] ?? STATUSES[9];
  const told = details === null ? {} : plain(details);
  const fields = {
    method, status: name, detail, details: told, retryable,
    executed: allowed.includes(executed) ? executed : allowed[0],
  };
  if (typeof told.retry_after_ms === "number") fields.retryAfterMs = told.retry_after_ms;
  if (Type === RemoteError) fields.errorId = told.error_id ?? null;
  if (Type === DeclaredError) {
    fields.errorName = told.name ?? "";
    fields.fields = told.fields instanceof Uint8Array ? decode(told.fields) : {};
  }
  return new Type(`${method}: ${detail || name}`, fields);
}

const failure = (name, method, detail, executed = "no", details = null) =>
  errorOf(method, Number(Object.keys(STATUSES).find((n) => STATUSES[n][0] === name)), executed, detail, details);

// ----------------------------------------------------------------------------------- msgpack

/** A float of the envelope, which must not pass for an integer. */
class Float {
  constructor(value) { this.value = value; }
}

/** An extension that nobody here knows. */
class Ext {
  constructor(type, data) { this.type = type; this.data = data; }
}

class Malformed extends Error {}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Reads msgpack and believes nothing: lengths, UTF-8, nesting. The library's decoder cannot be
 * used for what strangers send: to it, 1.0 is 1, and text that is no UTF-8 is some other text.
 */
class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.position = 0;
    this.end = bytes.length; // less inside the map of a frame
  }

  #take(count) {
    const start = this.position;
    if (count > this.end - start) throw new Malformed("the value is cut short, or a map too long");
    this.position = start + count;
    return start;
  }

  #slice(count) {
    const start = this.#take(count);
    return this.bytes.subarray(start, start + count);
  }

  #length(width) {
    const at = this.#take(width);
    if (width === 1) return this.view.getUint8(at);
    return width === 2 ? this.view.getUint16(at) : this.view.getUint32(at);
  }

  #text(count) {
    try {
      return utf8.decode(this.#slice(count));
    } catch (error) {
      if (error instanceof Malformed) throw error;
      throw new Malformed("a text is not UTF-8");
    }
  }

  /** One value; floats as `Float` if `exact`, extensions as `Ext`, integers beyond 2^53 as BigInt. */
  value(exact, depth = 0) {
    if (depth > MAX_DEPTH) throw new Malformed("nested too deep");
    if (depth === 1) this.head = this.position;
    const head = this.view.getUint8(this.#take(1));
    if (head < 0x80) return head;
    if (head >= 0xe0) return head - 256;
    if (head < 0x90) return this.#map(head & 15, exact, depth);
    if (head < 0xa0) return this.#array(head & 15, exact, depth);
    if (head < 0xc0) return this.#text(head & 31);
    const { view } = this;
    switch (head) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: case 0xc5: case 0xc6: return this.#slice(this.#length(1 << (head - 0xc4)));
      case 0xc7: case 0xc8: case 0xc9: return this.#ext(this.#length(1 << (head - 0xc7)));
      case 0xca: return number(view.getFloat32(this.#take(4)), exact);
      case 0xcb: return number(view.getFloat64(this.#take(8)), exact);
      case 0xcc: case 0xcd: case 0xce: return this.#length(1 << (head - 0xcc));
      case 0xcf: return integer(view.getBigUint64(this.#take(8)));
      case 0xd0: return view.getInt8(this.#take(1));
      case 0xd1: return view.getInt16(this.#take(2));
      case 0xd2: return view.getInt32(this.#take(4));
      case 0xd3: return integer(view.getBigInt64(this.#take(8)));
      case 0xd4: case 0xd5: case 0xd6: case 0xd7: case 0xd8: return this.#ext(1 << (head - 0xd4));
      case 0xd9: case 0xda: case 0xdb: return this.#text(this.#length(1 << (head - 0xd9)));
      case 0xdc: case 0xdd: return this.#array(this.#length(head === 0xdc ? 2 : 4), exact, depth);
      case 0xde: case 0xdf: return this.#map(this.#length(head === 0xde ? 2 : 4), exact, depth);
      default: throw new Malformed("the byte 0xc1");
    }
  }

  #array(count, exact, depth) {
    if (count > this.bytes.length - this.position) throw new Malformed("an array is cut short");
    const items = [];
    for (let i = 0; i < count; i++) items.push(this.value(exact, depth + 1));
    return items;
  }

  /** An object if all keys are texts, a Map if not. */
  #map(count, exact, depth) {
    if (exact && depth === 1) {
      // Small values cost far more than their bytes: the limit holds while they are read.
      this.end = Math.min(this.bytes.length, this.head + MAX_MAP);
    }
    const found = this.#pairs(count, exact, depth);
    if (exact && depth === 1) this.end = this.bytes.length;
    return found;
  }

  #pairs(count, exact, depth) {
    if (2 * count > this.bytes.length - this.position) throw new Malformed("a map is cut short");
    const pairs = [];
    let texts = true;
    for (let i = 0; i < count; i++) {
      const key = this.value(exact, depth + 1);
      texts &&= typeof key === "string";
      pairs.push([key, this.value(exact, depth + 1)]);
    }
    return texts ? Object.fromEntries(pairs) : new Map(pairs);
  }

  #ext(count) {
    const type = this.view.getInt8(this.#take(1));
    const data = this.#slice(count);
    return type === -1 ? date(data) : new Ext(type, data);
  }
}

const number = (value, exact) => (exact ? new Float(value) : value);

function integer(big) {
  const value = Number(big);
  return Number.isSafeInteger(value) ? value : big;
}

function date(data) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let seconds, nanoseconds = 0;
  if (data.length === 4) {
    seconds = view.getUint32(0);
  } else if (data.length === 8) {
    const both = view.getBigUint64(0);
    [seconds, nanoseconds] = [Number(both & 0x3ffffffffn), Number(both >> 34n)];
  } else if (data.length === 12) {
    [seconds, nanoseconds] = [Number(view.getBigInt64(4)), view.getUint32(0)];
  } else {
    throw new Malformed("a point in time of an unknown length");
  }
  const found = new Date(seconds * 1000 + Math.floor(nanoseconds / 1e6));
  if (nanoseconds > 999_999_999 || Number.isNaN(found.getTime())) {
    throw new Malformed("a point in time out of range");
  }
  return found;
}

/** The one value that `bytes` hold. */
function read(bytes, exact) {
  const reader = new Reader(bytes);
  const value = reader.value(exact);
  if (reader.position !== bytes.length) throw new Malformed("bytes behind the value");
  return value;
}

/** A value of the envelope as an application sees it. */
function plain(value) {
  if (value instanceof Float) return value.value;
  if (Array.isArray(value)) return value.map(plain);
  if (isMap(value)) return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)]));
  return value;
}

/**
 * Decode a body. Integers beyond 2^53 become BigInt, points in time Date, bytes Uint8Array, maps
 * objects (a Map if a key is no text). Throws if it is malformed or holds an unknown extension.
 */
export function decode(bytes) {
  const value = read(bytes, false);
  refuseExtensions(value);
  return value;
}

function refuseExtensions(value) {
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return;
  if (value instanceof Ext) throw new Malformed(`extension type ${value.type} is unknown`);
  if (Array.isArray(value)) value.forEach(refuseExtensions);
  else if (value instanceof Map) value.forEach((each, key) => [key, each].forEach(refuseExtensions));
  else if (!(value instanceof Date)) Object.values(value).forEach(refuseExtensions);
}

/** Writes Date as a point in time; refuses what the library would write as an empty object. */
class Codec extends ExtensionCodec {
  tryToEncode(value, context) {
    if (value instanceof Map || value instanceof Set) {
      throw new TypeError(`cannot send a ${value.constructor.name}; use an object or an array`);
    }
    return super.tryToEncode(value, context);
  }
}

const extensionCodec = new Codec();
const encoder = new Encoder({ ignoreUndefined: true, extensionCodec });
const bigEncoder = new Encoder({ ignoreUndefined: true, extensionCodec, useBigInt64: true });

/** Encode a body. BigInt become integers, Date points in time, Uint8Array bytes. */
export function encode(value) {
  try {
    return encoder.encode(value);
  } catch (error) {
    if (!/bigint/i.test(String(error))) throw error;
    return bigEncoder.encode(widened(value)); // it writes long numbers as floats, but no BigInt
  }
}

function widened(value) {
  if (typeof value === "number") {
    return Number.isSafeInteger(value) && Math.abs(value) >= 2 ** 31 ? BigInt(value) : value;
  }
  if (Array.isArray(value)) return value.map(widened);
  if (!isMap(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, widened(each)]));
}

const isMap = (value) =>
  typeof value === "object" && value !== null && !Array.isArray(value) &&
  [Object.prototype, null].includes(Object.getPrototypeOf(value));

// ------------------------------------------------------------------------------------ frames

const between = (least, most) => (value) =>
  Number.isInteger(value) && value >= least && value <= most;
const uint = between(0, MAX_UINT), id = between(1, MAX_ID), three = between(0, 2);
const str = (value) => typeof value === "string";
const map = (value) => isMap(value);
const bin = (value) => value instanceof Uint8Array;
const orNil = (check) => (value) => value === null || check(value);
const body = (value) => bin(value) || between(1, MAX_UINT)(value);

const FIELDS = {
  [HELLO]: [map],
  [WELCOME]: [map],
  [CLOSE]: [uint, str, orNil(map)],
  [GOAWAY]: [str, uint, uint],
  [PING]: [uint, orNil(map)],
  [PONG]: [uint, orNil(map)],
  [REQUEST]: [id, uint, str, orNil(uint), orNil(map), body],
  [RESPONSE]: [id, body],
  [ERROR]: [id, uint, three, str, orNil(map)],
  [CANCEL]: [id, uint],
  [RECEIPT]: [id, three],
  [ITEM]: [id, body],
  [END]: [id],
  [CREDIT]: [id, between(1, MAX_CREDIT)],
  [NOTIFY]: [id, str, orNil(map), body],
  [PART]: [id, (chunk) => bin(chunk) && chunk.length > 0],
};

const violation = (message, closeCode = "PROTOCOL_ERROR") => new ProtocolError(message, { closeCode });

/** The fields of a frame with its kind in front; null for an optional one that is unknown. */
function frameOf(payload) {
  let frame;
  try {
    frame = read(payload, true);
  } catch (error) {
    if (error instanceof Malformed) throw violation(`a malformed frame: ${error.message}`);
    throw error;
  }
  if (!Array.isArray(frame) || !Number.isInteger(frame[0])) throw violation("a frame without a kind");
  const kind = frame[0], checks = FIELDS[kind];
  if (checks === undefined) {
    if (kind >= 64 && kind <= 127) return null;
    throw violation(`a frame of the unknown kind ${kind}`);
  }
  if (kind === GOAWAY && frame.length === 3) frame.push(0); // when to dial again may be left out
  if (frame.length <= checks.length || !checks.every((check, i) => check(frame[i + 1]))) {
    throw violation(`a bad frame of kind ${kind}`);
  }
  return frame.slice(0, checks.length + 1);
}

function pack(...fields) {
  const payload = encoder.encode(fields);
  const frame = new Uint8Array(4 + payload.length);
  new DataView(frame.buffer).setUint32(0, payload.length);
  frame.set(payload, 4);
  return frame;
}

/** Cuts a stream of bytes; copies only what arrives in pieces. */
class Cutter {
  #chunks = [];
  #have = 0;
  #size = null; // of the frame whose length is known

  add(chunk) {
    if (chunk.length) this.#chunks.push(chunk);
    this.#have += chunk.length;
  }

  get empty() { return this.#have === 0; }

  take(count) {
    const [first] = this.#chunks;
    this.#have -= count;
    if (first !== undefined && first.length >= count) {
      if (first.length === count) this.#chunks.shift();
      else this.#chunks[0] = first.subarray(count);
      return first.subarray(0, count);
    }
    const whole = new Uint8Array(count);
    let filled = 0, used = 0;
    while (filled < count) {
      const chunk = this.#chunks[used];
      const part = chunk.subarray(0, count - filled);
      whole.set(part, filled);
      filled += part.length;
      if (part.length === chunk.length) used += 1;
      else this.#chunks[used] = chunk.subarray(part.length);
    }
    this.#chunks.splice(0, used);
    return whole;
  }

  /** The next payload, or null. A length is refused as soon as it is here. */
  next(most) {
    if (this.#size === null) {
      if (this.#have < 4) return null;
      const prefix = this.take(4);
      this.#size = new DataView(prefix.buffer, prefix.byteOffset, 4).getUint32(0);
      if (this.#size === 0) throw violation("an empty frame");
      if (this.#size > most) {
        throw violation(`a frame of ${this.#size} bytes, the limit is ${most}`, "FRAME_TOO_LARGE");
      }
    }
    if (this.#have < this.#size) return null;
    const payload = this.take(this.#size);
    this.#size = null;
    return payload;
  }
}

// -------------------------------------------------------------------------------------- wire

/** What we are ready to receive; the last is for all bodies in parts together. */
const LIMITS = { frame: 1_048_576, message: 16_777_216, calls: 1024, window: 262_144, receiving: 67_108_864 };
/** What a server takes until it has said more. */
const ASSUMED = { frame: 65_600, message: 65_536, calls: 16, window: 65_536 };
const ANNOUNCED = {
  frame: between(65_600, 2 ** 32 - 1), message: between(1, MAX_UINT),
  calls: between(1, 2 ** 30), window: between(1024, MAX_CREDIT),
};
const text = (most) => (value) => str(value) && [...value].length <= most;
const OPTIONS = {
  version: Number.isInteger, agent: text(255), ping_ms: between(1, MAX_UINT), instance: text(64),
  peer: text(255), limits: map,
  lag_ms: uint, session: (value) => value === null || (bin(value) && between(1, 64)(value.length)),
  features: (value) => Array.isArray(value) && value.length <= 64 && value.every(str),
};

function checkOptions(options, checks, where) {
  for (const [key, check] of Object.entries(checks)) {
    if (Object.hasOwn(options, key) && !check(options[key])) throw violation(`a bad ${key} in ${where}`);
  }
}

/**
 * The client's side of one connection as a value: bytes in, events out. An event is the array of a
 * frame, `{violation, error}` as the last one, or `{refused: [frame, id], size, limit, status}`.
 * `state`: "greeting", "ready", "draining" or "closed".
 */
export class Wire {
  constructor(limits = {}) {
    this.limits = { ...LIMITS, ...limits };
    this.limits.receiving = Math.max(this.limits.receiving, this.limits.message);
    this.state = "greeting";
    this.peer = { ...ASSUMED };
    this.welcome = null;
    this.calls = new Map();
    this.ignored = 0; // frames about calls that are over
    this.unknown = 0; // optional frames that we do not know
    this.receiving = 0; // bytes announced of bodies on their way
    this.refused = 0; // bodies refused and on their way
    this.#cutter = new Cutter();
  }

  #cutter;
  #greeted = 0; // bytes of the preamble that have come

  receive(bytes) {
    if (this.state === "closed") return [];
    const events = [];
    this.#cutter.add(bytes);
    try {
      this.#preamble();
      while (this.state !== "closed") {
        const payload = this.#cutter.next(this.state === "greeting" ? MAX_GREETING : this.limits.frame);
        if (payload === null) break;
        this.#frame(frameOf(payload), events);
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.state = "closed";
      events.push({ violation: error.closeCode, error });
    }
    return events;
  }

  #preamble() {
    while (this.#greeted < PREAMBLE.length && !this.#cutter.empty) {
      const [byte] = this.#cutter.take(1);
      if (byte !== PREAMBLE[this.#greeted]) {
        const version = this.#greeted === PREAMBLE.length - 1;
        throw version
          ? violation(`the server speaks framerpc version ${byte}`, "VERSION")
          : violation("the server does not speak framerpc");
      }
      this.#greeted += 1;
    }
  }

  #frame(frame, events) {
    if (this.state === "greeting") {
      if (frame?.[0] === WELCOME) this.#welcomed(frame[1]);
      else if (frame?.[0] === CLOSE) this.state = "closed";
      else throw violation("a first frame that is neither WELCOME nor CLOSE");
      events.push(frame);
    } else if (frame === null) {
      this.unknown += 1;
    } else if (frame[0] >= REQUEST) {
      this.#aboutCall(frame, events);
    } else {
      if (frame[0] === HELLO || frame[0] === WELCOME) throw violation("a second greeting");
      if (frame[0] === CLOSE) this.state = "closed";
      else if (frame[0] === GOAWAY) this.state = "draining";
      events.push(frame);
    }
  }

  #welcomed(options) {
    if (!Object.hasOwn(options, "version")) throw violation("WELCOME without a version");
    checkOptions(options, OPTIONS, "WELCOME");
    if (options.limits) checkOptions(options.limits, ANNOUNCED, "the limits of WELCOME");
    if (options.version !== VERSION) {
      throw violation(`the server chose version ${options.version}, which we did not offer`, "VERSION");
    }
    this.welcome = options;
    for (const key of Object.keys(ASSUMED)) this.peer[key] = options.limits?.[key] ?? ASSUMED[key];
    this.state = "ready";
  }

  // ------------------------------------------------------------------- what we do to calls

  /** A free id, or null. */
  freeId() {
    for (let tried = 0; tried <= this.calls.size; tried++) {
      const found = this.#nextId;
      this.#nextId = found + 2 > MAX_ID ? 1 : found + 2;
      if (!this.calls.has(found)) return found;
    }
    return null;
  }

  #nextId = 1;

  open(id, flags) {
    this.calls.set(id, {
      state: "open",
      download: (flags & WANTS_STREAM) !== 0,
      upload: flags & SENDS_STREAM ? "open" : "none",
      credit: this.peer.window, // that we may send
      allowed: this.limits.window, // that the server may send
      taken: 0, // since the last grant
      body: null, // that is arriving in parts
    });
  }

  /** We gave the call up; drops what is arriving of it, but for a response. */
  cancel(id) {
    const call = this.calls.get(id);
    call.state = "cancelling";
    if (call.body !== null && call.body.frame[0] !== RESPONSE) this.#drop(call);
  }

  /** The application took an item of so many bytes: the credit to grant now, or 0. */
  took(id, size) {
    const call = this.calls.get(id);
    if (call?.state !== "open" || !call.download) return 0;
    call.taken += ITEM_COST + size;
    if (2 * call.taken < this.limits.window) return 0;
    const grant = call.taken;
    call.taken = 0;
    call.allowed += grant;
    return grant;
  }

  /** Whether an item of the upload may go; charge it with `sent`. */
  maySend(id) {
    const call = this.calls.get(id);
    return call?.state === "open" && call.upload === "open" && call.credit > 0;
  }

  sent(id, size) { this.calls.get(id).credit -= ITEM_COST + size; }

  endUpload(id) { this.calls.get(id).upload = "ended"; }

  // ------------------------------------------------------------- what received frames do to them

  #aboutCall(frame, events) {
    const [kind, id] = frame;
    if (id % 2 === 0) {
      // A call of the server's, which version 1 does not have: so it is over.
      if ([REQUEST, NOTIFY, RESPONSE, RECEIPT].includes(kind)) throw violation("a call from the server");
      this.ignored += 1;
      return;
    }
    if (kind === REQUEST || kind === NOTIFY || kind === CANCEL) throw violation("a caller's frame from the server");
    const call = this.calls.get(id);
    const over = call == null, cancelling = call?.state === "cancelling";
    if (over || (cancelling && (kind === ITEM || kind === CREDIT || (kind === PART && call.body === null)))) {
      this.ignored += 1;
      return;
    }
    if (kind === PART) {
      this.#part(call, frame, events);
      return;
    }
    if (call.body !== null && (kind === RESPONSE || kind === ITEM || kind === END)) {
      throw violation(`a frame of kind ${kind} while a body of call ${id} is on its way`);
    }
    HANDLERS[kind](call, frame, this);
    const inside = kind === RESPONSE || kind === ITEM;
    if (inside && this.#announced(call, frame, events)) return;
    if (kind !== ITEM && kind !== CREDIT) this.#forget(id);
    if (kind !== CREDIT || call.upload === "open") events.push(frame);
    else this.ignored += 1;
  }

  #forget(id) {
    this.#drop(this.calls.get(id));
    this.calls.delete(id);
  }

  #drop(call) {
    if (call.body === null) return;
    if (call.body.kept) this.receiving -= call.body.charge;
    else this.refused -= 1;
    call.body = null;
  }

  /** Take a body that follows, or is too long. True if the frame is dealt with. */
  #announced(call, frame, events) {
    const [kind, id, body] = frame;
    const here = bin(body), size = here ? body.length : body;
    const { message, receiving } = this.limits, charge = Math.max(size, 1024);
    const tooLong = size > message, tooMany = !here && this.receiving + charge > receiving;
    if (here && (!tooLong || kind === RESPONSE)) return false;
    const kept = !tooLong && !tooMany;
    if (!kept) {
      const status = tooLong ? "MESSAGE_TOO_LARGE" : "RESOURCE_EXHAUSTED";
      const refused = [kind === ITEM ? "ITEM" : "RESPONSE", id];
      events.push({ refused, size, limit: tooLong ? message : receiving, status });
      if (here) return true;
      this.refused += 1;
      if (this.refused > Math.max(MAX_REFUSED, this.limits.calls)) {
        events.pop();
        throw violation("too many bodies over the limits", "FLOOD");
      }
    } else {
      this.receiving += charge;
    }
    call.body = { frame, size, charge, kept, got: 0, bytes: new Uint8Array(0) };
    return true;
  }

  #part(call, [, id, chunk], events) {
    const { body } = call;
    if (body === null) throw violation(`a part of call ${id}, which announced no body`);
    if (body.got + chunk.length > body.size) {
      throw violation(`more than was announced of a body of call ${id}`);
    }
    if (body.kept) append(body, chunk);
    body.got += chunk.length;
    if (body.got < body.size) return;
    if (body.frame[0] === RESPONSE) this.#forget(id);
    else this.#drop(call);
    if (body.kept) events.push([body.frame[0], id, body.bytes]);
  }
}

const HANDLERS = {
  [RESPONSE](call) {
    if (call.download) throw violation("a response to a call that asked for a stream");
  },
  [ERROR]() {},
  [RECEIPT](call) {
    if (call.state === "open") throw violation("a receipt for a call that was not cancelled");
  },
  [ITEM](call, [, , body], wire) {
    if (!call.download) throw violation("an item of a stream that nobody asked for");
    if (call.allowed <= 0) throw violation("an item without credit");
    call.allowed -= ITEM_COST + (bin(body) ? body.length : body);
  },
  [END](call) {
    if (!call.download) throw violation("the end of a stream that nobody asked for");
  },
  [CREDIT](call, [, , bytes]) {
    if (call.upload === "none") throw violation("credit for a stream that is none");
    if (call.upload === "open" && call.credit + bytes > MAX_CREDIT) throw violation("too much credit");
    call.credit += bytes;
  },
};

/** Add to a body, whose size is only claimed: room grows with what has come. */
function append(body, chunk) {
  const needed = body.got + chunk.length;
  if (needed > body.bytes.length) {
    const room = Math.min(body.size, Math.max(2 * needed, 4096));
    const bytes = new Uint8Array(room);
    bytes.set(body.bytes.subarray(0, body.got));
    body.bytes = bytes;
  }
  body.bytes.set(chunk, body.got);
}

// -------------------------------------------------------------------------------- connection

const now = () => performance.now() / 1000; // seconds; never goes back
const turn = () => new Promise((resolve) => setTimeout(resolve, 0));
const MOST_SPREAD = 30_000; // ms that a server may ask us to wait before we dial again
const MOST_LAG = 30_000; // ms that a server may claim to be blocked
const MAX_DELAY = 2 ** 31 - 1; // of setTimeout; beyond it it fires at once

/** One transport, from the greeting to the end. `owner` hears of the states. */
class Connection {
  constructor(transport, options, owner) {
    this.wire = new Wire(options.limits);
    this.exchanges = new Map(); // id → who waits
    this.ended = false;
    this.since = now();
    this.#transport = transport;
    this.#options = options;
    this.#owner = owner;
    this.#timer = setTimeout(() => this.close("HANDSHAKE_TIMEOUT", "the handshake took too long"), options.connectTimeoutMs);
  }

  #transport; #options; #owner; #timer;
  #out = [];
  #heard = now();
  #pinged = false;
  #pings = 0; // of both kinds, within one interval

  get ready() { return this.wire.state === "ready"; }
  get free() { return this.ready && this.wire.calls.size < this.wire.peer.calls && this.#transport.buffered < HIGH_WATER; }
  get buffered() { return this.#transport.buffered; }

  greet(token) {
    const { limits, keepalive, agent } = this.#options;
    const { frame, message, calls, window } = { ...LIMITS, ...limits };
    const options = { versions: [VERSION], agent, limits: { frame, message, calls, window }, ping_ms: keepalive.intervalMs };
    if (token !== null) options.token = token;
    this.#transport.send(joined([PREAMBLE, pack(HELLO, options)]));
  }

  /** Queue a frame; all of one turn leave together. */
  send(frame) {
    if (this.ended) return;
    if (this.#out.push(frame) === 1) queueMicrotask(() => this.#flush());
  }

  #flush() {
    const out = this.#out;
    this.#out = [];
    if (!this.ended && out.length) this.#transport.send(out.length === 1 ? out[0] : joined(out));
  }

  /** Take what arrived; null stands for something that is none of ours. */
  receive(bytes) {
    if (this.ended) return;
    if (bytes === null) {
      this.close("PROTOCOL_ERROR", "a WebSocket message that is text, or empty");
      return;
    }
    this.#heard = now();
    for (const event of this.wire.receive(bytes)) {
      if (this.ended) return;
      if (event.violation) this.close(event.violation, event.error.message, event.error);
      else if (event.refused) this.#refused(event);
      else if (event[0] >= REQUEST) this.#aboutCall(event);
      else this.#aboutUs(event);
    }
  }

  #aboutUs([kind, first, second, third]) {
    if (kind === WELCOME) {
      this.#watch();
      this.#owner.welcomed(this);
    } else if (kind === GOAWAY) {
      this.#owner.goaway(this, third);
      this.#rest();
    } else if (kind === CLOSE) {
      this.lost(CLOSE_CODES[first] ?? "INTERNAL", second || "the server closed the connection");
    } else if (++this.#pings > 16) {
      this.close("FLOOD", "too many pings");
    } else if (kind === PING) {
      this.send(pack(PONG, first, { calls: this.wire.calls.size }));
    }
  }

  #aboutCall(event) {
    const [kind, id] = event;
    const exchange = this.exchanges.get(id);
    if (kind !== ITEM && kind !== CREDIT) this.exchanges.delete(id);
    exchange?.event(kind, event);
    if (kind !== ITEM && kind !== CREDIT) {
      this.#owner.freed(this);
      this.#rest();
    }
  }

  #refused(event) {
    const [, id] = event.refused;
    const exchange = this.exchanges.get(id);
    this.exchanges.delete(id); // what arrives of it is counted by the wire, and tells nothing
    exchange?.refused(event);
  }

  /** Go when the server wants us to and nothing is left to do. */
  #rest() {
    if (this.wire.state === "draining" && this.wire.calls.size === 0) this.close("NORMAL", "done");
  }

  /** Look at times whether the server lives: any byte proves it. */
  #watch() {
    clearTimeout(this.#timer);
    const { intervalMs, timeoutMs } = this.#options.keepalive;
    const { ping_ms: theirs = 20_000, lag_ms: lag = 0 } = this.wire.welcome;
    const interval = Math.max(1000, Math.min(intervalMs, theirs));
    // A server that may be blocked for a while is given that while, within reason.
    const patience = Math.min(timeoutMs, interval) + Math.min(lag, MOST_LAG);
    const look = () => {
      const silent = (now() - this.#heard) * 1000;
      this.#pings = 0;
      if (silent < interval) this.#pinged = false;
      if (this.#pinged && silent >= interval + patience) {
        this.close("SILENT", `no byte from the server for ${Math.round(silent)} ms`);
        return;
      }
      if (silent >= interval && !this.#pinged) {
        this.#pinged = true;
        this.send(pack(PING, 0, null));
      }
      const wait = this.#pinged ? interval + patience - silent : interval - silent;
      this.#timer = setTimeout(look, Math.max(wait, 10));
      this.#timer.unref?.();
    };
    look();
  }

  /** End the connection and say why. Idempotent. */
  close(code, reason, error = null) {
    if (this.ended) return;
    const number = CLOSE_CODES.indexOf(code);
    const details = code === "VERSION" ? { versions: [VERSION] } : null;
    this.send(pack(CLOSE, number, reason.slice(0, 200), details));
    this.#flush();
    this.lost(code, reason, error, number);
  }

  /** The connection is gone: fail what waits. */
  lost(code, reason, error = null, said = null) {
    if (this.ended) return;
    this.ended = true;
    clearTimeout(this.#timer);
    // Nothing is started before the welcome.
    const executed = this.wire.welcome === null ? "no" : "maybe";
    this.wire.state = "closed";
    this.#transport.close(said === null ? 1000 : 4000 + said);
    const failure = error ?? new ConnectionLost(`the connection is lost: ${reason}`, { code, executed });
    failure.executed = executed;
    for (const exchange of [...this.exchanges.values()]) exchange.failed(failure);
    this.exchanges.clear();
    this.#owner.lost(this, code, reason);
  }

  // --------------------------------------------------------------------------------- sending

  /** Send `[...head, body]`, in parts if it is long. `alive` says whether it is still wanted. */
  async sendBody(id, head, body, alive) {
    if (body.length <= PART_SIZE) {
      const frame = pack(...head, body);
      if (frame.length - 4 <= this.wire.peer.frame) return this.send(frame);
    }
    this.send(pack(...head, body.length));
    for (let at = 0; at < body.length; at += PART_SIZE) {
      do await turn(); while (!this.ended && this.#transport.buffered > HIGH_WATER);
      if (this.ended || !alive()) return undefined;
      this.send(pack(PART, id, body.subarray(at, at + PART_SIZE)));
    }
    return undefined;
  }
}

function joined(chunks) {
  const whole = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let filled = 0;
  for (const chunk of chunks) {
    whole.set(chunk, filled);
    filled += chunk.length;
  }
  return whole;
}

// ------------------------------------------------------------------------------------- calls

/** One attempt of a call on one connection, and the upload that belongs to it. */
class Exchange {
  constructor(method, flags, args, upload, options) {
    Object.assign(this, { method, args, upload, options });
    this.flags = flags | (upload === null ? 0 : SENDS_STREAM);
    this.done = false;
    this.items = []; // of the download, that nobody has taken
    this.result = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
    this.result.catch(() => {}); // whoever iterates looks at `error`
    this.error = null;
    this.#wake = () => {};
  }

  #connection = null;
  #id = 0;
  #wake; // who waits for an item
  #credit = () => {}; // who waits for credit

  /** Send the request. */
  start(connection) {
    const { wire } = connection;
    const { deadline, metadata, attempt = 1 } = this.options;
    const left = deadline === null ? null : Math.max(0, Math.floor((deadline - now()) * 1000));
    const headers = {};
    if (metadata) headers.meta = metadata;
    if (attempt > 1) headers.attempt = attempt;
    const head = [this.flags, this.method, left === null ? null : Math.min(left, MAX_UINT), Object.keys(headers).length ? headers : null];
    const size = encoder.encode(head).length + 32;
    const most = Math.min(wire.peer.frame, MAX_MAP); // of the headers, and all that is not the body
    if (this.args.length > wire.peer.message || size > most) {
      const long = this.args.length > wire.peer.message;
      this.failed(tooLarge(this.method, long ? this.args.length : size, long ? wire.peer.message : most));
      return;
    }
    this.#connection = connection;
    const id = (this.#id = wire.freeId());
    wire.open(id, this.flags);
    connection.exchanges.set(id, this);
    const sent = connection.sendBody(id, [REQUEST, id, ...head], this.args, () => this.#alive);
    if (this.upload !== null) sent.then(() => this.#pump());
  }

  get #alive() { return !this.done && this.#connection.wire.calls.get(this.#id)?.state === "open"; }
  get sent() { return this.#connection !== null; }

  event(kind, [, , first, second, third, fourth]) {
    if (kind === ITEM) {
      this.items.push(first);
      this.#wake();
    } else if (kind === CREDIT) {
      this.#credit();
    } else if (kind === RESPONSE || kind === END) {
      this.#finish(kind === END ? undefined : first);
    } else if (kind === ERROR) {
      this.failed(errorOf(this.method, first, EXECUTED[second], third, fourth));
    } else {
      this.failed(failure("CANCELLED", this.method, "the call was given up", "maybe"));
    }
  }

  #finish(value) {
    if (this.done) return;
    this.done = true;
    this.resolve(value);
    this.#wake();
    this.#credit();
  }

  failed(error) {
    if (this.done) return;
    this.done = true;
    this.error = error;
    this.reject(error);
    this.#wake();
    this.#credit();
  }

  refused({ size, limit, status }) {
    const detail = `a body of ${size} bytes, the limit is ${limit} bytes`;
    this.giveUp(failure(status, this.method, detail, "yes", { size, limit }), 0);
  }

  /** Tell the server that we want no more, and the application why. */
  giveUp(error, reason) {
    if (this.sent && !this.#connection.ended && this.#connection.wire.calls.get(this.#id)?.state === "open") {
      this.#connection.wire.cancel(this.#id);
      this.#connection.send(pack(CANCEL, this.#id, reason));
    }
    this.failed(error);
    this.items.length = 0;
  }

  /** The next item's body, or undefined after the last one. */
  async next() {
    while (this.items.length === 0) {
      if (this.error !== null) throw this.error;
      if (this.done) return undefined;
      await new Promise((resolve) => (this.#wake = resolve));
    }
    const item = this.items.shift();
    const grant = this.#connection.wire.took(this.#id, item.length);
    if (grant) this.#connection.send(pack(CREDIT, this.#id, grant));
    return item;
  }

  async #pump() {
    const connection = this.#connection, { wire } = connection, id = this.#id;
    const source = this.upload[Symbol.asyncIterator]();
    let more = true;
    try {
      while (this.#alive) {
        const step = await source.next();
        more = !step.done;
        if (!this.#alive) break;
        if (step.done) {
          wire.endUpload(id);
          connection.send(pack(END, id));
          break;
        }
        const item = encode(step.value);
        if (item.length > wire.peer.message) throw tooLarge(this.method, item.length, wire.peer.message);
        while (this.#alive && !wire.maySend(id)) await new Promise((resolve) => (this.#credit = resolve));
        if (!this.#alive) break;
        wire.sent(id, item.length);
        await connection.sendBody(id, [ITEM, id], item, () => this.#alive);
        while (this.#alive && connection.buffered > HIGH_WATER) await turn();
      }
    } catch (error) {
      more = false;
      this.giveUp(error, 0);
    }
    if (more) await source.return?.(undefined)?.catch?.(() => {}); // ours ended first, with its own outcome
  }
}

/** A one-way call on its way out. */
class Notification {
  constructor(method, args, metadata) {
    Object.assign(this, { method, args, metadata, done: false });
    this.result = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
  }

  start(connection) {
    const { method, args, wire = connection.wire } = this;
    if (args.length > wire.peer.message) {
      this.failed(tooLarge(method, args.length, wire.peer.message));
      return;
    }
    const id = wire.freeId();
    wire.calls.set(id, null); // in use until its body is complete
    const head = [NOTIFY, id, method, this.metadata === null ? null : { meta: this.metadata }];
    connection.sendBody(id, head, args, () => true).then(() => {
      wire.calls.delete(id);
      this.done = true;
      if (connection.ended) this.reject(new ConnectionLost("the connection was lost", { executed: "maybe" }));
      else this.resolve();
    });
  }

  failed(error) {
    this.done = true;
    this.reject(error);
  }
}

const tooLarge = (method, size, limit) =>
  failure("MESSAGE_TOO_LARGE", method, `${size} bytes, the server takes ${limit}`, "no", { size, limit });

/** The arguments, encoded, and the stream among them. */
function argumentsOf(args) {
  let upload = null;
  const without = (value) => {
    if (typeof value?.[Symbol.asyncIterator] !== "function") return value;
    if (upload !== null) throw new TypeError("a call has one stream at most");
    upload = value;
    return null;
  };
  const ready = Array.isArray(args) ? args.map(without)
    : Object.fromEntries(Object.entries(args).map(([name, value]) => [name, without(value)]));
  return [encode(ready), upload];
}

function result(method, body) {
  try {
    return decode(body);
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    throw failure("INVALID_RESULT", method, error.message, "yes");
  }
}

// ------------------------------------------------------------------------------------ client

const DEFAULTS = {
  token: null, // text, or a function that returns one (or a promise of it), asked for each dial
  dial: null, // (url, {signal}) => transport; by default a WebSocket
  limits: {},
  agent: AGENT,
  timeoutMs: 30_000, // for calls that say nothing of their own; streams have none
  connectTimeoutMs: 10_000,
  maxWaiting: 1000, // calls that wait for a connection
  keepalive: { intervalMs: 20_000, timeoutMs: 10_000 },
  backoff: { firstMs: 100, mostMs: 10_000, stableMs: 5_000 },
  random: Math.random,
};
const MOST_ATTEMPTS = 5;

/**
 * A logical link to one server: dials, and dials again. `state`: "connecting", "ready", "closed",
 * or "failed" when the server refuses us for good; `onstate(state, reason)` hears of changes.
 */
export class Client {
  constructor(url, options = {}) {
    this.url = url;
    this.options = { ...DEFAULTS, ...options };
    this.options.keepalive = { ...DEFAULTS.keepalive, ...options.keepalive };
    this.options.backoff = { ...DEFAULTS.backoff, ...options.backoff };
    this.state = "connecting";
    this.instance = "";
    this.onstate = options.onstate ?? null;
    this.#dial();
  }

  #current = null; // takes new calls
  #old = new Set(); // finish what they have
  #waiting = []; // calls for which there is no place
  #failures = 0; // dials in a row
  #error = null;
  #timer = null;
  #spread = false; // the pause was asked for by the server
  #budget = 10; // retries that are allowed now; a fifth of the calls add to it
  #dialling = null;
  #readiness = [];

  // ------------------------------------------------------------------------------- connecting

  async #dial() {
    this.#timer = null;
    const { connectTimeoutMs, dial, token } = this.options;
    const stop = (this.#dialling = new AbortController());
    const timer = setTimeout(() => stop.abort(new Error("it took too long")), connectTimeoutMs);
    let transport = null;
    try {
      transport = await (dial ?? webSocket())(this.url, { signal: stop.signal });
      const shown = typeof token === "function" ? await token() : token;
      if (stop.signal.aborted) throw stop.signal.reason;
      const connection = new Connection(transport, this.options, this);
      transport.ondata = (bytes) => connection.receive(bytes);
      transport.onclose = (code, reason) => connection.lost(code, reason);
      this.#current = connection;
      connection.greet(shown);
      transport.start();
    } catch (error) {
      transport?.close(1000);
      if (this.state !== "closed") this.#again(`cannot connect to ${this.url}: ${error?.message ?? error}`);
    } finally {
      clearTimeout(timer);
      this.#dialling = null;
    }
  }

  #again(reason, spreadMs = null) {
    if (this.#timer !== null || this.state === "closed" || this.state === "failed") return;
    const { firstMs, mostMs } = this.options.backoff;
    const most = spreadMs ?? Math.min(mostMs, firstMs * 2 ** this.#failures);
    if (spreadMs === null) this.#failures = Math.min(this.#failures + 1, 30);
    this.#spread = spreadMs !== null;
    this.#become("connecting", reason);
    this.#timer = setTimeout(() => this.#dial(), this.options.random() * most);
  }

  /**
   * Dial at once instead of waiting out the pause after a failure: there is reason to hope, as when
   * a laptop wakes up. Does nothing while it is connected, dials, or waits because a server drains.
   */
  wake() {
    if (this.#timer === null || this.#spread || this.state !== "connecting") return;
    clearTimeout(this.#timer);
    this.#dial();
  }

  /** The pause after so many failures in a row. */
  pause(failures) {
    const { firstMs, mostMs } = this.options.backoff;
    const most = Math.min(mostMs, firstMs * 2 ** Math.min(failures, 30));
    return new Promise((resolve) => setTimeout(resolve, this.options.random() * most));
  }

  #become(state, reason = "") {
    if (this.state === state) return;
    this.state = state;
    this.onstate?.(state, reason);
    if (state !== "connecting") for (const wake of this.#readiness.splice(0)) wake();
  }

  welcomed(connection) {
    this.instance = connection.wire.welcome.instance ?? "";
    this.#become("ready");
    this.freed(connection);
  }

  goaway(connection, spreadMs) {
    if (connection !== this.#current) return;
    this.#old.add(connection);
    this.#current = null;
    this.#failures = 0;
    this.#again("the server asks for no new calls", Math.min(spreadMs, MOST_SPREAD));
  }

  lost(connection, code, reason) {
    this.#old.delete(connection);
    if (connection !== this.#current) return;
    this.#current = null;
    if (this.state === "closed") return;
    if (FINAL_CLOSES.has(code)) {
      this.#fail(code, reason);
      return;
    }
    // A server that lets us in and then drops us is no success.
    if (connection.wire.welcome !== null && (now() - connection.since) * 1000 >= this.options.backoff.stableMs) {
      this.#failures = 0;
    }
    this.#again(reason);
  }

  #fail(code, reason) {
    const text = `${this.url} refuses us: ${reason}`;
    this.#error = code === "UNAUTHENTICATED"
      ? failure("UNAUTHENTICATED", "connect", reason || "the credentials were refused")
      : new ConnectionFailed(text, { code });
    this.#become("failed", reason);
    this.#refuseWaiting(this.#error);
  }

  #refuseWaiting(error) {
    for (const waiter of this.#waiting.splice(0)) waiter.failed(error);
  }

  /** Resolves once calls can be made; rejects if that will never be, or not in time. */
  async ready({ timeoutMs = this.options.connectTimeoutMs } = {}) {
    const end = now() + timeoutMs / 1000;
    while (this.state === "connecting") {
      const left = (end - now()) * 1000;
      if (left <= 0) throw new ConnectionFailed(`no connection to ${this.url} within ${timeoutMs} ms`);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#readiness.push(() => { clearTimeout(timer); resolve(); });
      });
    }
    if (this.state !== "ready") throw this.#error ?? new ConnectionFailed("the client is closed");
  }

  /** End it; calls in flight fail. Idempotent. */
  close() {
    if (this.state === "closed") return;
    this.#become("closed");
    clearTimeout(this.#timer);
    this.#dialling?.abort(new Error("the client was closed"));
    this.#refuseWaiting(new ConnectionFailed("the client was closed"));
    for (const connection of [this.#current, ...this.#old]) connection?.close("NORMAL", "the client was closed");
  }

  // ------------------------------------------------------------------------------------- calls

  freed(connection) {
    while (connection === this.#current && connection.free && this.#waiting.length) {
      const waiter = this.#waiting.shift();
      if (!waiter.done) waiter.start(connection);
    }
  }

  /** Start what wants to be sent, now or when there is a place. */
  #admit(exchange) {
    if (this.state === "closed") exchange.failed(new ConnectionFailed("the client was closed"));
    else if (this.#error !== null) exchange.failed(this.#error);
    else if (this.#current?.free && !this.#waiting.length) exchange.start(this.#current);
    else this.#queue(exchange);
  }

  #queue(exchange) {
    const { maxWaiting } = this.options;
    if (this.#waiting.length >= maxWaiting) this.#waiting = this.#waiting.filter(({ done }) => !done);
    if (this.#waiting.length >= maxWaiting) {
      const detail = `${maxWaiting} calls wait for a connection already`;
      exchange.failed(failure("RESOURCE_EXHAUSTED", exchange.method, detail));
      return;
    }
    this.#waiting.push(exchange);
    if (!this.#nudging) this.#nudge();
  }

  /** A transport that was full tells nobody when it has room again. */
  async #nudge() {
    this.#nudging = true;
    while (this.#waiting.length && this.#current?.ready && this.#current.buffered >= HIGH_WATER) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    this.#nudging = false;
    if (this.#current !== null) this.freed(this.#current);
  }

  #nudging = false;

  /**
   * Call a method and return its result.
   *
   * `args`: an array, or an object of named arguments; an async iterable among them is uploaded.
   * Options: `timeoutMs` (null: none), `signal`, `metadata`, `idempotent` (may be sent again
   * although it may have been executed).
   */
  async call(method, args = [], options = {}) {
    const [encoded, upload] = argumentsOf(args);
    const timeoutMs = options.timeoutMs === undefined ? this.options.timeoutMs : options.timeoutMs;
    const deadline = timeoutMs === null ? null : now() + timeoutMs / 1000;
    this.#budget = Math.min(10, this.#budget + 0.2);
    for (let attempt = 1; ; attempt++) {
      const exchange = new Exchange(method, 0, encoded, upload, { ...options, deadline, attempt });
      try {
        return result(method, await this.#run(exchange));
      } catch (error) {
        if (attempt >= MOST_ATTEMPTS || !this.#mayRetry(error, exchange)) throw error;
        const pause = Math.max(error.retryAfterMs ?? 0, this.options.random() * Math.min(1000, 50 * 2 ** attempt));
        if (deadline !== null && now() + pause / 1000 >= deadline) throw error;
        await new Promise((resolve) => setTimeout(resolve, pause));
        if (options.signal?.aborted) throw options.signal.reason;
      }
    }
  }

  #mayRetry(error, { sent, upload, options }) {
    const passing = error instanceof ConnectionLost || (error instanceof CallError && error.retryable);
    if (!sent || !passing || upload !== null || this.#budget < 1) return false;
    if (error.executed !== "no" && !options.idempotent) return false;
    this.#budget -= 1;
    return this.state !== "closed" && this.#error === null;
  }

  /** Find a place, send, wait; the deadline and the signal hold for all of it. */
  async #run(exchange) {
    const { method, options: { signal, deadline } } = exchange;
    if (signal?.aborted) throw signal.reason;
    const late = () => exchange.giveUp(
      failure("DEADLINE_EXCEEDED", method, "the deadline passed", exchange.sent ? "maybe" : "no"), 1);
    const abort = () => exchange.giveUp(signal.reason, 0);
    let timer = null;
    if (deadline !== null) timer = setTimeout(late, Math.min(MAX_DELAY, Math.max(0, (deadline - now()) * 1000)));
    signal?.addEventListener("abort", abort);
    try {
      this.#admit(exchange);
      return await exchange.result;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
  }

  /**
   * Call a method that returns a stream: `for await (const item of client.stream(…))`. It is called
   * when it is iterated; leaving the loop cancels it. Options as for `call`, without a deadline
   * unless `timeoutMs` says so.
   */
  async *stream(method, args = [], options = {}) {
    const [encoded, upload] = argumentsOf(args);
    const deadline = options.timeoutMs == null ? null : now() + options.timeoutMs / 1000;
    const exchange = new Exchange(method, WANTS_STREAM, encoded, upload, { ...options, deadline });
    const running = this.#run(exchange);
    running.catch((error) => exchange.failed(error));
    try {
      for (;;) {
        const item = await exchange.next();
        if (item === undefined) return;
        yield result(method, item);
      }
    } finally {
      exchange.giveUp(failure("CANCELLED", method, "the stream was left"), 0);
    }
  }

  /** Call a method one way: nothing is answered. Resolves when it was handed to the transport. */
  async notify(method, args = [], { metadata = null } = {}) {
    const [encoded, upload] = argumentsOf(args);
    if (upload !== null) throw new TypeError("a notification has no stream");
    const notification = new Notification(method, encoded, metadata);
    this.#admit(notification);
    await notification.result;
  }

  // ------------------------------------------------------------------------------------ topics

  /**
   * Publish a value to a topic. Resolves to `{subscribers, epoch, offset, duplicate}`. Options: `key`
   * (a second publish with it is none), `conflate`, and those of `call`; with a key it may be sent again.
   */
  async publish(topic, value, { key = null, conflate = "", ...options } = {}) {
    const args = [topic, encode(value), { key, conflate }];
    const [subscribers, epoch, offset, duplicate] = await this.call(
      "framerpc/publish", args, { idempotent: key !== null, ...options });
    return { subscribers, epoch, offset, duplicate };
  }

  /** A page of a topic's history: `{recovered, top, messages, more}`. Options: `since`, `sinceMs`, `limit`. */
  async history(topic, { since = null, sinceMs = null, limit = null, ...options } = {}) {
    const args = [topic, { since: sinceOf(topic, since), since_ms: sinceMs, limit }];
    const [recovered, top, found, more] = await this.call(
      "framerpc/history", args, { idempotent: true, ...options });
    return { recovered, top, messages: found.map((bytes) => new Message(decode(bytes))), more };
  }

  /**
   * Subscribe to a topic or a pattern: an async iterable of messages, which survives connections.
   * Options: `since` ("start", a number, a position as text for a topic, a map of them), `sinceMs`,
   * `group`, `policy`, `maxQueue`, `signal`, and `onstarted({recovered, resumed})`, `ongap({dropped})`.
   */
  subscribe(pattern, options = {}) { return new Subscription(this, new Place(pattern, options), options); }

  /**
   * Watch a state: an async iterable of `{snapshot}` and `{change, position}`, which survives
   * connections. After a snapshot, what was known before is void.
   */
  watch(method, args = [], options = {}) {
    return new Subscription(this, new Watching(method, args, options.metadata), options);
  }

  /** Who is on a topic, as a watch: of `{members, total}`, and of `[name, since_ms, left]`. */
  presence(topic, options = {}) { return this.watch("framerpc/presence", [topic], options); }
}

// ------------------------------------------------------------------------------------ topics

const MESSAGE = 0, STARTED = 1, GAP = 2, SNAPSHOT = 3, CHECK = 4; // items of a subscription
const MOST_POSITIONS = 1000;

const sinceOf = (topic, since) => (typeof since === "string" && since !== "start" ? { [topic]: since } : since);

/** A message: `topic`, `value`, `position` (or null), and `stampMs`, when the server took it. */
export class Message {
  constructor([, topic, data, epoch, offset, stampMs]) {
    Object.assign(this, { topic, data, epoch, offset, stampMs });
  }

  get value() { return decode(this.data); }
  get position() { return this.epoch === null ? null : `${this.epoch}:${this.offset}`; }
}

function placeOf(text) {
  const colon = text.lastIndexOf(":");
  return { epoch: text.slice(0, colon), offset: Number(text.slice(colon + 1)) };
}

/** There is a hole behind the position that we have: go back to it. */
class Hole extends Error {}

/** Where a subscription stands, so that it can go on from there. */
class Place {
  constructor(pattern, { since = null, sinceMs = null, group = null, policy = null, maxQueue = null }) {
    Object.assign(this, { pattern, since: sinceOf(pattern, since), sinceMs, group, policy, maxQueue });
    this.begun = false;
    this.#forget();
  }

  #positions; #missing; #mark; #complete; #exact;

  #forget() {
    this.#positions = new Map();
    this.#missing = new Map(); // told in gaps, by topic; "" for those that were not named
    this.#mark = "";
    this.#complete = this.#exact = false;
  }

  get resumes() { return this.begun && this.group === null && this.#complete; }

  request() {
    const { group, policy, maxQueue } = this;
    let begin = this.begun ? {} : { since: this.since, since_ms: this.sinceMs };
    if (this.resumes) begin = { since: Object.fromEntries(this.#positions), mark: this.#mark };
    const options = { ...begin, group, policy, max_queue: maxQueue };
    return ["framerpc/subscribe", [this.pattern, options], undefined];
  }

  started([, recovered, mark, positions, complete, exact]) {
    // What cannot go on from where it stood has missed what was published meanwhile.
    const news = { recovered: recovered && (!this.begun || this.resumes), resumed: this.begun };
    this.#forget();
    this.begun = true;
    this.#positions = new Map(Object.entries(positions));
    [this.#mark, this.#complete, this.#exact] = [mark, complete, exact];
    return news;
  }

  /** What the application is given of an item, or undefined. */
  item(item) {
    const [kind, first] = item;
    if (kind === MESSAGE) return this.#isNew(item) ? new Message(item) : undefined;
    if (kind === GAP) this.#tell(first);
    if (kind === CHECK) for (const [topic, text] of Object.entries(first)) this.#stands(topic, placeOf(text));
    return undefined;
  }

  #tell(dropped) {
    for (const [topic, count] of Object.entries(dropped)) {
      this.#missing.set(topic, (this.#missing.get(topic) ?? 0) + count);
    }
  }

  /** Move on to a message; false for a repetition. */
  #isNew([, topic, , epoch, offset]) {
    if (epoch === null || this.group !== null) return true;
    const known = this.#positions.get(topic);
    if (known !== undefined) {
      const { epoch: ours, offset: last } = placeOf(known);
      if (ours === epoch && offset <= last) return false;
      if (ours !== epoch || !this.#allowed(topic, offset - last - 1)) throw new Hole();
    } else if (this.#complete && offset !== 1 && !this.#allowed(topic, offset - 1)) {
      throw new Hole();
    }
    this.#positions.set(topic, `${epoch}:${offset}`);
    if (this.#positions.size > MOST_POSITIONS) this.#complete = false; // it cannot be told any more
    return true;
  }

  /** Whether so many messages may be missing: told in gaps, or of a topic that leaves some out. */
  #allowed(topic, count) {
    for (const name of [topic, ""]) {
      const told = Math.min(count, this.#missing.get(name) ?? 0);
      if (told) this.#missing.set(name, this.#missing.get(name) - told);
      count -= told;
    }
    return count === 0 || !this.#exact;
  }

  /** The server says that it has sent everything up to here. */
  #stands(topic, { epoch, offset }) {
    const known = this.#positions.get(topic);
    if (this.group !== null || (known === undefined && (offset === 0 || !this.#complete))) return;
    const ours = known === undefined ? { epoch, offset: 0 } : placeOf(known);
    if (ours.epoch !== epoch || ours.offset > offset || !this.#allowed(topic, offset - ours.offset)) throw new Hole();
    this.#positions.set(topic, `${epoch}:${offset}`);
  }
}

/** Where a watch stands: behind the last change that was taken. */
class Watching {
  constructor(method, args, metadata) {
    Object.assign(this, { method, args, metadata, position: null });
  }

  request() {
    const metadata = this.position === null ? this.metadata : { ...this.metadata, "framerpc-since": this.position };
    return [this.method, this.args, metadata];
  }

  started([, recovered, , positions]) {
    const resumed = this.position !== null;
    if (!recovered || !resumed) [this.position = null] = Object.values(positions);
    return { recovered, resumed };
  }

  item([kind, first, second, epoch, offset]) {
    if (kind === SNAPSHOT) return { snapshot: decode(first) };
    if (kind === CHECK) for (const text of Object.values(first)) this.#move(placeOf(text), 0);
    if (kind !== MESSAGE || !this.#move({ epoch, offset }, 1)) return undefined;
    return { change: decode(second), position: this.position };
  }

  /** Go to a position, at most so many behind ours; false for one that we have passed. */
  #move({ epoch, offset }, most) {
    if (epoch === null) return true; // a topic without history: there is always a new snapshot
    const ours = this.position === null ? null : placeOf(this.position);
    if (ours !== null && ours.epoch === epoch && most > 0 && offset <= ours.offset) return false;
    if (ours !== null && (ours.epoch !== epoch || offset - ours.offset > most)) throw new Hole();
    if (most > 0) this.position = `${epoch}:${offset}`;
    return true;
  }
}

/** A subscription or a watch: begins at once, and goes on until it is left or refused for good. */
class Subscription {
  constructor(client, place, options) {
    this.started = new Promise((resolve, reject) => Object.assign(this, { begin: resolve, refuse: reject }));
    this.started.catch(() => {});
    this.#stop = new AbortController();
    this.#items = this.#run(client, place, options);
    this.#first = this.#items.next(); // so that `started` does not wait for somebody who iterates
    this.#first.then(() => this.refuse(LEFT), this.refuse); // unless it has begun
  }

  #items; #first; #stop;

  async next() {
    const first = this.#first;
    this.#first = null;
    return first ?? this.#items.next();
  }

  async return() {
    this.close();
    return { done: true, value: undefined };
  }

  /** Unsubscribe. Idempotent. */
  close() { this.#stop.abort(LEFT); }

  [Symbol.asyncIterator]() { return this; }

  async *#run(client, place, { signal = null, onstarted = null, ongap = null }) {
    const stop = this.#stop.signal;
    const both = signal === null ? stop : AbortSignal.any([signal, stop]);
    for (let failures = 0; ; failures++) {
      const [method, args, metadata] = place.request();
      const dropped = []; // told of, and nothing has passed it yet: it may come after all (R-SUBSCRIBE-8)
      try {
        for await (const item of client.stream(method, args, { signal: both, metadata, timeoutMs: null })) {
          if (item[0] === STARTED) {
            failures = 0;
            const news = place.started(item);
            this.begin(news);
            onstarted?.(news);
          } else {
            const found = place.item(item);
            if (item[0] === GAP) dropped.push(item[1]);
            if (found !== undefined || item[0] === CHECK) {
              for (const each of dropped.splice(0)) ongap?.({ dropped: each });
            }
            if (found !== undefined) yield found;
          }
        }
      } catch (error) {
        if (error === LEFT) return;
        if (!(error instanceof Hole) && !PASSING.some((Type) => error instanceof Type)) throw error;
        if (client.state === "closed" || client.state === "failed") throw error;
      }
      await client.pause(failures);
      if (stop.aborted) return;
    }
  }
}

const LEFT = new FrameRPCError("the subscription was left");
const PASSING = [ConnectionLost, Unavailable, ResourceExhausted];

/** Connect to a server; calls wait until there is a connection. */
export const connect = (url, options) => new Client(url, options);

// --------------------------------------------------------------------------------- transport

/**
 * Dial WebSockets. In a runtime without them, pass a class: `dial: webSocket(ws.WebSocket)`.
 */
export function webSocket(Socket = globalThis.WebSocket) {
  return (url, { signal }) => new Promise((resolve, reject) => {
    const socket = new Socket(url, [SUBPROTOCOL]);
    socket.binaryType = "arraybuffer";
    let close = null, early = [];
    const transport = {
      ondata: null,
      onclose: null,
      get buffered() { return socket.bufferedAmount; },
      send(bytes) {
        for (let at = 0; at < bytes.length; at += MAX_WEBSOCKET_MESSAGE) {
          socket.send(bytes.subarray(at, at + MAX_WEBSOCKET_MESSAGE));
        }
      },
      close(code) { socket.close(code); },
      /** Give what has arrived, and what arrives. */
      start() {
        for (const bytes of early) this.ondata(bytes);
        early = null;
        if (close !== null) this.onclose(...close);
      },
    };
    const abort = () => { socket.close(); reject(signal.reason); };
    signal.addEventListener("abort", abort);
    socket.onopen = () => {
      signal.removeEventListener("abort", abort);
      if (socket.protocol === SUBPROTOCOL) resolve(transport);
      else { socket.close(); reject(new Error(`the server does not speak ${SUBPROTOCOL}`)); }
    };
    socket.onmessage = ({ data }) => {
      const bytes = data instanceof ArrayBuffer && data.byteLength ? new Uint8Array(data) : null;
      if (early !== null) early.push(bytes);
      else transport.ondata(bytes);
    };
    socket.onerror = () => {};
    socket.onclose = ({ code, reason }) => {
      signal.removeEventListener("abort", abort);
      reject(new Error(`the WebSocket was refused or closed (${code})`));
      const name = code >= 4000 ? CLOSE_CODES[code - 4000] ?? "INTERNAL" : null;
      close = [name, reason || `the WebSocket was closed (${code})`];
      if (early === null) transport.onclose(...close);
    };
  });
}
