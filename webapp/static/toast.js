// Says at the edge of the page what happened, with at most one thing to do about it.

const STAYS = 6000; // milliseconds

const box = document.createElement("div");
box.className = "toast";
box.setAttribute("role", "status");
document.body.append(box);
let timer = 0;

export function say(message, label, act) {
  clearTimeout(timer);
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
  timer = setTimeout(hush, STAYS);
}

export function hush() {
  box.classList.remove("shown");
  box.replaceChildren();
}
