// The search page: results while typing, suggestions, keys, more photos while scrolling, controls that answer at once.

import { over } from "./dialog.js";
import { comeBack, start } from "./endless.js";
import { toggle, watch } from "./heat.js";
import { onImage } from "./image.js";
import { box, onKeys } from "./keys.js";
import { mark, undo } from "./marks.js";
import { current, move, moveRow } from "./move.js";
import { remember } from "./origin.js";
import { suggest } from "./suggest.js";
import { formUrl, swap } from "./swap.js";
import { announce } from "./toast.js";

const PAUSE = 450; // milliseconds without a key before what is typed is looked for
const STEPS = 300; // milliseconds without a further step of the cut-off before it is asked for

const form = document.getElementById("search");
let image = null; // words typed later are asked for beside it, until the page is left
let timer = 0;
let typed = false; // whether this place in the history is one of a query that is being typed

async function ask(given = image) {
  clearTimeout(timer);
  image = given;
  if (!image) {
    const remember = typed ? "replace" : "push";
    typed = false;
    if ((await swap(formUrl(form), { remember })) !== null) scrollTo(0, 0);
    return;
  }
  const body = new FormData(form);
  for (const name of ["min_confidence", "sort"]) body.delete(name); // they were of words alone
  body.set("image", image);
  if ((await swap(form.action, { remember: "no", body })) === false && image === given) image = null;
}

async function askWhileTyping() {
  if (image || box.value.trim().length < 3) return;
  const url = formUrl(form);
  if (url === location.pathname + location.search) return;
  if (await swap(url, { remember: typed ? "replace" : "push", onlyGood: true })) {
    typed = true;
    scrollTo(0, 0);
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  box.blur(); // keys are for the photos now, and a phone's keyboard is out of their way
  ask();
});
box.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(askWhileTyping, PAUSE);
});
onImage(ask);
document.addEventListener("input", ({ target }) => {
  if (target.type === "range") target.closest("label").querySelector("output").value = `${Math.round(100 * target.value)}\u202f%`;
});
document.addEventListener("change", ({ target }) => {
  if (target.name !== "min_confidence" && target.name !== "sort") return;
  clearTimeout(timer);
  timer = setTimeout(() => swap(formUrl(form), { remember: "replace" }), target.type === "range" ? STEPS : 0);
});
document.addEventListener("click", (event) => {
  const link = event.target.closest("#filters-link");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  over(link.href, "filters");
});
addEventListener("popstate", async ({ state }) => {
  image = null;
  typed = false;
  box.value = new URLSearchParams(location.search).get("q") ?? "";
  if ((await swap(location.href, { remember: "no" })) !== null) comeBack(state);
});

remember();
suggest(box);
onKeys({
  ArrowRight: () => move(1),
  ArrowLeft: () => move(-1),
  ArrowDown: () => moveRow(1),
  ArrowUp: () => moveRow(-1),
  h: toggle,
  "+": () => mark(current(), true),
  "-": () => mark(current(), false),
  u: undo,
});
document.addEventListener("swapped", () => {
  announce(document.querySelector("#tools h1").textContent);
  watch();
  start();
});
document.addEventListener("appended", watch);
watch();
start();
comeBack(history.state);
