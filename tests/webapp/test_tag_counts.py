"""Counts of tags are right whatever has happened to the library since they were last counted."""

import numpy as np
import pytest

from engine.library.records import Batch, FileStamp, Metadata, NewPhoto
from engine.library.region_map import RegionMap
from engine.library.store import Store
from engine.search.searcher import Searcher
from tests.conftest import GRID
from webapp import tag_counts
from webapp.tag_counts import TagCounts


@pytest.fixture
def store(tmp_path, colour_bundle):
    with Store.create(tmp_path, colour_bundle.name, colour_bundle.fingerprint) as store:
        yield store


def photo(number, bundle, random):
    scores = random.normal(0, 60, len(bundle.labels)).astype(np.float16)
    codes = random.integers(-40, 40, (len(GRID), 4)).astype(np.int8)
    path, content = f"/p/{number}.jpg", number.to_bytes(16, "big")
    return NewPhoto(path, FileStamp(1, 1), content, 90, 60, "JPEG", Metadata(), RegionMap(GRID, codes), scores)


def counted(searcher):
    """The counts by their definition: photos that are as likely as not to show a tag, and the likeliest of them."""
    ids, scores = searcher.store.class_scores(searcher.store.photo_ids().tolist())
    sure = searcher.label_curves.confidence(scores.astype(np.float32))
    shown = (sure >= max(0.5, searcher.bundle.spec.min_confidence)).sum(axis=0)
    best = scores.astype(np.float32).argmax(axis=0)
    labels = searcher.bundle.labels
    return {labels[i]: (int(shown[i]), int(ids[best[i]])) for i in range(len(labels)) if shown[i]}


def test_counts_follow_what_is_added_changed_and_removed(store, colour_bundle, monkeypatch):
    monkeypatch.setattr(tag_counts, "PHOTOS_AT_ONCE", 7)
    random, searcher, counts = np.random.default_rng(3), Searcher(store, colour_bundle), TagCounts()
    assert counts.of(searcher) == []
    for batch in (
        Batch(added=[photo(i, colour_bundle, random) for i in range(20)]),
        Batch(added=[photo(i, colour_bundle, random) for i in range(20, 33)]),
        Batch(updated={4: photo(3, colour_bundle, random)}),
        Batch(added=[photo(40, colour_bundle, random)], removed=[2, 9]),
    ):
        store.apply(batch)
        found = counts.of(searcher)
        assert {one.tag: (one.count, one.best) for one in found} == counted(searcher)
        assert [one.count for one in found] == sorted((one.count for one in found), reverse=True)
        assert counts.soon(searcher) == found
    assert found


def test_a_page_does_not_wait_until_all_is_counted(store, colour_bundle, monkeypatch):
    searcher, counts = Searcher(store, colour_bundle), TagCounts()
    store.apply(Batch(added=[photo(1, colour_bundle, np.random.default_rng(1))]))
    monkeypatch.setattr(tag_counts, "PATIENCE", 0)
    with counts._counting:  # as long as another thread counts
        assert counts.soon(searcher) is None
    counts._thread.join()
    assert counts.soon(searcher) == counts.of(searcher)
