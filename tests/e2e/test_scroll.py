"""Thousands of results are scrolled through while the page stays small."""

import numpy as np
import pytest
from playwright.sync_api import expect

from engine.library.indexes import refresh
from engine.library.records import Batch, FileStamp, Metadata, NewPhoto
from engine.library.region_map import RegionMap
from engine.library.store import Store
from engine.settings import Settings
from tests.conftest import GRID
from tests.webapp.serving import started

PHOTOS = 2400
BOUND = 400  # photos on the page at once

GREY = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010800000000"
    "3a7e9b550000000a4944415478da6368000000820081dd436af40000000049454e44ae426082"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory, colour_bundle):
    folder = tmp_path_factory.mktemp("many")
    random = np.random.default_rng(5)
    batch = Batch()
    for i in range(PHOTOS):
        codes = random.integers(-40, 40, (len(GRID), 4)).astype(np.int8)
        size = (int(random.integers(60, 200)), 100)
        batch.added.append(
            NewPhoto(
                f"/many/{i:05}.jpg",
                FileStamp(1, 1),
                i.to_bytes(16, "big"),
                *size,
                "JPEG",
                Metadata(),
                RegionMap(GRID, codes),
                np.zeros(len(colour_bundle.labels), np.float16),
            )
        )
    with Store.create(folder, colour_bundle.name, colour_bundle.fingerprint) as store:
        store.apply(batch)
        refresh(store)
    settings = Settings(library=folder, model=str(colour_bundle.folder), cache=colour_bundle.cache)
    with started(settings) as running:
        yield running


def test_two_thousand_results_are_scrolled_through_and_back_in_a_small_page(visit, server):
    page = visit("about:blank")
    page.route("**/thumbnail?**", lambda route: route.fulfill(body=GREY, content_type="image/png"))
    page.goto(server.address + "/?q=red&min_confidence=0")
    ids = [hit["id"] for hit in page.request.get("/api/v1/search?q=red&min_confidence=0&top=0").json()["items"]]
    assert len(ids) == PHOTOS
    seen, most = set(), 0
    for _ in range(400):
        shown = page.evaluate(
            """() => {
              scrollBy(0, innerHeight * 3);
              return [...document.querySelectorAll(".grid li")].map((item) => +item.dataset.id);
            }"""
        )
        most = max(most, len(shown))
        seen.update(shown)
        if len(seen) >= 2000:
            break
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert len(seen) >= 2000, (
        len(seen),
        page.evaluate("[scrollY, document.documentElement.scrollHeight, document.querySelector('.toast').textContent]"),
    )
    assert seen >= set(ids[:2000])
    assert most <= BOUND
    page.evaluate("scrollTo(0, 0)")
    expect(page.locator(f".grid li[data-id='{ids[0]}']")).to_be_in_viewport()
    assert page.locator(".grid li").count() <= BOUND
    page.set_viewport_size({"width": 700, "height": 800})  # rows break elsewhere
    expect(page.locator(f".grid li[data-id='{ids[0]}']")).to_be_in_viewport()
