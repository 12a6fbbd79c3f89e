// Arrow keys over a grid of photos.

const photos = () => [...document.querySelectorAll(".grid a")];

function focus(photo) {
  photo?.focus();
  photo?.scrollIntoView({ block: "nearest" });
  return Boolean(photo);
}

export const current = () => document.activeElement?.closest(".grid a") ?? null;

export function move(step) {
  const all = photos();
  const at = all.indexOf(current());
  if (at < 0) return focus(all.find((photo) => photo.getBoundingClientRect().bottom > 80) ?? all[0]);
  return focus(all[at + step]);
}

// The photo above or below: of the nearest row in that direction, the one whose middle is closest.
export function moveRow(direction) {
  const at = current();
  if (!at) return move(0);
  const middle = ({ left, right }) => (left + right) / 2;
  const here = at.getBoundingClientRect();
  const beyond = photos()
    .map((photo) => [photo, photo.getBoundingClientRect()])
    .filter(([, there]) => direction * (there.top - here.top) > 1);
  if (!beyond.length) return false;
  const edge = direction * Math.min(...beyond.map(([, there]) => direction * there.top));
  const row = beyond.filter(([, there]) => Math.abs(there.top - edge) < 1);
  const distance = ([, there]) => Math.abs(middle(there) - middle(here));
  const [[nearest]] = row.sort((a, b) => distance(a) - distance(b));
  return focus(nearest);
}
