// A finger that is drawn across the photo turns to another one.

const FAR = 50; // pixels

let from = null;

export function onSwipe(within, left, right) {
  document.addEventListener("pointerdown", ({ pointerType, isPrimary, target, clientX, clientY }) => {
    from = pointerType === "touch" && isPrimary && target.closest(within) ? [clientX, clientY] : null;
  });
  document.addEventListener("pointercancel", () => (from = null));
  document.addEventListener("pointerup", ({ clientX, clientY }) => {
    if (!from) return;
    const [across, down] = [clientX - from[0], clientY - from[1]];
    from = null;
    if (Math.abs(across) > FAR && Math.abs(across) > 2 * Math.abs(down)) (across < 0 ? left : right)();
  });
}
