"""What is held of every page, light and dark, large and small: axe finds nothing, nothing jumps."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from engine.settings import Settings
from tests.conftest import paint
from tests.webapp.conftest import index
from tests.webapp.serving import started

PAGES = [
    "/",
    "/?q=rouge&min_confidence=0",
    "/?q=red&sort=date&min_confidence=0",
    "/?q=redd",
    "/photo/1?q=red+blue+-green&at=1",
    "/photo/1",
    "/filters?q=red",
    "/explore",
    "/tag/red",
    "/map",
    "/keys",
    "/library",
    "/api/docs",
    "/nothing",
]
SHIFT = """() => new Promise((resolve) => {
  const seen = [];
  new PerformanceObserver((list) => seen.push(...list.getEntries())).observe({ type: "layout-shift", buffered: true });
  requestAnimationFrame(() => setTimeout(() => resolve(seen.reduce((sum, { value }) => sum + value, 0))));
})"""


@pytest.fixture(scope="module")
def server(tmp_path_factory, colour_bundle):
    folder = tmp_path_factory.mktemp("seen")
    photos = [paint(folder / f"{i:02}.png", "black", "red", (i % 4, i % 3), (96 + 4 * i, 80)) for i in range(30)]
    index(folder / "library", colour_bundle, photos, failed=[("/photos/broken.jpg", "truncated JPEG")])
    settings = Settings(library=folder / "library", model=str(colour_bundle.folder), cache=colour_bundle.cache)
    with started(settings, UNSEEN_ROOTS=str(folder)) as running:
        yield running


@pytest.fixture(scope="session")
def axe():
    found = find_spec("axe_playwright_python")
    if found is None:
        pytest.skip("axe-playwright-python carries axe-core")
    return (Path(found.submodule_search_locations[0]) / "axe.min.js").read_text(encoding="utf-8")


DESKTOP, PHONE = (1280, 800), (390, 844)


@pytest.mark.parametrize(("scheme", "size"), [("light", DESKTOP), ("dark", DESKTOP), ("light", PHONE)])
def test_axe_finds_nothing_and_nothing_jumps(visit, axe, scheme, size):
    visit.expected += ["422", "404"]
    page = visit("/", color_scheme=scheme, viewport={"width": size[0], "height": size[1]}, reduced_motion="reduce")
    found = {}
    for path in PAGES:
        page.goto(path, wait_until="load")
        page.evaluate(axe)
        result = page.evaluate("axe.run({ resultTypes: ['violations'] })")
        found[path] = [
            (violation["id"], [node["html"][:160] for node in violation["nodes"]]) for violation in result["violations"]
        ]
        assert page.evaluate(SHIFT) <= 0.05, path
    assert {path: faults for path, faults in found.items() if faults} == {}
