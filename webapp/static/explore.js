// Pages to wander on: other photos at random, and the map, without loading the page anew.

import { box, onKeys } from "./keys.js";
import { move, moveRow } from "./move.js";
import { remember } from "./origin.js";
import { suggest } from "./suggest.js";
import { swap } from "./swap.js";

document.addEventListener("click", (event) => {
  const link = event.target.closest("#others, a[data-swap]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const href = link.href.baseVal ?? link.href; // a link of a drawing has an animated one
  swap(href, { remember: link.id === "others" ? "no" : "push" });
});
addEventListener("popstate", () => swap(location.href, { remember: "no" }));

remember();
suggest(box);
onKeys({
  r: () => Boolean(document.getElementById("others")?.click()) || true,
  ArrowRight: () => move(1),
  ArrowLeft: () => move(-1),
  ArrowDown: () => moveRow(1),
  ArrowUp: () => moveRow(-1),
});
