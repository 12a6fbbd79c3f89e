// Completes the last word typed into the search box (WAI-ARIA combobox with a list).

import { text } from "./texts.js";

const WAIT = 60; // milliseconds

export function suggest(input) {
  const list = document.createElement("ul");
  list.className = "suggestions";
  list.id = "suggestions";
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", text("suggestions"));
  list.hidden = true;
  input.parentElement.append(list);
  input.setAttribute("role", "combobox");
  input.setAttribute("aria-controls", list.id);
  input.setAttribute("aria-autocomplete", "list");
  input.setAttribute("aria-expanded", "false");
  let chosen = -1;
  let timer = 0;
  let asked = "";

  // What is completed: all of the text if it is plain words, else what follows the last space, quote or minus.
  const split = () => {
    const end = input.value.slice(0, input.selectionEnd);
    const start = /[":^-]/.test(end) ? end.search(/[^\s":^-]*$/) : 0;
    return [input.value.slice(0, start), end.slice(start), input.value.slice(input.selectionEnd)];
  };

  const close = () => {
    list.hidden = true;
    chosen = -1;
    asked = "";
    clearTimeout(timer);
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };

  const choose = (index) => {
    const options = [...list.children];
    chosen = (index + options.length + 1) % (options.length + 1);
    if (chosen === options.length) chosen = -1;
    options.forEach((option, i) => option.setAttribute("aria-selected", String(i === chosen)));
    if (chosen >= 0) input.setAttribute("aria-activedescendant", options[chosen].id);
    else input.removeAttribute("aria-activedescendant");
  };

  const take = (word) => {
    const [before, , after] = split();
    const quoted = word.includes(" ") && !before.endsWith('"') ? `"${word}"` : word;
    input.value = before + quoted + after;
    close();
    input.form.requestSubmit();
  };

  const show = (words, typed) => {
    list.replaceChildren(
      ...words.map((word, i) => {
        const option = document.createElement("li");
        option.id = `suggestion-${i}`;
        option.setAttribute("role", "option");
        option.setAttribute("aria-selected", "false");
        const rest = document.createElement("b");
        rest.textContent = word.slice(typed.length);
        option.append(word.slice(0, typed.length), rest);
        option.dataset.word = word;
        return option;
      }),
    );
    list.hidden = !words.length;
    chosen = -1;
    input.setAttribute("aria-expanded", String(!list.hidden));
  };

  const ask = async () => {
    const typed = split()[1].toLowerCase();
    asked = typed;
    if (typed.length < 2) return close();
    const answer = await fetch(`${input.dataset.suggest}?${new URLSearchParams({ q: typed, top: 7 })}`).catch(() => null);
    if (!answer?.ok || asked !== typed || document.activeElement !== input) return;
    const { items } = await answer.json();
    if (asked === typed) show(items.filter((word) => word !== typed), typed);
  };

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(ask, WAIT);
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" && !list.hidden) choose(chosen + 1);
    else if (event.key === "ArrowUp" && !list.hidden) choose(chosen < 0 ? list.children.length - 1 : chosen - 1);
    else if (event.key === "Enter" && chosen >= 0) take(list.children[chosen].dataset.word);
    else if (event.key === "Escape" && !list.hidden) close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  list.addEventListener("mousedown", (event) => {
    event.preventDefault(); // the box keeps the focus
    const option = event.target.closest("li");
    if (option) take(option.dataset.word);
  });
  input.addEventListener("blur", close);
  input.form.addEventListener("submit", close);
}
