// Heat over the photos of a grid: of the one that is pointed at, or of all in sight.

import { draw, hottest } from "./heatmap.js";
import { text } from "./texts.js";
import { say } from "./toast.js";

const PAUSE = 180; // milliseconds over a photo before it is asked for

let all = false;
let over = null; // the photo that is pointed at
let timer = 0;

async function show(photo) {
  if (photo.querySelector("canvas")) return;
  const canvas = document.createElement("canvas");
  const image = photo.querySelector("img");
  image.after(canvas);
  try {
    const answer = await fetch(photo.dataset.heatmap);
    if (!answer.ok) throw new Error(answer.statusText);
    const { terms } = await answer.json();
    if (!all && over !== photo) return canvas.remove(); // nobody wants it any more
    const wanted = terms.filter((term) => term.weight > 0).map((term) => term.heat);
    draw(canvas, hottest(wanted), image.getAttribute("width"), image.getAttribute("height"));
  } catch {
    canvas.remove();
    if (all) say(text("no_heat"));
  }
}

const hide = (photo) => photo.querySelector("canvas")?.remove();

const inSight = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (isIntersecting && all) show(target);
    else if (!isIntersecting) hide(target);
  }
});

// Photos that have come onto the page.
export function watch() {
  document.getElementById("heat")?.setAttribute("aria-pressed", String(all));
  if (all) document.querySelectorAll(".grid a[data-heatmap]").forEach((photo) => inSight.observe(photo));
}

export function toggle() {
  all = !all;
  clearTimeout(timer);
  over = null;
  inSight.disconnect();
  if (!all) document.querySelectorAll(".grid a").forEach(hide);
  watch();
  return true;
}

function point(photo) {
  clearTimeout(timer);
  if (over && over !== photo && !all) hide(over);
  over = photo;
  if (photo && !all) timer = setTimeout(() => show(photo), PAUSE);
}

const photoOf = ({ target }) => target.closest?.(".grid a[data-heatmap]") ?? null;
document.addEventListener("pointerover", (event) => event.pointerType === "mouse" && point(photoOf(event)));
document.addEventListener("focusin", (event) => event.target.matches(":focus-visible") && point(photoOf(event)));
document.addEventListener("click", ({ target }) => target.closest("#heat") && toggle());
