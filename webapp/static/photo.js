// The photo view: heat on a canvas over the photo, a layer for each term, keys.

import { draw, hottest } from "./heatmap.js";
import { box, onKeys } from "./keys.js";
import { suggest } from "./suggest.js";
import { formUrl, swap } from "./swap.js";

const stage = document.getElementById("stage");
const form = document.getElementById("search");

function paint() {
  const layers = document.getElementById("layers");
  layers.querySelectorAll("canvas").forEach((canvas) => canvas.remove());
  if (!layers.dataset.heatmap) return;
  const { terms } = JSON.parse(layers.dataset.heatmap);
  const off = new Set([...document.querySelectorAll(".toggle[aria-pressed=false]")].map((button) => +button.dataset.term));
  const shown = terms.filter((term, i) => term.weight > 0 && !off.has(i)).map((term) => term.heat);
  layers.querySelectorAll("g[data-term]").forEach((box) => box.toggleAttribute("data-off", off.has(+box.dataset.term)));
  if (!shown.length) return;
  const canvas = document.createElement("canvas");
  layers.prepend(canvas);
  draw(canvas, hottest(shown), layers.dataset.width, layers.dataset.height);
}

function start() {
  document.querySelectorAll("[data-script]").forEach((part) => (part.hidden = false));
  paint();
}

function hide() {
  stage.classList.toggle("off");
  return true;
}

async function go(url) {
  box.value = url.searchParams.get("q") ?? "";
  await swap(url.href);
  if (url.hash) document.querySelector(url.hash)?.scrollIntoView({ behavior: "smooth" });
}

// The page of photos like the region that was clicked: the photo is shown whole, in the middle of its place.
function regionUrl({ target, offsetX, offsetY }) {
  const { width, height, rows, cols } = document.getElementById("layers").dataset;
  const scale = Math.min(target.clientWidth / width, target.clientHeight / height);
  const across = (offsetX - (target.clientWidth - width * scale) / 2) / (width * scale);
  const down = (offsetY - (target.clientHeight - height * scale) / 2) / (height * scale);
  const cell = (share, count) => Math.min(Math.max(Math.floor(share * count), 0), count - 1);
  const url = new URL(location.href);
  url.searchParams.set("region", `${cell(down, rows)},${cell(across, cols)}`);
  url.hash = "similar";
  return url;
}

const follow = (selector) => () => {
  const link = document.querySelector(selector);
  link?.click();
  return Boolean(link);
};

document.addEventListener("click", (event) => {
  const toggle = event.target.closest(".toggle");
  if (toggle) {
    toggle.setAttribute("aria-pressed", String(toggle.getAttribute("aria-pressed") !== "true"));
    paint();
  }
  if (event.target.closest("#hide")) hide();
  const link = event.target.closest("a[data-swap], #legend .chips a");
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    go(new URL(link.href));
  }
  if (event.target.matches(".photo")) go(regionUrl(event));
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  swap(formUrl(form));
});
addEventListener("popstate", () => location.reload());
document.addEventListener("swapped", start);

suggest(box);
onKeys({
  h: hide,
  ArrowLeft: follow(".previous"),
  ArrowRight: follow(".following"),
  Escape: follow("#back"),
});
start();

// The next photo is fetched while this one is looked at.
const following = document.querySelector(".following");
if (following) addEventListener("load", () => (new Image().src = following.dataset.picture));
