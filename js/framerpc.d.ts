/** A client of framerpc for browsers and Node. Times are in milliseconds, sizes in bytes. */

/** What the wire carries: also Date, Uint8Array and BigInt, and maps with other keys than texts. */
export type Value =
  | null | boolean | number | bigint | string | Uint8Array | Date
  | readonly Value[] | { readonly [name: string]: Value | undefined } | ReadonlyMap<Value, Value>;

/** Did the work happen? Only "no" is safe to send again. */
export type Executed = "no" | "maybe" | "yes";

export type CloseCode =
  | "NORMAL" | "PROTOCOL_ERROR" | "VERSION" | "UNAUTHENTICATED" | "BUSY" | "HANDSHAKE_TIMEOUT"
  | "FRAME_TOO_LARGE" | "SLOW" | "SILENT" | "FLOOD" | "SHUTDOWN" | "INTERNAL";

export type Status =
  | "CANCELLED" | "INVALID_ARGUMENT" | "METHOD_NOT_FOUND" | "DEADLINE_EXCEEDED" | "UNAUTHENTICATED"
  | "PERMISSION_DENIED" | "RESOURCE_EXHAUSTED" | "UNAVAILABLE" | "INTERNAL" | "APPLICATION"
  | "MESSAGE_TOO_LARGE" | "UNIMPLEMENTED" | "INVALID_RESULT" | "FORGOTTEN";

export class FrameRPCError extends Error {
  readonly executed: Executed;
}
/** One side broke the protocol; it is not dialled again. */
export class ProtocolError extends FrameRPCError {
  readonly closeCode: CloseCode;
}
/** There is no connection. With a `code`, dialling again would not help. */
export class ConnectionFailed extends FrameRPCError {
  readonly code?: CloseCode;
}
/** The connection ended while the call was on its way. */
export class ConnectionLost extends FrameRPCError {
  readonly code?: CloseCode | null;
}
export class CallError extends FrameRPCError {
  readonly method: string;
  readonly status: Status;
  readonly detail: string;
  readonly details: { readonly [key: string]: unknown };
  /** Whether the same call may end otherwise after a pause. */
  readonly retryable: boolean;
  readonly retryAfterMs?: number;
}
export class Cancelled extends CallError {}
export class InvalidArgument extends CallError {}
export class MethodNotFound extends CallError {}
export class DeadlineExceeded extends CallError {}
export class Unauthenticated extends CallError {}
export class PermissionDenied extends CallError {}
export class ResourceExhausted extends CallError {}
export class Unavailable extends CallError {}
/** The method raised something that its service does not declare. */
export class RemoteError extends CallError {
  /** Finds the report in the server's log. */
  readonly errorId: string | null;
}
/** The method raised an error that its service declares. */
export class DeclaredError extends CallError {
  readonly errorName: string;
  readonly fields: { readonly [name: string]: any };
}
export class MessageTooLarge extends CallError {}
export class Unimplemented extends CallError {}
export class InvalidResult extends CallError {}
/** It is not known any more what became of a call that must happen once. */
export class Forgotten extends CallError {}

/** Positional arguments, or named ones. An async iterable among them is uploaded. */
export type Arguments = readonly unknown[] | { readonly [name: string]: unknown };

export interface StreamOptions {
  /** Time for the whole call; null for no deadline. Streams have none unless it is given. */
  timeoutMs?: number | null;
  /** Ends the call; it rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Pairs of texts that travel with the call. */
  metadata?: { readonly [key: string]: string };
}

export interface CallOptions extends StreamOptions {
  /** The call may be sent again although it may have been executed. */
  idempotent?: boolean;
}

/** "failed": the server refuses us, and dialling again would not help. */
export type State = "connecting" | "ready" | "failed" | "closed";

export interface Transport {
  /** Called by the client with what it may call: bytes (null: something else), and the end. */
  ondata: ((bytes: Uint8Array | null) => void) | null;
  onclose: ((code: CloseCode | null, reason: string) => void) | null;
  /** Bytes that were sent and have not left. */
  readonly buffered: number;
  send(bytes: Uint8Array): void;
  /** Close behind what was sent; a WebSocket with this code. */
  close(code: number): void;
  /** Begin to call `ondata` and `onclose`. */
  start(): void;
}

export type Dial = (url: string, options: { signal: AbortSignal }) => Promise<Transport>;

export interface ClientOptions {
  /** Credentials, or what returns them; asked before each greeting. */
  token?: string | null | (() => string | null | Promise<string | null>);
  /** By default `webSocket()`. */
  dial?: Dial | null;
  /** What we are ready to receive. */
  limits?: { frame?: number; message?: number; calls?: number; window?: number; receiving?: number };
  /** Name and version of the software, for the server's log. */
  agent?: string;
  /** For calls that say nothing of their own; 30,000. */
  timeoutMs?: number | null;
  /** To connect and greet; 10,000. */
  connectTimeoutMs?: number;
  /** Calls that may wait for a connection; 1,000. Beyond it: ResourceExhausted. */
  maxWaiting?: number;
  /** Silence after which a ping is sent, and how long to wait then; 20,000 and 10,000. */
  keepalive?: { intervalMs?: number; timeoutMs?: number };
  /** Pauses between dials: random, up to `firstMs` (100), doubled up to `mostMs` (10,000); back to
   * the first after a connection of `stableMs` (5,000). */
  backoff?: { firstMs?: number; mostMs?: number; stableMs?: number };
  /** Called when the state changes. */
  onstate?: ((state: State, reason: string) => void) | null;
  random?: () => number;
}

export class Client {
  constructor(url: string, options?: ClientOptions);
  readonly url: string;
  readonly state: State;
  /** Names the run of the server; another one after a restart. */
  readonly instance: string;
  onstate: ((state: State, reason: string) => void) | null;
  /** Resolves once calls can be made; rejects if that will never be, or not in time. */
  ready(options?: { timeoutMs?: number }): Promise<void>;
  /** Call a method and return its result. */
  call<T = any>(method: string, args?: Arguments, options?: CallOptions): Promise<T>;
  /** Call a method that returns a stream, when it is iterated; leaving the loop cancels it. */
  stream<T = any>(method: string, args?: Arguments, options?: StreamOptions): AsyncGenerator<T, void, undefined>;
  /** Call a method one way; resolves when it has been handed to the transport. */
  notify(method: string, args?: Arguments, options?: { metadata?: { readonly [key: string]: string } }): Promise<void>;
  /** Publish to a topic; resolves once it is in the history and on its way to subscribers. */
  publish(topic: string, value: unknown, options?: PublishOptions): Promise<Receipt>;
  /** A page of a topic's history, the oldest first. */
  history<T = any>(topic: string, options?: HistoryOptions): Promise<Page<T>>;
  /** Subscribe to a topic or a pattern; survives connections. */
  subscribe<T = any>(pattern: string, options?: SubscribeOptions): Subscription<Message<T>>;
  /** Watch a state and its changes; survives connections. A new snapshot voids what was known. */
  watch<S = any, C = any>(method: string, args?: Arguments, options?: WatchOptions): Subscription<Update<S, C>>;
  /** Who is on a topic: name and since when, in milliseconds; `left` is null for one who came. */
  presence(topic: string, options?: WatchOptions): Subscription<
    Update<{ members: [name: string, sinceMs: number][]; total: number }, [name: string, sinceMs: number, left: string | null]>>;
  /**
   * Dial at once instead of waiting out the pause after a failure, for the events `online` and
   * `visibilitychange`. Does nothing while it is connected, dials, or waits because a server drains.
   */
  wake(): void;
  /** End it; calls in flight fail. Idempotent. */
  close(): void;
}

/** Where to begin: "start", the last so many, behind a position, or behind one for each topic. */
export type Since = "start" | number | string | { readonly [topic: string]: string } | null;

export interface PublishOptions extends CallOptions {
  /** A second publish to the topic with this key is none. Makes it safe to send again. */
  key?: string | null;
  /** What the message is about, where only the latest counts. */
  conflate?: string;
}
export interface Receipt {
  subscribers: number;
  epoch: string | null;
  offset: number | null;
  duplicate: boolean;
}
export interface HistoryOptions extends CallOptions {
  since?: Since;
  sinceMs?: number | null;
  limit?: number | null;
}
export interface Page<T> {
  recovered: boolean;
  top: string | null;
  messages: Message<T>[];
  more: boolean;
}
export interface WatchOptions {
  signal?: AbortSignal;
  metadata?: { readonly [key: string]: string };
  /** The server has confirmed. `recovered`: nothing was missed since `since`, or the connection before. */
  onstarted?: (news: Started) => void;
  /** So many messages were left out before the next one, by topic; those not named under "". */
  ongap?: (gap: { dropped: { readonly [topic: string]: number } }) => void;
}
export interface SubscribeOptions extends WatchOptions {
  since?: Since;
  sinceMs?: number | null;
  /** The queue group to share messages with. */
  group?: string | null;
  policy?: "disconnect" | "drop_oldest" | "drop_newest" | "latest" | null;
  maxQueue?: number | null;
}
export interface Started {
  recovered: boolean;
  resumed: boolean;
}
export interface Subscription<T> extends AsyncIterableIterator<T, void, undefined> {
  /** Resolves once the server has confirmed for the first time. */
  readonly started: Promise<Started>;
  close(): void;
}
export class Message<T = any> {
  readonly topic: string;
  /** The value that was published; throws if it is malformed. */
  readonly value: T;
  readonly data: Uint8Array;
  readonly epoch: string | null;
  readonly offset: number | null;
  /** "epoch:offset", to begin behind it; null in a topic without history. */
  readonly position: string | null;
  /** When the server took it, by its clock. */
  readonly stampMs: number | null;
}
export type Update<S, C> = { snapshot: S } | { change: C; position: string | null };

/** Connect to a server; calls wait until there is a connection. */
export function connect(url: string, options?: ClientOptions): Client;

/** Dial WebSockets; in a runtime without them, with this class (such as that of the package ws). */
export function webSocket(Socket?: unknown): Dial;

/** Encode a body. Throws for what msgpack cannot carry. */
export function encode(value: unknown): Uint8Array;

/** Decode a body; throws if it is malformed. */
export function decode(bytes: Uint8Array): any;

/** What the conformance vectors are played on: one side of one connection, as a value. */
export class Wire {
  constructor(limits?: ClientOptions["limits"]);
  readonly state: "greeting" | "ready" | "draining" | "closed";
  readonly ignored: number;
  readonly unknown: number;
  receive(bytes: Uint8Array): unknown[];
}

export const SUBPROTOCOL: "framerpc.v1";
