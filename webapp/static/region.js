// A region of the photo: the one that is clicked, or chosen with the arrow keys.

import { text } from "./texts.js";
import { hush, say } from "./toast.js";

const layers = () => document.getElementById("layers");
const svg = (name) => document.createElementNS("http://www.w3.org/2000/svg", name);
const between = (value, count) => Math.min(Math.max(value, 0), count - 1);

let cell = null; // row and column while one is being chosen

// The address of the page of photos like a region of this one.
export function regionUrl([row, col]) {
  const url = new URL(location.href);
  url.searchParams.set("region", `${row},${col}`);
  url.hash = "similar";
  return url;
}

// The region under the pointer: the photo is shown whole, in the middle of its place.
export function clicked({ target, offsetX, offsetY }) {
  const { width, height, rows, cols } = layers().dataset;
  const scale = Math.min(target.clientWidth / width, target.clientHeight / height);
  const across = (offsetX - (target.clientWidth - width * scale) / 2) / (width * scale);
  const down = (offsetY - (target.clientHeight - height * scale) / 2) / (height * scale);
  return [between(Math.floor(down * rows), rows), between(Math.floor(across * cols), cols)];
}

function show() {
  const { width, height, rows, cols } = layers().dataset;
  layers().querySelector(".choosing")?.remove();
  if (!cell) return hush();
  const frame = svg("svg");
  frame.setAttribute("viewBox", `0 0 ${width} ${height}`);
  frame.setAttribute("class", "choosing");
  for (const kind of ["under", "over"]) {
    const rect = svg("rect");
    const [w, h] = [width / cols, height / rows];
    for (const [name, value] of Object.entries({ class: kind, x: cell[1] * w, y: cell[0] * h, width: w, height: h })) {
      rect.setAttribute(name, value);
    }
    frame.append(rect);
  }
  layers().append(frame);
  say(text("region", { row: cell[0] + 1, col: cell[1] + 1 }));
}

export function choose() {
  const { rows, cols } = layers().dataset;
  cell = cell ? null : [Math.floor(rows / 2), Math.floor(cols / 2)];
  if (cell) document.activeElement?.blur();
  show();
  return true;
}

// Takes a key while a region is being chosen; `go` gets the region.
export function key(name, go) {
  if (!cell) return false;
  const { rows, cols } = layers().dataset;
  const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[name];
  if (step) cell = [between(cell[0] + step[0], rows), between(cell[1] + step[1], cols)];
  else if (name === "Enter") go(cell);
  if (!step) cell = null;
  show();
  return true;
}
