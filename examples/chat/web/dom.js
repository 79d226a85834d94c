/**
 * The few things we want of the document. Text gets in as text, never as HTML; the server's
 * Content-Security-Policy (Trusted Types) would refuse it anyway.
 */

const SVG = "http://www.w3.org/2000/svg";

/** Make an element: `el("button", { class: "plain", onclick }, "Send")`. */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(node.dataset, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const ICONS = {
  attach: "M14.5 6.5 8 13a2 2 0 0 0 3 3l6-6a4 4 0 0 0-6-6L4.5 10.5a6 6 0 0 0 8.5 8.5L18 14",
  back: "M12.5 4 6.5 10l6 6",
  bin: "M4 6h12M8 6V4h4v2M6 6l1 11h6l1-11M9 9v5M11 9v5",
  close: "M5 5l10 10M15 5 5 15",
  down: "M10 4v12M5 11l5 5 5-5",
  file: "M6 3h6l4 4v10H6zM12 3v4h4",
  hash: "M8 3 6 17M14 3l-2 14M4 7.5h13M3 12.5h13",
  keys: "M3 6h14v9H3zM6 9h.01M9 9h.01M12 9h.01M15 9h-.01M7 12h6",
  lock: "M5 9h10v8H5zM7 9V6.5a3 3 0 0 1 6 0V9",
  pen: "M4 16l1-4 8.5-8.5 3 3L8 15zM12 5l3 3",
  people: "M7.5 9.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM2 17c0-3 2.5-5 5.5-5s5.5 2 5.5 5M13 9.5a3 3 0 0 0 0-6M15 12.5c1.8.7 3 2.4 3 4.5",
  plus: "M10 4v12M4 10h12",
  search: "M9 15A6 6 0 1 0 9 3a6 6 0 0 0 0 12zM13.5 13.5 17 17",
  send: "M3 10 17 4l-4 13-3.5-5.5zM9.5 11.5 17 4",
  smile: "M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM7 12c1.5 2 4.5 2 6 0M8 8h.01M12 8h.01",
  theme: "M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM10 3v14a7 7 0 0 0 0-14z",
  user: "M10 10a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM3.5 17c0-3.5 3-5.5 6.5-5.5s6.5 2 6.5 5.5",
};

/** A picture that says nothing to those who cannot see it; its button has a label. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 20 20", class: `icon icon-${name}`, "aria-hidden": "true" })) svg.setAttribute(key, value);
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** A button with a picture only. */
export function iconButton(name, label, onclick, props = {}) {
  return el("button", { type: "button", class: "icon-button", "aria-label": label, title: label, onclick, ...props }, icon(name));
}

/** A circle with the first letter of a name, in a colour of the name's own. */
export function avatar(name, here = false) {
  let sum = 7;
  for (const letter of name) sum = (sum * 131 + letter.codePointAt(0)) % 9973;
  return el("span", { class: `avatar tone-${sum % 8}${here ? " here" : ""}`, "aria-hidden": "true" }, [...name][0].toUpperCase());
}

/**
 * Make the children of `parent` these rows, `{key, sign, make}`: what has the same key and the same
 * sign stays as it is, and keeps its focus; what replaces something with the same key takes it over.
 */
export function reconcile(parent, rows) {
  const wanted = new Set(rows.map(({ key }) => key));
  const old = new Map();
  for (const child of [...parent.children]) {
    if (wanted.has(child.dataset.key)) old.set(child.dataset.key, child);
    else child.remove();
  }
  let next = parent.firstElementChild;
  for (const { key, sign, make } of rows) {
    let node = old.get(key);
    if (node === undefined || node.dataset.sign !== sign) {
      const fresh = make();
      Object.assign(fresh.dataset, { key, sign });
      if (node !== undefined) {
        if (node === next) next = node.nextElementSibling;
        replace(node, fresh);
      } else {
        parent.insertBefore(fresh, next);
      }
      node = fresh;
      if (node.nextElementSibling === next) continue;
    }
    if (node === next) next = node.nextElementSibling;
    else parent.insertBefore(node, next);
  }
}

/** Give the focus to `node` if what had it has gone: out of the document, or out of sight. */
export function rescue(node) {
  const active = document.activeElement;
  if (active === null || active === document.body || !active.checkVisibility()) node.focus({ preventScroll: true });
}

function replace(node, fresh) {
  const active = document.activeElement;
  const name = node.contains(active) ? active.dataset.focus ?? "" : null;
  node.replaceWith(fresh);
  if (name === null) return;
  (fresh.querySelector(`[data-focus="${CSS.escape(name)}"]`) ?? fresh).focus({ preventScroll: true });
}
