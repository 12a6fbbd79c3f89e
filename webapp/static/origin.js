// A photo knows the grid that it was opened from, so that going back leads to where that was scrolled to.

const KEY = "opened";

// On a page with a grid: a photo is about to be opened.
export function remember() {
  document.addEventListener("click", ({ target }) => {
    const photo = target.closest(".grid a");
    if (photo) sessionStorage.setItem(KEY, photo.pathname);
  });
}

const query = () => new URLSearchParams(location.search).get("q") ?? "";

// On the page of a photo: the place in the history says how many steps the grid is away, and for which words it was.
export function arrive() {
  if (sessionStorage.getItem(KEY) === location.pathname) history.replaceState({ steps: 1, q: query() }, "");
  sessionStorage.removeItem(KEY);
}

// The state of a place that is one step further.
export const further = (state) => state?.steps && { ...state, steps: state.steps + 1 };

// Goes back to the grid; returns false where there is none, or where it was for other words.
export function leave() {
  const { steps, q } = history.state ?? {};
  if (!steps || q !== query()) return false;
  history.go(-steps);
  return true;
}
