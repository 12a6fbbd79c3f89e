// Endless scrolling with a bounded page: the next photos come when the end is near, and rows far out of sight leave the
// page and come back when they are scrolled to. What is away is stood in for by padding of the same height. Each place in
// the history knows how far it was scrolled and how much was there, so that going back to it leads there.

import { fetchPage } from "./swap.js";
import { text } from "./texts.js";
import { announce, say } from "./toast.js";

const NEAR = 1500; // pixels from the end at which more is fetched
const KEPT = 2500; // pixels above and below the window in which rows stay
const STILL = 150; // milliseconds without scrolling before how far it went is kept

let list = null;
let above = []; // rows that left at the top, the last one is the nearest
let below = [];
let padding = { top: 0, bottom: 0 };
let fetching = false;
let goal = null; // {y, count}: how far to scroll once so much is there again
let resting = 0;

const count = () => [...above, ...below].reduce((sum, { nodes }) => sum + nodes.length, list.childElementCount);

function keep() {
  clearTimeout(resting);
  if (list?.isConnected && !goal) history.replaceState({ ...history.state, y: scrollY, count: count() }, "");
}

// Goes to where the place in the history with this state was scrolled to.
export function comeBack(state) {
  clearTimeout(resting);
  goal = state?.y ? state : null;
  if (!goal) scrollTo(0, 0);
  update();
}

function row(first) {
  const forward = first === list.firstElementChild;
  const nodes = [];
  for (let node = first; node && node.offsetTop === first.offsetTop; node = forward ? node.nextElementSibling : node.previousElementSibling) {
    if (forward) nodes.push(node);
    else nodes.unshift(node);
  }
  return nodes;
}

function pad(side, change) {
  padding[side] += change;
  list.style[side === "top" ? "marginTop" : "marginBottom"] = `${padding[side]}px`;
}

// Rows between which the list is cut: none is cut off next to a heading's filler, which has no height of its own.
function prune() {
  const box = list.getBoundingClientRect();
  let start = box.top;
  while (list.childElementCount > 60) {
    const nodes = row(list.firstElementChild);
    const next = nodes.at(-1).nextElementSibling;
    if (!next) break;
    const height = next.offsetTop - nodes[0].offsetTop;
    if (start + height > -KEPT) break;
    nodes.forEach((node) => node.remove());
    above.push({ nodes, height });
    pad("top", height);
    start += height;
  }
  let end = list.getBoundingClientRect().bottom;
  while (list.childElementCount > 60) {
    const nodes = row(list.lastElementChild);
    const before = nodes[0].previousElementSibling;
    if (!before) break;
    const height = list.getBoundingClientRect().bottom - (before.getBoundingClientRect().bottom);
    if (end - height < innerHeight + KEPT) break;
    nodes.forEach((node) => node.remove());
    below.push({ nodes, height });
    list.classList.add("cut"); // the row that is last now is as wide as it was
    pad("bottom", height);
    end -= height;
  }
}

function restore() {
  while (above.length && list.getBoundingClientRect().top > -KEPT) {
    const { nodes, height } = above.pop();
    list.prepend(...nodes);
    pad("top", -height);
  }
  while (below.length && list.getBoundingClientRect().bottom < innerHeight + KEPT) {
    const { nodes, height } = below.pop();
    list.append(...nodes);
    list.classList.toggle("cut", below.length > 0);
    pad("bottom", -height);
  }
}

async function more() {
  const link = document.querySelector(".more a");
  if (!link || fetching || below.length) return;
  if (!goal && link.getBoundingClientRect().top > innerHeight + NEAR) return;
  fetching = true;
  try {
    const { ok, page } = await fetchPage(link.href);
    if (!ok) throw new Error(page.title);
    if (!link.isConnected) return void requestAnimationFrame(update); // another list stands here now
    if (!page.getElementById("results")) return location.reload(); // the login page: the session is over
    const items = [...page.querySelectorAll(".grid > li")];
    const heading = [...list.querySelectorAll(".month")].at(-1);
    if (heading && items[1]?.textContent === heading.textContent) items.splice(0, 2); // the same month goes on
    list.append(...items);
    const following = page.querySelector(".more, .end");
    if (following) link.parentElement.replaceWith(following);
    else link.parentElement.remove();
    announce(text("more", { count: items.filter((item) => item.dataset.id).length }));
    document.dispatchEvent(new Event("appended"));
  } catch {
    say(text("offline"), text("retry"), more);
    return;
  } finally {
    fetching = false;
  }
  requestAnimationFrame(update);
}

function update() {
  if (!list?.isConnected) return;
  if (goal && (count() >= goal.count || !document.querySelector(".more a"))) {
    scrollTo(0, goal.y);
    goal = null;
  }
  if (!goal) {
    restore();
    prune();
  }
  more();
}

// All rows come back, since they break elsewhere when the window has another width.
function unfold() {
  if (!list?.isConnected) return;
  list.prepend(...above.flatMap(({ nodes }) => nodes));
  list.append(...below.reverse().flatMap(({ nodes }) => nodes));
  list.classList.remove("cut");
  above = [];
  below = [];
  pad("top", -padding.top);
  pad("bottom", -padding.bottom);
}

export function start() {
  list = document.querySelector("#results .grid");
  above = [];
  below = [];
  padding = { top: 0, bottom: 0 };
  update();
}

let width = innerWidth;
let waiting = false;
addEventListener("scroll", () => {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    update();
  });
  clearTimeout(resting);
  resting = setTimeout(keep, STILL);
}, { passive: true });
addEventListener("popstate", () => clearTimeout(resting));
for (const name of ["leaving", "click"]) document.addEventListener(name, keep);
for (const name of ["wheel", "touchmove", "keydown"]) addEventListener(name, () => (goal = null), { passive: true });
history.scrollRestoration = "manual"; // what was scrolled to may not be there yet
addEventListener("resize", () => {
  if (innerWidth === width) return;
  width = innerWidth;
  unfold();
  requestAnimationFrame(update);
});
