/**
 * Files up and down: whole or not at all, with progress, across lost connections.
 *
 * An upload that breaks off begins anew, since the server keeps nothing of it. A download goes on
 * where it was, and is compared with its hash where the browser can do that.
 */

export const CHUNK = 65_536;
export const LONGEST = 64 * 1024 * 1024;
const AGAIN = 1000;

/** Upload a file to a room; `progress(bytes)` hears how much is on its way. Resolves to api.File. */
export async function upload(client, room, blob, { signal, progress = () => {}, pause = wait }) {
  for (;;) {
    try {
      const args = { room, name: blob.name.slice(-255), type: blob.type.slice(0, 127), parts: parts(blob, progress) };
      return await client.call("Chat/upload", args, { timeoutMs: null, signal });
    } catch (error) {
      if (signal.aborted || !passing(error)) throw error; // also a file that cannot be read any more
      progress(0);
      await pause(AGAIN);
      if (signal.aborted) throw signal.reason;
    }
  }
}

async function* parts(blob, progress) {
  for (let at = 0; at < blob.size; at += CHUNK) {
    yield new Uint8Array(await blob.slice(at, at + CHUNK).arrayBuffer());
    progress(Math.min(blob.size, at + CHUNK));
  }
}

/** Download a file. Resolves to a Blob with this media type; throws if it is not what was sent. */
export async function download(client, file, { signal, type, progress = () => {}, pause = wait }) {
  const chunks = [];
  let size = 0;
  while (size < file.size) {
    try {
      for await (const chunk of client.stream("Chat/download", { file: file.id, skip: chunks.length }, { signal })) {
        chunks.push(chunk);
        size += chunk.length;
        progress(size);
      }
      if (size < file.size) throw new Error(`“${file.name}” ends after ${size} of ${file.size} bytes`);
    } catch (error) {
      if (signal?.aborted || !passing(error)) throw error;
      await pause(AGAIN);
    }
  }
  const blob = new Blob(chunks, { type });
  await compare(blob, file);
  return blob;
}

const PASSING = ["Cancelled", "ConnectionLost", "Unavailable", "ResourceExhausted", "DeadlineExceeded"];
const passing = (error) => PASSING.includes(error?.name);

async function compare(blob, { name, size, sha256 }) {
  if (blob.size !== size) throw new Error(`“${name}” has ${blob.size} bytes instead of ${size}`);
  const { subtle } = globalThis.crypto;
  if (subtle === undefined) return; // a page without https: the connection's own care is all there is
  const digest = new Uint8Array(await subtle.digest("SHA-256", await blob.arrayBuffer()));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (found !== sha256) throw new Error(`“${name}” was damaged on its way`);
}

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
