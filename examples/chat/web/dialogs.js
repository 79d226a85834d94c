/** Dialogs: one at a time over the page, closed by Esc; the focus goes back to where it was. */

import { el, iconButton } from "./dom.js";

let count = 0;

/**
 * Show a dialog. `body(close)` returns its children; `close(value)` ends it. Resolves to the value,
 * or null when it was dismissed.
 */
export function ask({ title, body, wide = false }) {
  return new Promise((resolve) => {
    const id = `dialog-${++count}`;
    let answer = null;
    const close = (value = null) => { answer = value; node.close(); };
    const node = el("dialog", { "aria-labelledby": id, class: wide ? "wide" : null,
      onclose: () => { node.remove(); refocus(); resolve(answer); },
      onclick: (event) => { if (event.target === node) close(); } },
      el("div", { class: "dialog" },
        el("header", { class: "bar" }, el("h2", { id }, title), el("span", { class: "grow" }),
          iconButton("close", "Close", () => close())),
        ...[body(close)].flat()));
    document.body.append(node);
    node.showModal();
    node.querySelector("[autofocus]")?.focus();
  });
}

/**
 * Focus again what has the focus. Chromium gives it back when a dialog closes, but at times leaves
 * the caret in the dialog: the text box is focused, and what is typed goes nowhere.
 */
function refocus() {
  const active = document.activeElement;
  active?.blur();
  active?.focus({ preventScroll: true });
}

/** Ask whether to do something that cannot be undone. */
export function confirm({ title, text, action }) {
  return ask({ title, body: (close) => [
    el("p", {}, text),
    el("div", { class: "actions" },
      el("button", { type: "button", onclick: () => close() }, "Cancel"),
      el("button", { type: "button", class: "danger", autofocus: true, onclick: () => close(true) }, action)),
  ] });
}

/**
 * A form that does something with what was typed: `submit(values)` may throw; its sentence is shown
 * and the form stays. `fields`: `{name, label, type, value, hint, …attributes}`.
 */
export function form({ fields, action, submit, explain }) {
  const problem = el("p", { class: "error", role: "alert" });
  const rows = fields.map(({ name, label, type = "text", hint = null, value = "", ...rest }) => {
    const id = `field-${++count}`;
    if (type === "checkbox") {
      return el("label", { class: "check" }, el("input", { type, name, id, ...rest }), label);
    }
    const input = el(type === "textarea" ? "textarea" : "input", { name, id, type: type === "textarea" ? null : type,
      autocomplete: "off", "aria-describedby": hint === null ? null : `${id}-hint`, ...rest });
    input.value = value;
    return [el("label", { for: id }, label), input, hint === null ? null : el("p", { class: "hint", id: `${id}-hint` }, hint)];
  });
  const button = el("button", { class: "primary" }, action);
  const node = el("form", { onsubmit: async (event) => {
    event.preventDefault();
    const values = {};
    for (const { name, type } of fields) {
      values[name] = type === "checkbox" ? node.elements[name].checked : node.elements[name].value.trim();
    }
    button.disabled = true;
    problem.textContent = "";
    try {
      await submit(values);
    } catch (error) {
      problem.textContent = explain(error);
    } finally {
      button.disabled = false;
    }
  } }, ...rows.flat(), problem, el("div", { class: "actions" }, button));
  return node;
}

const KEYS = [
  ["Alt + ↑ ↓", "The room before, the next room"],
  ["Ctrl + K", "Go to a room"],
  ["Enter", "Send"],
  ["Shift + Enter", "A new line"],
  ["↑ in an empty box", "Edit what you said last"],
  ["↑ ↓ in the messages", "The message before, the next one"],
  ["Tab on a message", "What you can do with it"],
  ["Esc", "Cancel; close what is open; go to the newest message"],
  ["?", "This list, when you are not typing"],
];

export function showKeys() {
  return ask({ title: "Keys", body: () => el("dl", { class: "keys" },
    ...KEYS.flatMap(([keys, what]) => [el("dt", {}, el("kbd", {}, keys)), el("dd", {}, what)])) });
}

/** What to react with; resolves to an emoji, or null. */
export function pickReaction(explain) {
  const palette = ["👍", "❤️", "😂", "🎉", "😮", "😢", "🙏", "👀", "✅", "🚀"];
  return ask({ title: "React", body: (close) => [
    el("div", { class: "palette" }, ...palette.map((emoji, i) =>
      el("button", { type: "button", "aria-label": `React with ${emoji}`, autofocus: i === 0, onclick: () => close(emoji) }, emoji))),
    form({
      fields: [{ name: "emoji", label: "Or another one", maxlength: 16, required: true, pattern: "\\S+" }],
      action: "React", explain, submit: async ({ emoji }) => close(emoji),
    }),
  ] });
}
