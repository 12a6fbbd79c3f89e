// Thumbs up and down on what a query found, and taking them back.

import { call } from "./post.js";
import { text } from "./texts.js";
import { say } from "./toast.js";

const CALLS = `${document.querySelector("[data-suggest]").dataset.suggest.replace(/suggest$/, "")}feedback`;

let last = null; // the place that was marked last

// `place` has data-id and data-mark; what it looks like is for `show`.
async function change(place, q, relevant, show) {
  try {
    if (relevant === null) {
      await call("DELETE", `${CALLS}/${place.dataset.mark}`);
      delete place.dataset.mark;
      say(text("taken_back"));
    } else {
      const mark = await call("POST", CALLS, { q, image_id: +place.dataset.id, relevant });
      place.dataset.mark = mark.id;
      last = () => change(place, q, null, show);
      say(text(relevant ? "good" : "bad", { q }), text("undo"), undo);
    }
    note(place.dataset, q, relevant);
    show(relevant);
  } catch (error) {
    say(text("failed", { reason: error.message }));
  }
  return true;
}

export function undo() {
  const step = last;
  last = null;
  step?.();
  return Boolean(step);
}

// The browser may keep a page as it was when a photo was opened from it: what has been marked since is to show there.
const KEY = "marked";
const marked = () => JSON.parse(sessionStorage.getItem(KEY) ?? "{}");

function note({ id, mark }, q, now) {
  sessionStorage.setItem(KEY, JSON.stringify({ ...marked(), [id]: { q, mark, now } }));
}

addEventListener("pageshow", ({ persisted }) => {
  const grid = document.querySelector(".grid[data-q]");
  if (!grid || !persisted) return;
  for (const [id, { q, mark, now }] of Object.entries(marked())) {
    const place = q === grid.dataset.q && grid.querySelector(`li[data-id="${id}"]`);
    if (!place) continue;
    if (mark) place.dataset.mark = mark;
    else delete place.dataset.mark;
    showIn(place, now);
  }
});

function showIn(place, now) {
  place.classList.toggle("good", now === true);
  place.classList.toggle("bad", now === false);
}

// A photo of a grid.
export function mark(photo, relevant) {
  const place = photo?.closest("li");
  const { q } = photo?.closest(".grid")?.dataset ?? {};
  if (!place || !q) return false;
  change(place, q, relevant, (now) => showIn(place, now));
  return true;
}

// The buttons beside a photo.
export function markForm(form, said) {
  const relevant = { match: true, none: false, undo: null }[said];
  if (relevant === null && !form.dataset.mark) return false;
  change(form, form.dataset.q, relevant, (now) => {
    for (const button of form.querySelectorAll("[aria-pressed]")) {
      button.setAttribute("aria-pressed", String({ match: true, none: false }[button.value] === now));
    }
    form.querySelector("[value=undo]")?.toggleAttribute("hidden", now === null);
  });
  return true;
}

// Buttons over the photo that is pointed at.
const pair = document.createElement("div");
pair.className = "pair";
for (const [relevant, key, path] of [
  [true, "match", "M7 11v9H4v-9zM7 11l4-8c1.500 0 2.500 1 2.500 2.500V9H19c1 0 1.800 1 1.500 2l-2 7.500c-.2.900-1 1.500-2 1.500H7"],
  [false, "no_match", "M17 13V4h3v9zM17 13l-4 8c-1.500 0-2.500-1-2.500-2.500V15H5c-1 0-1.800-1-1.500-2l2-7.500C5.700 4.600 6.500 4 7.500 4H17"],
]) {
  const button = document.createElement("button");
  button.type = "button";
  button.title = text(key);
  button.setAttribute("aria-label", text(key));
  button.tabIndex = -1; // the keys + and - do the same
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  const line = document.createElementNS(svg.namespaceURI, "path");
  line.setAttribute("d", path);
  svg.append(line);
  button.append(svg);
  button.addEventListener("click", () => mark(pair.parentElement.querySelector("a"), relevant));
  pair.append(button);
}
document.addEventListener("pointerover", ({ target, pointerType }) => {
  const place = pointerType === "mouse" && target.closest?.(".grid[data-q] > li[data-id]");
  if (place && place !== pair.parentElement) place.append(pair);
  else if (!place) pair.remove();
});
