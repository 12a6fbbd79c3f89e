// A page that is short enough is shown over this one.

import { fetchPage } from "./swap.js";
import { text } from "./texts.js";
import { say } from "./toast.js";

export async function over(url, id) {
  const answer = await fetchPage(url).catch(() => null);
  if (!answer) return say(text("offline"), text("retry"), () => over(url, id));
  const part = answer.page.getElementById(id);
  if (!part) return location.assign(url);
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-label", part.querySelector("h1").textContent);
  const close = document.createElement("button");
  close.type = "button";
  close.className = "plain close";
  close.textContent = text("close");
  close.addEventListener("click", () => dialog.close());
  dialog.append(document.adoptNode(part), close);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
}
