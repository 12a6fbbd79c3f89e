// Goes to another state of this page without loading it anew: the parts marked data-live are taken from the new one.

import { further } from "./origin.js";
import { text } from "./texts.js";
import { hush, say } from "./toast.js";

export async function fetchPage(url, { body, signal } = {}) {
  const response = await fetch(url, { method: body ? "POST" : "GET", body, signal, headers: { Accept: "text/html" } });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  return { ok: response.ok, url: response.url, page };
}

// What an element is found by in a later state of its part.
function selector(element) {
  const name = ["id", "rel", "name", "href"].find((name) => element.hasAttribute(name));
  return name && `[${name}="${CSS.escape(element.getAttribute(name))}"]`;
}

// Puts a part of the page in the place of an earlier state of it. The photo is not loaded anew where it is the same, and
// the focus stays where it was; `keep` is whether a control in use keeps the value it has got meanwhile.
export function renew(part, fresh, keep = false) {
  const [shown, next] = [part.querySelector(".photo"), fresh.querySelector(".photo")];
  if (shown && next && shown.getAttribute("src") === next.getAttribute("src")) next.replaceWith(shown);
  const used = part.contains(document.activeElement) ? document.activeElement : null;
  part.replaceWith(document.adoptNode(fresh));
  if (!used) return;
  const by = used !== part && selector(used);
  const now = (by && fresh.querySelector(by)) || fresh;
  if (now === fresh && !fresh.matches("a")) fresh.tabIndex = -1; // at least the next Tab goes on from here
  if (keep && now.matches("input, select")) {
    now.value = used.value;
    now.dispatchEvent(new Event("input", { bubbles: true }));
  }
  now.focus({ preventScroll: true });
}

let latest = 0;

// Returns whether the page is now in the new state and that is no error; null if no answer came, or a later one is on its
// way. `remember` is push, replace or no; with `onlyGood`, an answer that is an error changes nothing.
export async function swap(url, { remember = "push", body, onlyGood = false } = {}) {
  const turn = ++latest;
  const live = () => [...document.querySelectorAll("[data-live]")];
  const busy = (now) => live().forEach((part) => part.classList.toggle("busy", now));
  if (!onlyGood) busy(true);
  let answer;
  try {
    answer = await fetchPage(url, { body });
  } catch {
    if (turn !== latest) return null;
    busy(false);
    say(text("offline"), text("retry"), () => swap(url, { remember, body }));
    return null;
  }
  if (turn !== latest) return null;
  if (onlyGood && !answer.ok) return false;
  const { page } = answer;
  if (!live().some((part) => page.getElementById(part.id))) {
    if (body && !answer.ok) {
      busy(false); // what was sent is refused, and cannot be sent anew by an address
      say(page.querySelector("h1")?.textContent ?? page.title);
    } else {
      location.assign(url); // a page of another kind
    }
    return false;
  }
  hush();
  const address = body ? url : answer.url + new URL(url, location.href).hash;
  if (remember === "push") {
    document.dispatchEvent(new Event("leaving"));
    history.pushState(further(history.state) ?? null, "", address);
  }
  if (remember === "replace") history.replaceState(history.state, "", address);
  document.title = page.title;
  for (const part of live()) {
    const fresh = page.getElementById(part.id);
    if (fresh) renew(part, fresh, remember === "replace");
  }
  document.dispatchEvent(new Event("swapped"));
  return answer.ok;
}

// The address that the form asks for, without what is empty or as it is anyway.
export function formUrl(form) {
  const usual = ([name, value]) => value === "" || value === form.elements[name]?.dataset?.default;
  const values = [...new FormData(form)].filter((entry) => !usual(entry));
  return values.length ? `${form.getAttribute("action")}?${new URLSearchParams(values)}` : form.getAttribute("action");
}
