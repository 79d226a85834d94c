/** What went wrong, as a person wants to read it, and whether to try again. */

const REFUSED = new Set([
  "APPLICATION", "INVALID_ARGUMENT", "PERMISSION_DENIED", "METHOD_NOT_FOUND", "MESSAGE_TOO_LARGE",
  "UNIMPLEMENTED", "INVALID_RESULT", "INTERNAL",
]);

/** The server has answered, and would answer the same again. */
export const refused = (error) => REFUSED.has(error?.status);

const TEXTS = {
  NameTaken: ({ name }) => `The name “${name}” is taken.`,
  NoSuchAccount: ({ name }) => `There is nobody called “${name}”.`,
  NoSuchRoom: () => "There is no such room, or you are not in it.",
  NoSuchMessage: () => "There is no such message any more.",
  NoSuchFile: () => "There is no such file any more.",
  NotAllowed: ({ why }) => `This is not allowed: ${why}`,
  TooMany: ({ what, limit }) => `Too many: ${what} (the limit is ${limit}).`,
};

/** A sentence. */
export function sentence(error) {
  const text = TEXTS[error?.errorName];
  if (text !== undefined) return text(error.fields ?? {});
  switch (error?.status) {
    case "DEADLINE_EXCEEDED": return "The server did not answer in time.";
    case "UNAUTHENTICATED": return "The server does not know this token.";
    case "RESOURCE_EXHAUSTED": return `Too much at once: ${error.detail}`;
    case "INVALID_ARGUMENT": return `The server does not accept this: ${error.detail}`;
    case "INTERNAL": return `The server has failed (report ${error.errorId ?? "unknown"}).`;
    default:
  }
  if (error?.name === "ConnectionLost" || error?.name === "ConnectionFailed") return "There is no connection to the server.";
  return error?.detail || error?.message || String(error);
}
