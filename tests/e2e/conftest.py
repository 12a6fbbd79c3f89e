"""A real browser that finds fault with errors and with requests that leave the server."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from tests.conftest import paint
from tests.webapp.conftest import exif

CHROMIUM = Path("/usr/bin/chromium")
HOSTILE = [
    "<script>alert(1)</script>".replace("/", "∕"),
    "\"'><img src=x onerror=alert(1)>",
    "\u202egnp.eman\u202c",
    "👩‍👩‍👧 giraffe 🦒",
    "n" * 251,
]
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items):
    """Tests with a browser are slow, and skipped where there is none."""
    for item in items:
        if "browser" in item.fixturenames:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed"))


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as running:
        opened = running.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def visit(browser, server):
    """Opens pages of the server, and finds fault with any error or any request that leaves it."""
    faults, contexts, expected = [], [], []

    def open_page(path, **options):
        context = browser.new_context(base_url=server.address, **options)
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "request", lambda request: None if request.url.startswith(server.address) else faults.append(request.url)
        )
        page.goto(path)
        return page

    open_page.expected = expected  # parts of faults that a test provokes
    yield open_page
    for context in contexts:
        context.close()
    assert [fault for fault in faults if not any(part in fault for part in expected)] == []


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A folder of photos with dates and cameras, and of some whose names are no names."""
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(1, 13):
        taken = exif(datetime(2020 + i % 4, i, 3, tzinfo=UTC), "Pinhole 7" if i % 2 else "Box Brownie")
        paint(folder / "red" / f"{i:02}.jpg", "black", "red", (i % 4, i % 3), size=(96 + 8 * i, 80), exif=taken)
    for i, name in enumerate(HOSTILE):  # no two alike, or they would be one hit
        paint(folder / "odd" / f"{name}.png", "red", size=(80 + i, 64))
    return folder
