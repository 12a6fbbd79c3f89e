// An index run as it goes: the page is brought up to date at each event, at most once a second.

import { swap } from "./swap.js";

const PAUSE = 1000; // milliseconds

let source = null;
let waiting = 0;

function refresh() {
  clearTimeout(waiting);
  waiting = 0;
  swap(location.href, { remember: "no", onlyGood: true });
}

function follow() {
  const { events } = document.getElementById("job")?.dataset ?? {};
  if (source?.path === events) return;
  source?.stream.close();
  source = null;
  if (!events) return;
  const stream = new EventSource(events);
  source = { path: events, stream };
  stream.addEventListener("progress", () => (waiting ||= setTimeout(refresh, PAUSE)));
  stream.addEventListener("end", () => {
    stream.close();
    location.reload();
  });
}

document.addEventListener("swapped", follow);
follow();
