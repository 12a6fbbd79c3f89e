// Says at the edge of the page what happened, with at most one thing to do about it.

const STAYS = 6000; // milliseconds
const STAYS_TO_ACT = 12000;

const box = document.createElement("div");
box.className = "toast";
box.setAttribute("role", "status");
document.body.append(box);
let timer = 0;

// It goes after a while in which it is neither pointed at nor in use.
function wait() {
  clearTimeout(timer);
  if (!box.matches(":hover, :focus-within")) timer = setTimeout(hush, box.querySelector("button") ? STAYS_TO_ACT : STAYS);
}
for (const name of ["pointerenter", "pointerleave", "focusin", "focusout"]) box.addEventListener(name, wait);

export function say(message, label, act) {
  box.replaceChildren(message);
  if (label) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "plain";
    button.textContent = label;
    button.addEventListener("click", () => {
      hush();
      act();
    });
    box.append(button);
  }
  box.classList.add("shown");
  wait();
}

// Says it to those alone who hear the page read out.
export function announce(message) {
  document.getElementById("news").textContent = message;
}

export function hush() {
  box.classList.remove("shown");
  box.replaceChildren();
}
