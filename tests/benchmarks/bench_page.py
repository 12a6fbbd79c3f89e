"""The page: from Enter to painted results in Chromium, the weight of the page, and how much of it jumps.

PHOTOS in the environment says how many photos the library has (100,000), WORDS how many words are asked for (30).
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import numpy as np
import skimage
from PIL import Image
from playwright.sync_api import BrowserContext, Page, sync_playwright

from engine.library import thumbnails
from engine.library.store import Store
from engine.model.bundle import open_bundle
from engine.search.searcher import Searcher
from engine.settings import load_settings
from tests.benchmarks import bench_serve
from tests.e2e.conftest import CHROMIUM, FLAGS
from tests.webapp.serving import started
from webapp.pages.grid import PAGE

PAINTED = 300  # milliseconds
WEIGHT = 150  # kB
SHIFT = 0.05
SAMPLES = Path(skimage.__file__).parent / "data"

# Milliseconds from Enter until the results are in the page, and until every photo in sight has been painted.
ENTER = """() => new Promise((resolve) => {
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  let started;
  addEventListener("keydown", () => (started = performance.now()), { capture: true, once: true });
  document.addEventListener("swapped", async () => {
    const answered = performance.now() - started;
    const inSight = (image) => image.getBoundingClientRect().top < innerHeight;
    const shown = [...document.querySelectorAll(".grid img")].filter(inSight);
    await Promise.all(shown.map((image) => image.decode()));
    await frame();
    resolve([answered, performance.now() - started, shown.length]);
  }, { once: true });
})"""
# Milliseconds until the largest photo of a page that is opened by its address is painted; kB of all but photos; shift.
OPENED = """() => new Promise((resolve) => {
  const seen = [];
  const observer = new PerformanceObserver((list) => seen.push(...list.getEntries()));
  for (const type of ["largest-contentful-paint", "layout-shift"]) observer.observe({ type, buffered: true });
  requestAnimationFrame(() => setTimeout(() => {
    const files = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
    const weight = files.reduce((sum, file) => sum + (file.name.includes("/thumbnail") ? 0 : file.encodedBodySize), 0);
    const shift = seen.filter((one) => !one.hadRecentInput).reduce((sum, one) => sum + (one.value ?? 0), 0);
    resolve([Math.max(...seen.map((one) => one.renderTime ?? 0)), weight / 1000, shift]);
  }, 100));
})"""


def main() -> None:
    """Print the figures beside their bars."""
    photos, count = int(os.environ.get("PHOTOS", "100000")), int(os.environ.get("WORDS", "30"))
    settings = load_settings()
    bundle = open_bundle("lite", settings.cache)
    words = [f'"{label}"' for label in bundle.labels[:: len(bundle.labels) // count][:count]]
    folder = bench_serve.library(settings.cache / "bench", bundle, photos)
    with Store.open(folder) as store:
        add_thumbnails(Searcher(store, bundle), words)
    settings = settings.model_copy(update={"library": folder, "model": bundle.name})
    with started(settings) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        context = browser.new_context(base_url=server.address, viewport={"width": 1440, "height": 900})
        page = context.new_page()
        page.goto("/?q=photo", wait_until="networkidle")
        asked = np.array([enter(page, word) for word in words])
        opened = np.array([open_anew(context, word) for word in words])
        answered = [answer(server.address, word) for word in words]
        browser.close()
    print(f"{photos:,} photos, {count} words, {os.cpu_count()} cores, {asked[:, 2].mean():.0f} photos in sight\n")
    print(f"{'milliseconds':46}{'median':>8}{'p95':>8}{'bar':>8}")
    show("the server's answer, asked again", answered)
    show("from Enter to results in the page", asked[:, 0])
    show("from Enter to all photos in sight painted", asked[:, 1], PAINTED)
    show("opened by address, to the largest photo", opened[:, 0])
    print(f"\nweight before photos: {opened[:, 1].max():.0f} kB (bar {WEIGHT})")
    print(f"layout shift: {opened[:, 2].max():.3f} (bar {SHIFT})")


def add_thumbnails(searcher: Searcher, words: Sequence[str]) -> None:
    """Thumbnails of real photos for what each word finds first."""
    samples = [SAMPLES / name for name in ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")]
    pictures = [thumbnails.make(Image.open(sample).convert("RGB")) for sample in samples]
    for word in words:
        for hit in searcher.search(word, top=PAGE).hits:
            thumbnails.write(searcher.store.folder, hit.photo.content_hash, pictures[hit.rank % len(pictures)])


def enter(page: Page, word: str) -> tuple[float, float, int]:
    """Ask on a page that is open."""
    page.locator("input[type=search]").fill(word)
    page.evaluate(f"void (window.entered = ({ENTER})())")
    page.keyboard.press("Enter")
    return tuple(page.evaluate("window.entered"))


def open_anew(context: BrowserContext, word: str) -> tuple[float, float, float]:
    """Open the address of a search in a browser that knows the page's files."""
    page = context.new_page()
    page.goto(f"/?{urlencode({'q': word})}", wait_until="networkidle")
    figures = page.evaluate(OPENED)
    page.close()
    return tuple(figures)


def answer(address: str, word: str) -> float:
    """Milliseconds that the server alone takes for the page."""
    started = time.perf_counter()
    with urlopen(f"{address}/?{urlencode({'q': word})}") as response:
        response.read()
    return 1000 * (time.perf_counter() - started)


def show(title: str, times: Sequence[float], bar: float | None = None) -> None:
    """Print a line of the table."""
    median, p95 = np.percentile(times, (50, 95))
    print(f"{title:46}{median:8.0f}{p95:8.0f}{bar or '':>8}")


if __name__ == "__main__":
    main()
