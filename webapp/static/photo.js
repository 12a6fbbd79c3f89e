// The photo view: heat on canvases over the photo, a layer for each term, regions, thumbs, keys.

import { draw } from "./heatmap.js";
import { box, onKeys } from "./keys.js";
import { markForm, undo } from "./marks.js";
import { arrive, leave, remember } from "./origin.js";
import { choose, clicked, key, regionUrl } from "./region.js";
import { suggest } from "./suggest.js";
import { fetchPage, formUrl, renew, swap } from "./swap.js";
import { onSwipe } from "./swipe.js";
import { announce } from "./toast.js";

const REST = 350; // milliseconds that a photo is looked at before others like it are asked for

const form = document.getElementById("search");
let hidden = false;
let strength = 1;
let resting = 0;

function paint() {
  const layers = document.getElementById("layers");
  layers.querySelectorAll("canvas").forEach((canvas) => canvas.remove());
  if (!layers.dataset.heatmap) return;
  const terms = JSON.parse(layers.dataset.heatmap).terms.filter((term) => term.weight > 0);
  const off = new Set([...document.querySelectorAll(".toggle[aria-pressed=false]")].map((button) => +button.dataset.term));
  layers.querySelectorAll("g[data-term]").forEach((frame) => frame.toggleAttribute("data-off", off.has(+frame.dataset.term)));
  terms.forEach(({ heat }, i) => {
    if (off.has(i)) return;
    const canvas = document.createElement("canvas");
    canvas.style.opacity = strength;
    layers.prepend(canvas);
    draw(canvas, heat, layers.dataset.width, layers.dataset.height, terms.length > 1 ? i : null);
  });
}

function showHidden() {
  document.getElementById("stage").classList.toggle("off", hidden);
  document.getElementById("hide")?.setAttribute("aria-pressed", String(hidden));
}

function start() {
  showHidden();
  const slider = document.getElementById("strength");
  if (slider) slider.value = strength;
  form.action = location.pathname;
  paint();
  const following = document.querySelector(".following"); // is fetched while this one is looked at
  if (following) new Image().src = following.dataset.picture;
  clearTimeout(resting);
  resting = setTimeout(showSimilar, REST);
}

// Photos like this one take longer to find than all else on the page, so they come after it.
async function showSimilar() {
  const link = document.getElementById("similar-link");
  if (!link) return;
  const answer = await fetchPage(link.href).catch(() => null);
  const found = answer?.page.getElementById("similar"); // also beside words that are unknown, which is an error
  if (found && link.isConnected) renew(link.closest("#similar"), found);
}

function hide() {
  hidden = !hidden;
  showHidden();
  return true;
}

async function go(url, remember = "push") {
  if ((await swap(url.href, { remember })) === null) return;
  box.value = url.searchParams.get("q") ?? "";
  if (!url.hash) return;
  const part = document.querySelector(url.hash);
  part?.scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  document.getElementById("similar-title")?.focus({ preventScroll: true });
}

// Turning to another photo takes this one's place in the history, so that back leads to the grid.
const turn = (selector) => () => {
  const link = document.querySelector(selector);
  if (link) go(new URL(link.href), "replace");
  return Boolean(link);
};

function back() {
  if (!leave()) location.assign(document.getElementById("back").href);
  return true;
}

document.addEventListener("click", (event) => {
  const plain = !event.ctrlKey && !event.metaKey && !event.shiftKey;
  const toggle = event.target.closest(".toggle");
  if (toggle) {
    toggle.setAttribute("aria-pressed", String(toggle.getAttribute("aria-pressed") !== "true"));
    paint();
  }
  if (event.target.closest("#hide")) hide();
  if (event.target.closest("#pick")) choose();
  if (event.target.matches(".photo")) go(regionUrl(clicked(event)));
  if (plain && event.target.closest("#back")) {
    event.preventDefault();
    back();
  }
  const link = event.target.closest("a[data-swap], #legend .chips a, a.turn");
  if (link && plain) {
    event.preventDefault();
    go(new URL(link.href), link.matches(".turn") ? "replace" : "push");
  }
});
document.addEventListener("input", ({ target }) => {
  if (target.id !== "strength") return;
  strength = +target.value;
  paint();
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  box.blur();
  swap(formUrl(form));
});
document.addEventListener("submit", (event) => {
  if (!event.target.matches(".marks")) return;
  event.preventDefault();
  markForm(event.target, event.submitter.value);
});
addEventListener("popstate", () => location.reload());
document.addEventListener("swapped", () => {
  announce(document.querySelector("#legend h1").textContent);
  start();
});
document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, select, button, a") && event.key === "Enter") return;
  if (key(event.key, (cell) => go(regionUrl(cell)))) event.preventDefault();
});

arrive();
remember();
suggest(box);
onSwipe("#stage", turn(".following"), turn(".previous"));
onKeys({
  h: hide,
  r: choose,
  "+": () => markForm(document.querySelector(".marks"), "match"),
  "-": () => markForm(document.querySelector(".marks"), "none"),
  u: undo,
  ArrowLeft: turn(".previous"),
  ArrowRight: turn(".following"),
  Escape: back,
});
start();
