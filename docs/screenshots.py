"""Takes pictures of every page, light and dark, large and small, over the sample photos of scikit-image.

$ python docs/screenshots.py build/screenshots

Those that the README shows go to docs/images as well.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import skimage
from PIL import Image
from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).parent / "images"
SAMPLES = (
    "astronaut.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "motorcycle_left.png",
    "rocket.jpg",
)
CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-sync", "--hide-scrollbars"]
SIZES = {"desktop": (1440, 900), "phone": (390, 844)}
UNSEEN = [sys.executable, "-c", "import sys; sys.argv[0] = 'unseen'; from engine.cli import main; main()"]
README = {
    "heatmaps-desktop-light": "search",
    "photo-desktop-light": "photo",
    "explore-desktop-light": "explore",
}


def heat(page: Page) -> None:
    """Show where, on every photo in sight."""
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("h")
    page.wait_for_selector(".grid canvas")


def open_first(page: Page) -> None:
    """Go to the best photo."""
    page.locator(".grid a").first.click()
    page.wait_for_selector("#layers canvas")


PAGES: dict[str, tuple[str, Callable[[Page], None] | None]] = {
    "home": ("/", None),
    "search": ("/?q=kitten&min_confidence=0", None),
    "heatmaps": ("/?q=kitten&min_confidence=0", heat),
    "date": ("/?q=kitten&min_confidence=0&sort=date", None),
    "spelling": ("/?q=kittenn", None),
    "photo": ("/?q=kitten&min_confidence=0", open_first),
    "terms": ("/?q=kitten+eye&min_confidence=0", open_first),
    "filters": ("/filters?q=kitten", None),
    "explore": ("/explore", None),
    "tag": ("/tag/cat", None),
    "map": ("/map", None),
    "library": ("/library", None),
    "api": ("/api/docs", None),
    "error": ("/nothing", None),
}


def main(folder: Path) -> None:
    """Take every picture."""
    folder.mkdir(parents=True, exist_ok=True)
    with served() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for size, (width, height) in SIZES.items():
            for scheme in ("light", "dark"):
                context = browser.new_context(
                    viewport={"width": width, "height": height},
                    color_scheme="dark" if scheme == "dark" else "light",
                    reduced_motion="reduce",
                )
                for name, (path, act) in PAGES.items():
                    page = context.new_page()
                    page.goto(address + path, wait_until="networkidle")
                    if act:
                        act(page)
                        page.wait_for_load_state("networkidle")
                    page.screenshot(path=folder / f"{name}-{size}-{scheme}.png")
                    page.close()
                context.close()
        browser.close()
    for taken, shown in README.items():
        with Image.open(folder / f"{taken}.png") as picture:
            picture.convert("RGB").save(IMAGES / f"{shown}.jpg", quality=88, optimize=True)


@contextmanager
def served() -> Iterator[str]:
    """The address of a server over the sample photos."""
    with tempfile.TemporaryDirectory() as work:
        environment = {**os.environ, "UNSEEN_LIBRARY": f"{work}/library"}
        photos = Path(work) / "photos"
        photos.mkdir()
        for name in SAMPLES:
            shutil.copy(Path(skimage.__file__).parent / "data" / name, photos)
        subprocess.run([*UNSEEN, "index", photos], env=environment, check=True)  # noqa: S603
        command = [*UNSEEN, "serve", "--port", "0"]
        server = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)  # noqa: S603
        assert server.stderr is not None
        try:
            yield next(line.split(" at ")[1].split()[0] for line in server.stderr if "unseen is at" in line)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
