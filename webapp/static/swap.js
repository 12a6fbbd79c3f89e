// Goes to another state of this page without loading it anew: the parts marked data-live are taken from the new one.

import { further } from "./origin.js";
import { text } from "./texts.js";
import { hush, say } from "./toast.js";

export async function fetchPage(url, { body, signal } = {}) {
  const response = await fetch(url, { method: body ? "POST" : "GET", body, signal, headers: { Accept: "text/html" } });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  return { ok: response.ok, url: response.url, page };
}

let latest = 0;

// Returns whether the page is now in the new state. `remember` is push, replace or no; with `onlyGood`, an answer that
// is an error changes nothing.
export async function swap(url, { remember = "push", body, onlyGood = false } = {}) {
  const turn = ++latest;
  const live = () => [...document.querySelectorAll("[data-live]")];
  if (!onlyGood) live().forEach((part) => part.classList.add("busy"));
  let answer;
  try {
    answer = await fetchPage(url, { body });
  } catch {
    if (turn !== latest) return false;
    live().forEach((part) => part.classList.remove("busy"));
    say(text("offline"), text("retry"), () => swap(url, { remember, body }));
    return false;
  }
  if (turn !== latest || (onlyGood && !answer.ok)) return false; // a later one is on its way
  const { page } = answer;
  if (!live().some((part) => page.getElementById(part.id))) {
    location.assign(url); // a page of another kind
    return false;
  }
  hush();
  const address = body ? url : answer.url + new URL(url, location.href).hash;
  if (remember === "push") history.pushState(further(history.state), "", address);
  if (remember === "replace") history.replaceState(history.state, "", address);
  document.title = page.title;
  for (const part of live()) {
    const fresh = page.getElementById(part.id);
    if (!fresh) continue;
    const [shown, next] = [part.querySelector(".photo"), fresh.querySelector(".photo")];
    if (shown && next && shown.getAttribute("src") === next.getAttribute("src")) next.replaceWith(shown);
    part.replaceWith(document.adoptNode(fresh));
  }
  document.dispatchEvent(new Event("swapped"));
  return true;
}

// The address that the form asks for, without what is empty or as it is anyway.
export function formUrl(form) {
  const usual = ([name, value]) => value === "" || value === form.elements[name]?.dataset?.default;
  const values = [...new FormData(form)].filter((entry) => !usual(entry));
  return values.length ? `${form.getAttribute("action")}?${new URLSearchParams(values)}` : form.getAttribute("action");
}
