// An image as the query: chosen, dropped or pasted.

import { text } from "./texts.js";
import { say } from "./toast.js";

export function onImage(ask) {
  const input = document.querySelector(".pick input");
  const take = ([file]) => {
    if (!file) return;
    const most = +input.dataset.most; // bytes that the server takes
    if (file.size < most) ask(file);
    else say(text("too_large", { size: most >> 20 }));
  };
  input.addEventListener("change", () => {
    take(input.files);
    input.value = ""; // the same one can be chosen again
  });
  document.addEventListener("paste", ({ clipboardData }) => take(clipboardData.files));
  document.addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return; // text is for the box
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  for (const name of ["dragleave", "drop"]) {
    document.addEventListener(name, () => document.body.classList.remove("dropping"));
  }
  document.addEventListener("drop", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    take(event.dataTransfer.files);
  });
}
