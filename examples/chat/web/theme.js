/** Light, dark, or as the system is: chosen by a button, kept in the browser's storage. */

import { icon } from "./dom.js";
import { keep, local } from "./storage.js";

const NAME = "framerpc-chat/theme";
const NEXT = { auto: "light", light: "dark", dark: "auto" };
const LABELS = { auto: "as the system", light: "light", dark: "dark" };

export function setUp(button) {
  const show = (theme) => {
    document.documentElement.dataset.theme = theme;
    const label = `Colours: ${LABELS[theme]}`;
    button.replaceChildren(icon("theme"));
    button.title = label;
    button.setAttribute("aria-label", label);
  };
  let theme = local.getItem(NAME) ?? "auto";
  if (NEXT[theme] === undefined) theme = "auto";
  show(theme);
  button.addEventListener("click", () => {
    theme = NEXT[theme];
    keep(local, NAME, theme);
    show(theme);
  });
}
