// Keys that work everywhere on a page, but not while something is typed.

import { over } from "./dialog.js";

export const box = document.querySelector("input[type=search]");

export function onKeys(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || document.querySelector("dialog[open]")) return;
    const typing = event.target.closest("input:not([type=range]), select, textarea");
    if (typing) {
      if (event.key !== "Escape") return;
      event.preventDefault(); // it would empty the search box
      typing.blur();
      return;
    }
    if (event.target.matches("[type=range]") && event.key.startsWith("Arrow")) return;
    if (event.key === "/") {
      box.focus();
      box.select();
    } else if (event.key === "?") {
      over(document.body.dataset.keys, "keys");
    } else if (!actions[event.key]?.(event)) {
      return;
    }
    event.preventDefault();
  });
}
