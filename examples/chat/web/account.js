/** Who we are: registering, logging in with a token, showing it, logging out. */

import { connect } from "framerpc";

import { ask, confirm } from "./dialogs.js";
import { el, rescue } from "./dom.js";
import { sentence } from "./errors.js";
import { keep, local } from "./storage.js";

const TOKEN = "framerpc-chat/token";
const NAME = /^[\p{L}\p{N}][\p{L}\p{M}\p{N}_-]{0,31}$/u;

let unkept = null; // the token that the browser does not keep

export const token = () => unkept ?? local.getItem(TOKEN);

/** Whether the token is here only as long as this page is. */
export const isFleeting = () => unkept !== null;

/** Show the forms to a stranger; resolves when there is a token. */
export function welcome({ node, url, problem = "" }) {
  const error = node.querySelector("#welcome-error");
  error.textContent = problem;
  node.hidden = false;
  const fresh = newToken(); // the same at each attempt: then it is the same account
  return new Promise((resolve) => {
    const done = (text) => {
      if (!keep(local, TOKEN, text)) unkept = text;
      node.hidden = true;
      resolve();
    };
    on(node.querySelector("#register"), error, async ({ name }) => {
      if (!NAME.test(name)) throw new Error("A name begins with a letter or a digit; letters, digits, “-” and “_” follow.");
      await once(url, null, "Chat/register", { name, token: fresh });
      done(fresh);
    });
    on(node.querySelector("#login"), error, async (values) => {
      await once(url, values.token, "Chat/rooms", {});
      done(values.token);
    });
    node.querySelector("input").focus();
  });
}

function on(form, error, act) {
  form.onsubmit = async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    error.textContent = "";
    try {
      await act(Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()])));
      form.reset();
    } catch (problem) {
      error.textContent = sentence(problem);
    } finally {
      button.disabled = false;
      rescue(form.querySelector("input"));
    }
  };
}

/** 192 random bits; without https there is no randomUUID, but this there is. */
function newToken() {
  const bytes = crypto.getRandomValues(new Uint8Array(24));
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_");
}

async function once(url, shown, method, args) {
  const client = connect(url, { token: shown });
  try {
    return await client.call(method, args, { timeoutMs: 10_000, idempotent: true });
  } finally {
    client.close();
  }
}

/** Forget who we are, in all pages of this browser. */
export function forget() {
  unkept = null;
  local.removeItem(TOKEN);
}

/** Call back when another page of this browser logs in or out. */
export function onchange(changed) {
  addEventListener("storage", ({ key }) => { if (key === TOKEN || key === null) changed(); });
}

/** Copy a text; false where the browser does not let us, as on a page without https. */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** The dialog about the account; resolves to "out" if it is to be left. */
export async function showAccount({ name }) {
  const shown = el("output", { class: "token", "aria-label": "Your token", hidden: true });
  const copy = el("button", { type: "button", hidden: true, onclick: async () => {
    copy.textContent = await copied(token()) ? "Copied" : "Not copied: mark it, and copy it by hand";
  } }, "Copy");
  const show = el("button", { type: "button", onclick: () => {
    shown.textContent = token();
    shown.hidden = copy.hidden = false;
    copy.focus();
    show.remove();
  } }, "Show my token");
  const deed = await ask({ title: name, body: (close) => [
    el("p", {}, "Your token is your key: with it you log in on another device. Whoever has it can speak in your name."),
    el("div", { class: "actions start" }, show, copy), shown,
    el("div", { class: "actions" }, el("button", { type: "button", class: "danger", onclick: () => close("out") }, "Log out")),
  ] });
  if (deed !== "out") return null;
  const sure = await confirm({
    title: "Log out?", action: "Log out",
    text: "You can come back with your token only: copy it first. What was not sent yet is thrown away.",
  });
  return sure ? "out" : null;
}
