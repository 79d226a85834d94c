/** msgpack.min.js as a module: a page loads that script first, and finds it at this name. */
export const { Encoder, ExtensionCodec } = globalThis.MessagePack;
