"""Makes the pictures of the README from a running server.

$ unseen serve &
$ python docs/screenshots.py http://127.0.0.1:8410 docs/images --word giraffe --unknown girafe
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]
DESKTOP, PHONE = (1280, 800), (390, 844)


def main() -> None:
    """Read the arguments and take every picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help="of a running `unseen serve`")
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("--word", default="giraffe", help="what is searched for")
    parser.add_argument("--unknown", default="girafe", help="a word with a slip of the pen")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    results, misspelt = f"/?q={quote(arguments.word)}", f"/?q={quote(arguments.unknown)}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)

        def take(
            name: str, path: str, size: tuple[int, int], scheme: str, act: Callable[[Page], None] | None = None
        ) -> None:
            picture = arguments.folder / f"{name}.png"
            shoot(browser, arguments.address + path, picture, size, scheme, act)
            print(picture)

        take("search", results, DESKTOP, "light")
        take("search-dark", results, DESKTOP, "dark")
        take("heatmaps", results, DESKTOP, "dark", heat)
        take("photo", results, DESKTOP, "light", open_first)
        take("photo-dark", results, DESKTOP, "dark", open_first)
        take("spelling", misspelt, DESKTOP, "light")
        take("library", "/library", DESKTOP, "light")
        take("phone-search", results, PHONE, "light")
        take("phone-photo", results, PHONE, "dark", open_first)
        browser.close()


def shoot(
    browser: Browser,
    address: str,
    picture: Path,
    size: tuple[int, int],
    scheme: str,
    act: Callable[[Page], None] | None = None,
) -> None:
    """Open a page, `act` on it, wait until nothing is loading any more, and keep what is seen."""
    page = browser.new_page(
        viewport={"width": size[0], "height": size[1]},
        device_scale_factor=2 if size == PHONE else 1,
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
    )
    page.goto(address, wait_until="networkidle")
    if act:
        act(page)
        page.wait_for_load_state("networkidle")
    page.screenshot(path=picture)
    page.close()


def heat(page: Page) -> None:
    """Show where, on every photo in sight."""
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("h")
    page.wait_for_selector(".grid canvas")


def open_first(page: Page) -> None:
    """Go to the best photo."""
    page.locator(".grid a").first.click()
    page.wait_for_selector("#layers canvas")


if __name__ == "__main__":
    main()
