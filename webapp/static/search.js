// The search page: suggestions, keys, more photos while scrolling, controls that answer at once, heat on every photo.

import { draw, hottest } from "./heatmap.js";
import { box, onKeys } from "./keys.js";
import { suggest } from "./suggest.js";
import { fetchPage, formUrl, swap } from "./swap.js";

const form = document.getElementById("search");
const photos = () => [...document.querySelectorAll(".grid a")];
let heated = false;

suggest(box);
document.querySelectorAll("[data-script]").forEach((part) => (part.hidden = false));

form.addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});

// An image as the query: chosen, dropped or pasted. Words typed later are asked for beside it, until the page is left.
let image = null;

function ask(given = image) {
  if (!(image = given)) return swap(formUrl(form));
  const body = new FormData(form);
  for (const name of ["min_confidence", "sort"]) body.delete(name); // they were of words alone
  body.set("image", image);
  return swap(form.action, { remember: "no", body });
}
document.querySelector(".pick input").addEventListener("change", ({ target }) => ask(target.files[0]));
document.addEventListener("paste", ({ clipboardData: { files } }) => files.length && ask(files[0]));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
for (const name of ["dragleave", "drop"]) document.addEventListener(name, () => document.body.classList.remove("dropping"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  const { files } = event.dataTransfer;
  if (files.length) ask(files[0]);
});
document.addEventListener("input", ({ target }) => {
  if (target.type === "range") target.closest("label").querySelector("output").value = `${Math.round(100 * target.value)}\u202f%`;
});
document.addEventListener("change", ({ target }) => {
  if (target.name === "min_confidence" || target.name === "sort") swap(formUrl(form), { remember: "replace" });
});
addEventListener("popstate", async () => {
  image = null;
  await swap(location.href, { remember: "no" });
  box.value = new URLSearchParams(location.search).get("q") ?? "";
});

// More photos: the page that the link names is fetched when it comes near, and its photos move here.
const nearEnd = new IntersectionObserver(
  async ([entry]) => {
    if (!entry.isIntersecting) return;
    const link = entry.target;
    nearEnd.unobserve(link);
    const page = await fetchPage(link.querySelector("a").href).catch(() => null);
    if (!page || !link.isConnected) return;
    document.querySelector(".grid").append(...page.querySelectorAll(".grid > li"));
    const following = page.querySelector(".more");
    if (following) link.replaceWith(following);
    else link.remove();
    watch();
  },
  { rootMargin: "1200px" },
);

// Heat: fetched for a photo when it is in sight.
const inSight = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting || !heated || target.querySelector("canvas")) continue;
    const canvas = document.createElement("canvas");
    const image = target.querySelector("img");
    image.after(canvas);
    fetch(target.dataset.heatmap)
      .then((answer) => answer.json())
      .then(({ terms }) => {
        const wanted = terms.filter((term) => term.weight > 0).map((term) => term.heat);
        draw(canvas, hottest(wanted), image.getAttribute("width"), image.getAttribute("height"));
      })
      .catch(() => canvas.remove());
  }
});

function watch() {
  document.querySelectorAll(".more").forEach((link) => nearEnd.observe(link));
  if (heated) photos().filter((photo) => photo.dataset.heatmap).forEach((photo) => inSight.observe(photo));
}

function toggleHeat() {
  heated = !heated;
  inSight.disconnect();
  document.querySelectorAll(".grid canvas").forEach((canvas) => canvas.remove());
  watch();
  return true;
}

function move(step) {
  const all = photos();
  const at = all.indexOf(document.activeElement);
  const next = all[at < 0 ? 0 : at + step];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
  return Boolean(next);
}

// The photo above or below: of the nearest row in that direction, the one whose middle is closest.
function moveRow(direction) {
  const at = document.activeElement?.closest(".grid a");
  if (!at) return move(0);
  const middle = ({ left, right }) => (left + right) / 2;
  const here = at.getBoundingClientRect();
  const beyond = photos()
    .map((photo) => [photo, photo.getBoundingClientRect()])
    .filter(([, there]) => direction * (there.top - here.top) > 1);
  if (!beyond.length) return false;
  const edge = direction * Math.min(...beyond.map(([, there]) => direction * there.top));
  const row = beyond.filter(([, there]) => Math.abs(there.top - edge) < 1);
  const distance = ([, there]) => Math.abs(middle(there) - middle(here));
  const [[nearest]] = row.sort((a, b) => distance(a) - distance(b));
  nearest.focus();
  nearest.scrollIntoView({ block: "nearest" });
  return true;
}

onKeys({
  ArrowRight: () => move(1),
  ArrowLeft: () => move(-1),
  ArrowDown: () => moveRow(1),
  ArrowUp: () => moveRow(-1),
  h: toggleHeat,
});
document.addEventListener("swapped", watch);
watch();
