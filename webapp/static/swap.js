// Goes to another state of this page without loading it anew: the parts marked data-live are taken from the new one.

export async function fetchPage(url, body) {
  const response = await fetch(url, { method: body ? "POST" : "GET", body, headers: { Accept: "text/html" } });
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

let latest = 0;

export async function swap(url, { remember = "push", body } = {}) {
  const turn = ++latest;
  const live = () => [...document.querySelectorAll("[data-live]")];
  live().forEach((part) => part.classList.add("busy"));
  let page;
  try {
    page = await fetchPage(url, body);
  } catch {
    location.assign(url); // the browser says what is wrong
    return;
  }
  if (turn !== latest) return; // a later one is on its way
  if (remember === "push") history.pushState(null, "", url);
  if (remember === "replace") history.replaceState(null, "", url);
  document.title = page.title;
  if (!live().some((part) => page.getElementById(part.id))) document.body.replaceWith(page.body); // a page of another kind
  for (const part of live()) {
    const fresh = page.getElementById(part.id);
    if (fresh) part.replaceWith(document.adoptNode(fresh));
  }
  document.dispatchEvent(new Event("swapped"));
}

// The address that the form asks for, without what is empty or as it is anyway.
export function formUrl(form) {
  const usual = ([name, value]) => value === "" || value === form.elements[name]?.dataset?.default;
  const values = [...new FormData(form)].filter((entry) => !usual(entry));
  return `${form.getAttribute("action")}?${new URLSearchParams(values)}`;
}
