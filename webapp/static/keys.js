// Keys that work everywhere on a page, but not while something is typed.

export const box = document.querySelector("input[type=search]");

export function onKeys(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const typing = event.target.closest("input, select, textarea");
    if (typing) {
      if (event.key === "Escape") typing.blur();
      return;
    }
    if (event.key === "/") {
      box.focus();
      box.select();
    } else if (!actions[event.key]?.(event)) {
      return;
    }
    event.preventDefault();
  });
}
